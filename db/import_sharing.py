"""What an import shares with others that are not published: votes that it borrows, labels that it owes."""

from collections.abc import Collection

from sqlalchemy import Connection, Select, delete, select, update

from db import import_tickets
from db.connect import insert_many
from db.schema import (
    borrowed_votes,
    imports,
    labels,
    late_labels,
    memberships,
    pairs,
    votes,
)


def unpublished_beside(import_id: int) -> Select[tuple[int]]:
    return select(imports.c.id).where(imports.c.published.is_(None), imports.c.id != import_id)


def own_what_is_shared(conn: Connection, import_id: int) -> None:
    """Votes and pairs that this import shares with other unpublished ones: what becomes of those must not matter.

    A pair's labels from an unpublished import's votes are not for the readers that it has from now on.
    """
    others = list(conn.execute(unpublished_beside(import_id)).scalars())
    mine = borrowed_votes.c.import_id == import_id
    if others:
        borrowed = votes.c.id.in_(select(borrowed_votes.c.vote_id).where(mine))
        conn.execute(update(votes).where(borrowed, votes.c.import_id.in_(others)).values(import_id=import_id))
        members = select(memberships.c.pair_id).where(memberships.c.import_id == import_id)
        shared = select(pairs.c.id, pairs.c.import_id).where(pairs.c.import_id.in_(others), pairs.c.id.in_(members))
        makers: dict[int, list[int]] = {}
        for pair_id, maker in conn.execute(shared):
            makers.setdefault(maker, []).append(pair_id)
        for maker, pair_ids in makers.items():
            for start in range(0, len(pair_ids), import_tickets.BATCH_ROWS):
                chunk = pair_ids[start : start + import_tickets.BATCH_ROWS]
                owe_labels(conn, maker, chunk)
                owe_labels(conn, import_id, chunk)
                conn.execute(delete(labels).where(labels.c.pair_id.in_(chunk)))
                conn.execute(update(pairs).where(pairs.c.id.in_(chunk)).values(import_id=import_id))
    conn.execute(delete(borrowed_votes).where(mine))


def owe_labels(conn: Connection, import_id: int, pair_ids: Collection[int], *, has_text_from_it: bool = False) -> None:
    """Write down that the labels of some pairs are to be derived once the import is published."""
    if not pair_ids:
        return
    mine = (late_labels.c.import_id == import_id) & late_labels.c.pair_id.in_(pair_ids)
    owed = set(conn.execute(select(late_labels.c.pair_id).where(mine)).scalars())
    new = [pair_id for pair_id in pair_ids if pair_id not in owed]
    fixed = {"import_id": import_id, "has_text_from_it": has_text_from_it}
    insert_many(conn, late_labels, [{"pair_id": pair_id, **fixed} for pair_id in new])
    if has_text_from_it and owed:
        conn.execute(update(late_labels).where(mine).values(has_text_from_it=True))


def late_pairs(conn: Connection, import_id: int, *, after: int) -> list[int]:
    owed = select(late_labels.c.pair_id).where(late_labels.c.import_id == import_id, late_labels.c.pair_id > after)
    return list(conn.execute(owed.order_by(late_labels.c.pair_id).limit(import_tickets.BATCH_ROWS)).scalars())
