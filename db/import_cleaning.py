"""What an import that was never published left behind is removed, or left to those that share it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Engine, delete, func, select, update

from db import import_tickets
from db.connect import read, write
from db.datasets import erase
from db.import_publishing import derive_late
from db.import_sharing import owe_labels
from db.import_tickets import STALE_IMPORT_SECONDS, LostTicketError, Ticket, hold, is_dead, take_over
from db.labels import rebuild
from db.schema import (
    aliases,
    borrowed_votes,
    dataset_labelers,
    datasets,
    imports,
    labels,
    late_labels,
    memberships,
    pairs,
    snapshot_pairs,
    verdicts,
    votes,
)
from db.search import forget_words, step_back


def remove_unpublished(engine: Engine, *, older_than: float = STALE_IMPORT_SECONDS) -> int:
    """Remove what dead imports left behind, and finish what published ones still owe; how many were removed.

    Args:
        older_than: an import whose process is gone is dead at once, any other after so many silent seconds.
    """
    with read(engine) as conn:
        unpublished = conn.execute(select(imports).where(imports.c.published.is_(None))).all()
        owe = imports.c.id.in_(select(late_labels.c.import_id))
        owing = conn.execute(select(imports).where(imports.c.published.is_not(None), owe)).all()
    dead = [row for row in unpublished if is_dead(row, older_than=older_than)]
    for row in dead:
        take_back(engine, Ticket(row.id, row.token))
    for row in owing:
        if is_dead(row, older_than=older_than):
            derive_late(engine, row.id)
    return len(dead)


def take_back(engine: Engine, ticket: Ticket) -> None:
    """Remove everything that an unpublished import wrote, in short transactions."""
    try:
        own = take_over(engine, ticket)
        # Its borrowings first: a vote that another leaves must not come to this one any more.
        _delete_all(engine, own, borrowed_votes.c.vote_id)
        _leave_votes(engine, own)
        _delete_all(engine, own, aliases.c.row_id)
        _delete_all(engine, own, memberships.c.id)
        _leave_pairs(engine, own)
        _delete_all(engine, own, late_labels.c.pair_id)
        _forget(engine, own)
    except LostTicketError:
        return  # published, removed, or being removed by another process


def _delete_all(engine: Engine, ticket: Ticket, key: Column[Any]) -> None:
    table = key.table
    mine = table.c.import_id == ticket.import_id
    while True:
        with write(engine) as conn:
            hold(conn, ticket)
            some = conn.execute(select(key).where(mine).limit(5 * import_tickets.BATCH_ROWS)).scalars().all()
            if not some:
                return
            conn.execute(delete(table).where(mine, key.in_(some)))


def _leave_votes(engine: Engine, ticket: Ticket) -> None:
    """Delete its votes, but for those that another import borrowed: they become that one's."""
    mine = votes.c.import_id == ticket.import_id
    while True:
        with write(engine) as conn:
            hold(conn, ticket)
            some = conn.execute(select(votes.c.id).where(mine).limit(import_tickets.BATCH_ROWS)).scalars().all()
            if not some:
                return
            wanted = select(borrowed_votes.c.vote_id, func.min(borrowed_votes.c.import_id))
            wanted = wanted.where(borrowed_votes.c.vote_id.in_(some)).group_by(borrowed_votes.c.vote_id)
            heirs = {row[0]: row[1] for row in conn.execute(wanted)}
            for vote_id, heir in heirs.items():
                conn.execute(update(votes).where(votes.c.id == vote_id).values(import_id=heir))
                of_heir = (borrowed_votes.c.vote_id == vote_id) & (borrowed_votes.c.import_id == heir)
                conn.execute(delete(borrowed_votes).where(of_heir))
            conn.execute(delete(votes).where(votes.c.id.in_([i for i in some if i not in heirs])))


def _leave_pairs(engine: Engine, ticket: Ticket) -> None:
    after = 0
    while True:
        with write(engine) as conn:
            hold(conn, ticket)
            mine = (pairs.c.import_id == ticket.import_id) & (pairs.c.id > after)
            some = list(
                conn.execute(
                    select(pairs.c.id).where(mine).order_by(pairs.c.id).limit(import_tickets.BATCH_ROWS)
                ).scalars()
            )
            if not some:
                return
            after = some[-1]
            _leave_some_pairs(conn, ticket.import_id, some)


def _leave_some_pairs(conn: Connection, import_id: int, pair_ids: Sequence[int]) -> None:
    """Pairs that another import has too become that one's; those made here go; those purged before are purged again."""
    owed = (late_labels.c.import_id == import_id) & late_labels.c.pair_id.in_(pair_ids)
    revived = set(conn.execute(select(late_labels.c.pair_id).where(owed, late_labels.c.has_text_from_it)).scalars())
    conn.execute(delete(late_labels).where(owed))
    heirs = _heirs(conn, pair_ids)
    for heir, inherited in heirs.items():
        conn.execute(update(pairs).where(pairs.c.id.in_(inherited)).values(import_id=heir))
        owe_labels(conn, heir, revived & set(inherited), has_text_from_it=True)
        rebuild(conn, inherited)
    left = set(pair_ids).difference(*heirs.values())
    kept = revived & left
    for table in (votes, snapshot_pairs, verdicts):
        kept |= set(conn.execute(select(table.c.pair_id).where(table.c.pair_id.in_(left)).distinct()).scalars())
    if gone := sorted(left - kept):
        forget_words(conn, gone)
        conn.execute(delete(labels).where(labels.c.pair_id.in_(gone)))
        conn.execute(delete(pairs).where(pairs.c.id.in_(gone)))
    if kept:
        erase(conn, sorted(kept))
        rebuild(conn, sorted(kept))
        earlier = select(func.min(imports.c.id)).where(imports.c.published.is_not(None)).scalar_subquery()
        values = {"import_id": func.coalesce(earlier, pairs.c.import_id)}
        conn.execute(update(pairs).where(pairs.c.id.in_(kept)).values(**values))


def _heirs(conn: Connection, pair_ids: Sequence[int]) -> dict[int, list[int]]:
    """Import -> pairs of which it has a membership; a published one goes before others."""
    holding = select(memberships.c.pair_id, memberships.c.import_id).join(imports)
    first = holding.where(memberships.c.pair_id.in_(pair_ids)).order_by(imports.c.published.is_(None), imports.c.id)
    heir_of: dict[int, int] = {}
    for pair_id, heir in conn.execute(first):
        heir_of.setdefault(pair_id, heir)
    heirs: dict[int, list[int]] = {}
    for pair_id, heir in heir_of.items():
        heirs.setdefault(heir, []).append(pair_id)
    return heirs


def _forget(engine: Engine, ticket: Ticket) -> None:
    """The import itself, and its dataset if nothing else was ever imported into it."""
    with write(engine) as conn:
        hold(conn, ticket)
        step_back(conn)
        if conn.execute(select(pairs.c.id).where(pairs.c.import_id == ticket.import_id).limit(1)).scalar() is not None:
            return
        found = imports.c.id == ticket.import_id
        dataset_id = conn.execute(select(imports.c.dataset_id).where(found)).scalar_one()
        conn.execute(delete(imports).where(found))
        if conn.execute(select(imports.c.id).where(imports.c.dataset_id == dataset_id).limit(1)).scalar() is None:
            conn.execute(delete(dataset_labelers).where(dataset_labelers.c.dataset_id == dataset_id))
            conn.execute(delete(datasets).where(datasets.c.id == dataset_id))
