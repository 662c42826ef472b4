"""What calls cost, as the user looked it up. Tiebreak ships none: a price that nobody looked up today is a guess."""

from sqlalchemy import Connection, delete, insert, select

from core.judging import Price
from db.schema import prices


def put(conn: Connection, price: Price) -> None:
    """Keep a price, in place of an older one of that model."""
    conn.execute(delete(prices).where(prices.c.model == price.model))
    conn.execute(
        insert(prices).values(
            model=price.model,
            tokens_in=price.tokens_in,
            tokens_cached=price.tokens_cached,
            tokens_out=price.tokens_out,
            as_of=price.as_of,
        )
    )


def get(conn: Connection, model: str) -> Price | None:
    """None: unknown, which is not free."""
    row = conn.execute(select(prices).where(prices.c.model == model)).one_or_none()
    return None if row is None else Price(**row._mapping)


def all(conn: Connection) -> list[Price]:  # noqa: A001 - reads as prices.all
    return [Price(**row._mapping) for row in conn.execute(select(prices).order_by(prices.c.model))]
