"""Who says which is better: names, versions, and how much each has labeled."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from core.errors import Ambiguous, BadConfig, NotFound
from core.records import Kind
from db.names import check_text
from db.schema import dataset_labelers, datasets, imports, labelers, labels, memberships

PEOPLE, AI = "people", "ai"  # all votes of one kind, pooled into one label
VERDICTS = "verdicts"  # what people decided, where it stands beside labels
_POOLED = {PEOPLE: Kind.HUMAN, AI: Kind.AI}
_IMPORTED = {"source": "imported"}
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerSummary:
    """One labeler version and the number of pairs it has a label on (in the dataset asked for, else everywhere)."""

    id: int
    name: str
    version: str
    kind: Kind
    num_labels: int
    config: Mapping[str, object]


def imported(conn: Connection, name: str, kind: Kind) -> int:
    """The labeler that stands behind a file's votes; its id. BadConfig if nobody can have that name."""
    config = {**_IMPORTED, "kind": kind.value}
    version = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    return _version(conn, name, version, kind, config)


def asked(
    conn: Connection, name: str, version: str, *, config: Mapping[str, object], constitution_id: int | None
) -> int:
    """A version of a labeler that answers requests; its id."""
    return _version(conn, name, version, Kind.AI, config, constitution_id)


def _version(
    conn: Connection,
    name: str,
    version: str,
    kind: Kind,
    config: Mapping[str, object],
    constitution_id: int | None = None,
) -> int:
    check_name(name)
    same = (labelers.c.name == name) & (labelers.c.version == version)
    found = conn.execute(select(labelers.c.id).where(same)).scalar()
    if found is not None:
        return int(found)
    row = {
        "name": name,
        "version": version,
        "kind": kind.value,
        "config": json.dumps(config),
        "constitution_id": constitution_id,
        "created": time.time(),
    }
    return int(conn.execute(insert(labelers).values(**row).returning(labelers.c.id)).scalar_one())


def check_name(name: str) -> None:
    """BadConfig if the word is not free to name a labeler."""
    if name in _POOLED:
        raise BadConfig(f"a labeler cannot be named {name!r}: that word means all labelers of one kind together")
    if name == VERDICTS:
        raise BadConfig(f"a labeler cannot be named {name!r}: that word means what people decided")
    check_text(name, "a labeler's name")


def summaries(conn: Connection, dataset_id: int | None = None) -> list[LabelerSummary]:
    """Labeler versions, the most frequent first; without a dataset, over all visible ones, each pair once."""
    counts = _counts_everywhere(conn) if dataset_id is None else _counts_in(conn, dataset_id)
    rows = conn.execute(select(labelers).where(labelers.c.id.in_(list(counts)))).all()
    return [
        LabelerSummary(
            id=row.id,
            name=row.name,
            version=row.version,
            kind=Kind(row.kind),
            num_labels=counts[row.id],
            config=json.loads(row.config),
        )
        for row in sorted(rows, key=lambda row: (-counts[row.id], row.id))
    ]


def _counts_in(conn: Connection, dataset_id: int) -> dict[int, int]:
    kept = select(dataset_labelers.c.labeler_id, dataset_labelers.c.num_labels)
    found = conn.execute(kept.where(dataset_labelers.c.dataset_id == dataset_id))
    return {int(labeler_id): int(num_labels) for labeler_id, num_labels in found}


def _counts_everywhere(conn: Connection) -> dict[int, int]:
    """The kept count where a labeler stands in one dataset; else its pairs are counted, since datasets share them."""
    visible = select(datasets.c.id).where(datasets.c.removed.is_(None))
    grouped = (
        select(dataset_labelers.c.labeler_id, func.count(), func.max(dataset_labelers.c.num_labels))
        .where(dataset_labelers.c.dataset_id.in_(visible))
        .group_by(dataset_labelers.c.labeler_id)
    )
    published = select(imports.c.id).where(imports.c.published.is_not(None))
    held = memberships.c.dataset_id.in_(visible) & memberships.c.import_id.in_(published)
    is_held = select(memberships.c.id).where(memberships.c.pair_id == labels.c.pair_id, held).exists()
    counts: dict[int, int] = {}
    for labeler_id, num_datasets, num_labels in conn.execute(grouped).all():
        exact = select(func.count()).where(labels.c.labeler_id == labeler_id, is_held)
        counts[labeler_id] = int(num_labels if num_datasets == 1 else conn.execute(exact).scalar_one())
    return counts


def resolve(conn: Connection, dataset_id: int, name: str | None) -> str:
    """The labeler meant: the name if it labeled something there, else the dataset's only one.

    Raises NotFound or Ambiguous with the names there are, the most frequent first.
    """
    found = summaries(conn, dataset_id)
    names = list(dict.fromkeys(labeler.name for labeler in found))
    if not names:
        raise NotFound("the dataset has no labels yet: import some, or let a labeler label it")
    listed = ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    )
    if name in _POOLED:
        if any(labeler.kind is _POOLED[name] for labeler in found):
            return name
        raise NotFound(f"no labeler of the dataset is of the kind {name!r} means; it has {listed}")
    if name is not None:
        if name in names:
            return name
        raise NotFound(f"no labeler {name!r} in the dataset; it has {listed} (or people, or ai, for all of a kind)")
    if len(names) > 1:
        raise Ambiguous(f"the dataset has {len(names):,} labelers: {listed}; name one with --labeler, or people, or ai")
    return names[0]


def newest_versions(conn: Connection, name: str, *, dataset_id: int) -> list[int]:
    """Ids whose votes count under a name in a dataset: one version of it, or of every labeler of a pooled kind.

    The newest version that labeled something there. Versions of an imported name differ only in their kind, and none of
    them replaces another: the one that labeled more of the dataset counts, so that a shared pair decides nothing.
    """
    versions = select(labelers.c.id, labelers.c.name, labelers.c.config, dataset_labelers.c.num_labels).join(
        dataset_labelers, dataset_labelers.c.labeler_id == labelers.c.id
    )
    wanted = labelers.c.kind == _POOLED[name].value if name in _POOLED else labelers.c.name == name
    best: dict[str, tuple[int, int]] = {}
    for row in conn.execute(versions.where(wanted, dataset_labelers.c.dataset_id == dataset_id)):
        is_imported = json.loads(row.config).get("source") == _IMPORTED["source"]
        rank = (int(row.num_labels) if is_imported else 0, int(row.id))
        best[row.name] = max(rank, best.get(row.name, rank))
    return [labeler_id for _, labeler_id in best.values()]


def is_pooled(name: str) -> bool:
    return name in _POOLED


def store_counts(conn: Connection, dataset_id: int, num_labels: Mapping[int, int]) -> None:
    """Replace the kept counts of a dataset."""
    conn.execute(delete(dataset_labelers).where(dataset_labelers.c.dataset_id == dataset_id))
    rows = [{"dataset_id": dataset_id, "labeler_id": i, "num_labels": n} for i, n in num_labels.items()]
    if rows:
        conn.execute(insert(dataset_labelers), rows)
