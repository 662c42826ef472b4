"""Named sets of memberships."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from core.errors import NotFound, StoreError
from db import labelers as labeler_rows
from db.connect import take_turn
from db.labels import count_labels
from db.schema import (
    aliases,
    attempts,
    datasets,
    imports,
    memberships,
    pairs,
    requests,
    runs,
    snapshot_pairs,
    votes,
)
from db.search import forget_words


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One visible dataset. `data_version` rises with its pairs and labels (not with verdicts): caches key on it."""

    id: int
    name: str
    num_pairs: int
    created: float
    data_version: int


def all(conn: Connection) -> list[DatasetSummary]:  # noqa: A001 - reads as datasets.all
    """Visible datasets with at least one published import, the newest first."""
    published = select(imports.c.dataset_id).where(imports.c.published.is_not(None))
    rows = conn.execute(
        select(datasets)
        .where(datasets.c.removed.is_(None), datasets.c.id.in_(published))
        .order_by(datasets.c.created.desc(), datasets.c.id.desc())
    )
    return [
        DatasetSummary(
            id=row.id, name=row.name, num_pairs=row.num_pairs, created=row.created, data_version=row.data_version
        )
        for row in rows
    ]


def get(conn: Connection, name: str) -> DatasetSummary:
    """Raises NotFound with the names there are."""
    found = all(conn)
    for dataset in found:
        if dataset.name == name:
            return dataset
    there = (
        f"the store has {', '.join(d.name for d in found[:8])}" if found else "the store has none yet; import a file"
    )
    raise NotFound(f"no dataset {name!r}; {there}")


def named(conn: Connection, dataset_id: int) -> str:
    """A dataset's name, removed or not."""
    return str(conn.execute(select(datasets.c.name).where(datasets.c.id == dataset_id)).scalar_one())


def version(conn: Connection, dataset_id: int) -> int:
    """Rises with its pairs and labels, not with verdicts."""
    return int(conn.execute(select(datasets.c.data_version).where(datasets.c.id == dataset_id)).scalar_one())


def touch(conn: Connection, dataset_id: int) -> None:
    """Something of it changed: caches that key on its version are stale."""
    changed = update(datasets).where(datasets.c.id == dataset_id)
    conn.execute(changed.values(data_version=datasets.c.data_version + 1))


def remove(conn: Connection, name: str) -> None:
    """Hide a dataset. Snapshots and runs keep what they froze."""
    conn.execute(update(datasets).where(datasets.c.id == get(conn, name).id).values(removed=time.time()))


def restore(conn: Connection, name: str) -> None:
    """Undo `remove`. NotFound if no removed dataset of that name has anything left to show."""
    hidden = select(datasets.c.name).where(datasets.c.removed.is_not(None), datasets.c.num_pairs > 0)
    names = list(conn.execute(hidden.order_by(datasets.c.removed.desc())).scalars())
    if name not in names:
        there = f"removed are {', '.join(names[:8])}" if names else "none is removed, or all of it was purged"
        raise NotFound(f"no removed dataset {name!r} to bring back; {there}")
    conn.execute(update(datasets).where(datasets.c.name == name).values(removed=None))


def purge_count(conn: Connection, name: str) -> int:
    """How many pairs no other visible dataset holds."""
    condition = _held_by_it_alone(get(conn, name).id)
    return int(conn.execute(select(func.count()).select_from(pairs).where(condition)).scalar_one())


def purge(conn: Connection, name: str) -> int:
    """Erase text that no other visible dataset holds, keep hashes, mark runs that trained on it; how many pairs.

    Hidden datasets lose these pairs too: restored, they hold what is left. StoreError while an import is going: it may
    count on a text that the purge would take.
    """
    take_turn(conn)
    going = conn.execute(select(imports.c.file).where(imports.c.published.is_(None))).scalar()
    if going is not None:
        raise StoreError(f"{going} is being imported; purge when that has ended")
    dataset_id = get(conn, name).id
    ids = list(conn.execute(select(pairs.c.id).where(_held_by_it_alone(dataset_id))).scalars())
    losing = {dataset_id}
    for start in range(0, len(ids), 1000):
        chunk = ids[start : start + 1000]
        frozen = select(snapshot_pairs.c.snapshot_id).where(snapshot_pairs.c.pair_id.in_(chunk))
        conn.execute(update(runs).where(runs.c.snapshot_id.in_(frozen)).values(unreproducible=True))
        holding = select(memberships.c.dataset_id).where(memberships.c.pair_id.in_(chunk)).distinct()
        losing |= set(conn.execute(holding).scalars())
        erase(conn, chunk)
    for one in losing:
        remaining = select(func.count()).where(memberships.c.dataset_id == one).scalar_subquery()
        conn.execute(update(datasets).where(datasets.c.id == one).values(num_pairs=remaining))
        labeler_rows.store_counts(conn, one, count_labels(conn, one))
        touch(conn, one)
    return len(ids)


def erase(conn: Connection, pair_ids: Sequence[int]) -> None:
    """Erase every text of some pairs, also what labelers said about them; hashes, votes and verdicts stay."""
    forget_words(conn, pair_ids)
    mine = pairs.c.id.in_(pair_ids)
    conn.execute(update(pairs).where(mine).values(prompt="[]", response_a="", response_b="", purged=True))
    conn.execute(update(votes).where(votes.c.pair_id.in_(pair_ids)).values(rationale=None))
    mine_asked = requests.c.pair_id.in_(pair_ids)
    asked = select(requests.c.id).where(mine_asked)
    said = {"reply": None, "reasoning": None, "log_probs": None, "error": None}
    conn.execute(update(attempts).where(attempts.c.request_id.in_(asked)).values(**said))
    conn.execute(update(requests).where(mine_asked).values(why=None))
    conn.execute(delete(memberships).where(memberships.c.pair_id.in_(pair_ids)))
    conn.execute(delete(aliases).where(aliases.c.pair_id.in_(pair_ids)))


def _held_by_it_alone(dataset_id: int) -> ColumnElement[bool]:
    mine = select(memberships.c.pair_id).where(memberships.c.dataset_id == dataset_id)
    visible = select(datasets.c.id).where(datasets.c.removed.is_(None), datasets.c.id != dataset_id)
    others = select(memberships.c.pair_id).where(memberships.c.dataset_id.in_(visible))
    return pairs.c.id.in_(mine) & pairs.c.id.not_in(others) & pairs.c.purged.is_(False)
