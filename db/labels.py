"""What votes add up to: derived, and rebuildable from the votes at any time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, case, delete, func, or_, select

from core.label import label_of
from core.records import Consistency, Kind, Label, Order, Preference, Vote
from db import labelers as labeler_rows
from db.connect import insert_many
from db.schema import imports, labelers, labels, memberships, votes

COLUMNS = ["pair_id", "side", "p_a", "p_tie", "consistency", "num_votes"]
VOTE_COLUMNS = ["pair_id", "preference", "p_a", "shown", "principle", "contradicts"]
_CHUNK = 5000


def rebuild(
    conn: Connection, pair_ids: Sequence[int], *, including: int | None = None, labeler_id: int | None = None
) -> list[tuple[int, int, Label]]:
    """Derive the labels of some pairs from their votes and store them; (pair, labeler, label).

    Args:
        including: an import that is not published yet and whose votes count here.
        labeler_id: only the labels of this labeler version.
    """
    voted: ColumnElement[bool] = votes.c.pair_id.in_(pair_ids)
    labeled: ColumnElement[bool] = labels.c.pair_id.in_(pair_ids)
    if labeler_id is not None:
        voted, labeled = voted & (votes.c.labeler_id == labeler_id), labeled & (labels.c.labeler_id == labeler_id)
    made = [
        (pair_id, maker, label_of([vote for _, _, vote in group]))
        for (pair_id, maker), group in groupby(_votes_of(conn, voted, including=including), key=lambda row: row[:2])
    ]
    conn.execute(delete(labels).where(labeled))
    upsert_labels(conn, made)
    return made


def upsert_labels(conn: Connection, made: Sequence[tuple[int, int, Label]]) -> None:
    insert_many(conn, labels, [_label_row(*one) for one in made])


def _label_row(pair_id: int, labeler_id: int, label: Label) -> dict[str, object]:
    return {
        "pair_id": pair_id,
        "labeler_id": labeler_id,
        "p_a": label.p_a,
        "p_tie": label.p_tie,
        "side": None if label.side is None else label.side.value,
        "consistency": label.consistency.value,
        "num_votes": label.num_votes,
    }


def for_pairs(conn: Connection, labeler: str, pair_ids: Sequence[int], *, dataset_id: int) -> dict[int, Label]:
    """The labels of a labeler (or of a pooled kind) on some pairs of a dataset; pairs without one are absent."""
    versions = labeler_rows.newest_versions(conn, labeler, dataset_id=dataset_id)
    return dict(_labels(conn, labeler, versions, within=pair_ids))


def frame(conn: Connection, *, labeler: str, dataset_id: int) -> pd.DataFrame:
    """All labels of a labeler (or of a pooled kind) on a dataset: one row a pair, columns COLUMNS."""
    versions = labeler_rows.newest_versions(conn, labeler, dataset_id=dataset_id)
    if not labeler_rows.is_pooled(labeler):
        mine = labels.c.labeler_id.in_(versions) & _visible(dataset_id)
        joined = memberships.join(labels, labels.c.pair_id == memberships.c.pair_id)
        wanted = select(*(labels.c[name] for name in COLUMNS)).select_from(joined).where(mine)
        found = conn.execute(wanted.order_by(memberships.c.id))
        return pd.DataFrame(found.all(), columns=COLUMNS).astype({"side": object, "consistency": object})
    ids = conn.execute(select(memberships.c.pair_id).where(_visible(dataset_id))).scalars().all()
    rows = [
        (pair_id, label.side, label.p_a, label.p_tie, label.consistency.value, label.num_votes)
        for start in range(0, len(ids), _CHUNK)
        for pair_id, label in _labels(conn, labeler, versions, within=ids[start : start + _CHUNK])
    ]
    made = pd.DataFrame(rows, columns=COLUMNS)
    return made.astype({"side": object, "consistency": object})


def _labels(
    conn: Connection, labeler: str, versions: Sequence[int], *, within: Sequence[int]
) -> Iterator[tuple[int, Label]]:
    if not labeler_rows.is_pooled(labeler):
        rows = conn.execute(select(labels).where(labels.c.labeler_id.in_(versions), labels.c.pair_id.in_(within)))
        for row in rows:
            yield row.pair_id, _label(row)
        return
    # Pooled on demand: kept, it would double the table for those who never ask.
    chosen = _votes_of(conn, votes.c.pair_id.in_(within) & votes.c.labeler_id.in_(versions))
    for pair_id, group in groupby(sorted(chosen, key=lambda row: row[0]), key=lambda row: row[0]):
        yield pair_id, label_of([vote for _, _, vote in group])


def shown_votes(conn: Connection, *, labeler: str, dataset_id: int) -> pd.DataFrame:
    """A labeler's decided votes whose shown order is known: pair_id, a_first (1 or 0), p_a (1 or 0)."""
    versions = labeler_rows.newest_versions(conn, labeler, dataset_id=dataset_id)
    published = select(imports.c.id).where(imports.c.published.is_not(None))
    wanted = (
        select(
            votes.c.pair_id,
            case((votes.c.shown == Order.AB.value, 1), else_=0).label("a_first"),
            case((votes.c.preference == Preference.A.value, 1), else_=0).label("p_a"),
        )
        .join(memberships, memberships.c.pair_id == votes.c.pair_id)
        .where(
            _visible(dataset_id),
            votes.c.labeler_id.in_(versions),
            votes.c.shown.is_not(None),
            votes.c.preference != Preference.TIE.value,
            or_(votes.c.import_id.is_(None), votes.c.import_id.in_(published)),
        )
        .order_by(votes.c.id)
    )
    found = conn.execute(wanted)
    return pd.DataFrame(found.all(), columns=list(found.keys()))


