"""Named sets of memberships."""

import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select, text, update

from core.errors import NotFound
from db.schema import datasets, imports, memberships, pairs, runs, snapshot_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """One visible dataset. `data_version` rises with every write to it, so that caches can key on it."""

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


def touch(conn: Connection, dataset_id: int) -> None:
    """Something of it changed: caches that key on its version are stale."""
    changed = update(datasets).where(datasets.c.id == dataset_id)
    conn.execute(changed.values(data_version=datasets.c.data_version + 1))


def remove(conn: Connection, name: str) -> None:
    """Hide a dataset. Snapshots and runs keep what they froze."""
    conn.execute(update(datasets).where(datasets.c.id == get(conn, name).id).values(removed=time.time()))


def restore(conn: Connection, name: str) -> None:
    """Undo `remove`."""
    conn.execute(update(datasets).where(datasets.c.name == name).values(removed=None))


def purge_count(conn: Connection, name: str) -> int:
    """How many pairs no other visible dataset holds."""
    condition = _held_by_it_alone(get(conn, name).id)
    return int(conn.execute(select(func.count()).select_from(pairs).where(condition)).scalar_one())


def purge(conn: Connection, name: str) -> int:
    """Erase text that no other visible dataset holds, keep hashes, mark runs that trained on it; how many pairs."""
    dataset_id = get(conn, name).id
    ids = list(conn.execute(select(pairs.c.id).where(_held_by_it_alone(dataset_id))).scalars())
    for start in range(0, len(ids), 1000):
        chunk = ids[start : start + 1000]
        if conn.dialect.name == "sqlite":
            _forget_words(conn, chunk)
        conn.execute(
            update(pairs).where(pairs.c.id.in_(chunk)).values(prompt="[]", response_a="", response_b="", purged=True)
        )
        frozen = select(snapshot_pairs.c.snapshot_id).where(snapshot_pairs.c.pair_id.in_(chunk))
        conn.execute(update(runs).where(runs.c.snapshot_id.in_(frozen)).values(unreproducible=True))
        conn.execute(
            delete(memberships).where(memberships.c.dataset_id == dataset_id, memberships.c.pair_id.in_(chunk))
        )
    remaining = select(func.count()).where(memberships.c.dataset_id == dataset_id).scalar_subquery()
    conn.execute(update(datasets).where(datasets.c.id == dataset_id).values(num_pairs=remaining))
    return len(ids)


def _held_by_it_alone(dataset_id: int) -> ColumnElement[bool]:
    mine = select(memberships.c.pair_id).where(memberships.c.dataset_id == dataset_id)
    visible = select(datasets.c.id).where(datasets.c.removed.is_(None), datasets.c.id != dataset_id)
    others = select(memberships.c.pair_id).where(memberships.c.dataset_id.in_(visible))
    return pairs.c.id.in_(mine) & pairs.c.id.not_in(others) & pairs.c.purged.is_(False)


def _forget_words(conn: Connection, ids: list[int]) -> None:
    indexed = "COALESCE((SELECT indexed_to FROM search_progress WHERE id = 1), 0)"
    for pair_id in ids:
        conn.execute(
            text(
                "INSERT INTO pair_words(pair_words, rowid, prompt, response_a, response_b) "
                f"SELECT 'delete', id, prompt, response_a, response_b FROM pairs WHERE id = :id AND id <= {indexed}"
            ),
            {"id": pair_id},
        )
