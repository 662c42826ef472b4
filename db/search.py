"""Full-text search. Filled after an import, by id range, so that an import need not wait for it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select, text, update

from db.schema import imports, memberships, pairs, search_progress

CHUNK_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far the index is, in pair ids."""

    done: int
    total: int

    @property
    def is_complete(self) -> bool:
        return self.done >= self.total


def state(conn: Connection) -> IndexState:
    total = int(conn.execute(select(func.max(pairs.c.id))).scalar() or 0)
    if conn.dialect.name != "sqlite":
        return IndexState(total, total)
    done = int(conn.execute(select(search_progress.c.indexed_to).where(search_progress.c.id == 1)).scalar() or 0)
    # Ids of pairs that were taken back are never indexed and never missed.
    return IndexState(min(done, total), total)


def index_more(conn: Connection, *, limit: int = CHUNK_PAIRS) -> IndexState:
    """Index the next pairs; the caller repeats, a transaction each, until it is complete."""
    now = state(conn)
    if now.is_complete:
        return now
    # A pair of an import that still runs could be taken back, and its words would stay: stop below it.
    unpublished = select(imports.c.id).where(imports.c.published.is_(None))
    first_open = conn.execute(select(func.min(pairs.c.id)).where(pairs.c.import_id.in_(unpublished))).scalar()
    chosen = select(pairs.c.id).where(pairs.c.id > now.done).order_by(pairs.c.id).limit(limit)
    if first_open is not None:
        chosen = chosen.where(pairs.c.id < first_open)
    ids = list(conn.execute(chosen).scalars())
    if not ids:
        return IndexState(now.total, now.total)
    conn.execute(
        text(
            "INSERT INTO pair_words(rowid, prompt, response_a, response_b) "
            "SELECT id, prompt, response_a, response_b FROM pairs WHERE id > :low AND id <= :high"
        ),
        {"low": now.done, "high": ids[-1]},
    )
    if not conn.execute(update(search_progress).where(search_progress.c.id == 1).values(indexed_to=ids[-1])).rowcount:
        conn.execute(insert(search_progress).values(id=1, indexed_to=ids[-1]))
    return IndexState(ids[-1], now.total)


def matches(conn: Connection, words: str) -> ColumnElement[bool]:
    """The condition that a pair holds every one of the words (a phrase where they stand in double quotes)."""
    if conn.dialect.name != "sqlite":
        document = func.concat_ws(" ", pairs.c.prompt, pairs.c.response_a, pairs.c.response_b)
        found = func.to_tsvector("simple", document).op("@@")(func.websearch_to_tsquery("simple", words))
        return memberships.c.pair_id.in_(select(pairs.c.id).where(found))
    query = text("SELECT rowid FROM pair_words WHERE pair_words MATCH :words").bindparams(words=_quoted(words))
    return memberships.c.pair_id.in_(query.columns(pairs.c.id).scalar_subquery())


def _quoted(words: str) -> str:
    """Every word quoted, so that nothing a user types is query syntax; the last one matches as a prefix."""
    phrases = words.split('"')
    terms = [p for place, part in enumerate(phrases) for p in ([part] if place % 2 else part.split()) if p.strip()]
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms] or ['""']
    return " ".join(quoted) + ("" if words.endswith(('"', " ")) or quoted == ['""'] else "*")