def votes_frame(conn: Connection, *, labeler: str, dataset_id: int) -> pd.DataFrame:
    """Every vote of a labeler (or of a pooled kind) on a dataset: one row a vote, columns VOTE_COLUMNS."""
    versions = labeler_rows.newest_versions(conn, labeler, dataset_id=dataset_id)
    seen = select(imports.c.id).where(imports.c.published.is_not(None))
    counted = or_(votes.c.import_id.is_(None), votes.c.import_id.in_(seen))
    joined = memberships.join(votes, votes.c.pair_id == memberships.c.pair_id)
    wanted = select(*(votes.c[name] for name in VOTE_COLUMNS)).select_from(joined)
    mine = _visible(dataset_id) & votes.c.labeler_id.in_(versions) & counted
    found = conn.execute(wanted.where(mine).order_by(memberships.c.id, votes.c.id))
    return pd.DataFrame(found.all(), columns=VOTE_COLUMNS).astype(
        {"p_a": float, "shown": object, "principle": object, "contradicts": object}
    )


def of_pair(conn: Connection, pair_id: int) -> list[tuple[str, Label]]:
    """Every labeler's label on one pair, by name."""
    found = select(labelers.c.name, labels).join(labelers, labelers.c.id == labels.c.labeler_id)
    return [(row.name, _label(row)) for row in conn.execute(found.where(labels.c.pair_id == pair_id))]


def votes_of(conn: Connection, pair_id: int) -> list[Vote]:
    """Every published vote on one pair, oldest first, in the pair's stored order."""
    return [vote for _, _, vote in _votes_of(conn, votes.c.pair_id == pair_id)]


def votes_of_pairs(conn: Connection, pair_ids: Sequence[int]) -> dict[int, list[Vote]]:
    """The same for several pairs by id; pairs without a vote are absent."""
    found = groupby(_votes_of(conn, votes.c.pair_id.in_(pair_ids)), key=lambda row: row[0])
    return {pair_id: [vote for _, _, vote in group] for pair_id, group in found}


def count_labels(conn: Connection, dataset_id: int, *, including: int | None = None) -> dict[int, int]:
    """labeler_id -> number of pairs of a dataset that it has a label on."""
    mine = _visible(dataset_id)
    if including is not None:
        mine = (memberships.c.dataset_id == dataset_id) & (_published(including))
    counted = (
        select(labels.c.labeler_id, func.count())
        .join(memberships, memberships.c.pair_id == labels.c.pair_id)
        .where(mine)
        .group_by(labels.c.labeler_id)
    )
    return {int(row[0]): int(row[1]) for row in conn.execute(counted)}


def _published(including: int | None) -> ColumnElement[bool]:
    seen = select(imports.c.id).where(imports.c.published.is_not(None))
    return or_(memberships.c.import_id.in_(seen), memberships.c.import_id == including)


def _visible(dataset_id: int) -> ColumnElement[bool]:
    seen = select(imports.c.id).where(imports.c.published.is_not(None))
    return (memberships.c.dataset_id == dataset_id) & memberships.c.import_id.in_(seen)


def _votes_of(
    conn: Connection, condition: ColumnElement[bool], *, including: int | None = None
) -> Iterator[tuple[int, int, Vote]]:
    """(pair, labeler, vote) by pair, then labeler, then the order of arrival."""
    seen = select(imports.c.id).where(imports.c.published.is_not(None))
    counted = or_(votes.c.import_id.is_(None), votes.c.import_id.in_(seen), votes.c.import_id == including)
    names = {row.id: (row.name, Kind(row.kind)) for row in conn.execute(select(labelers))}
    rows = conn.execute(
        select(votes).where(condition, counted).order_by(votes.c.pair_id, votes.c.labeler_id, votes.c.id)
    )
    for row in rows:
        name, kind = names[row.labeler_id]
        yield (
            row.pair_id,
            row.labeler_id,
            Vote(
                labeler=name,
                kind=kind,
                preference=Preference(row.preference),
                p_a=row.p_a,
                strength=row.strength,
                order=None if row.shown is None else Order(row.shown),
                rationale=row.rationale,
                principle=row.principle,
                weight=row.weight,
            ),
        )


def _label(row: object) -> Label:
    values: Mapping[str, Any] = row._mapping  # type: ignore[attr-defined]
    side = values["side"]
    return Label(
        p_a=float(values["p_a"]),
        p_tie=float(values["p_tie"]),
        side=None if side is None else Preference(side),
        consistency=Consistency(values["consistency"]),
        num_votes=int(values["num_votes"]),
    )
