"""Frozen training sets: what a run trained on, whatever happens to labels and verdicts later."""

import hashlib
import math
import struct
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from core.config import Targets
from core.errors import NotFound
from core.records import Candidate, Consistency, Decision, Label, Origin, Part, Preference, SnapshotPair
from db import labelers as labeler_rows
from db import labels as label_rows
from db import pairs as pair_rows
from db import verdicts as verdict_rows
from db.schema import imports, memberships, snapshot_pairs, snapshots
from db.schema import labels as label_table

_CHUNK = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRow:
    """One pair of a snapshot, without its text.

    Attributes:
        consistency: of the votes behind a label, where the row was made just now; it is not frozen.
    """

    pair_id: int
    p_a: float
    p_tie: float
    weight: float
    part: Part
    origin: Origin
    consistency: Consistency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """How many pairs a training set has and leaves out.

    Attributes:
        num_without_label: pairs that nobody labeled or decided.
        num_dropped: pairs that a person dropped.
        num_verdicts: pairs whose target is a person's verdict.
        num_ties: pairs whose target is a tie; None where labels are pooled, which only freezing does.
    """

    parts: Mapping[Part, int]
    num_without_label: int
    num_dropped: int
    num_verdicts: int
    num_ties: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSummary(Contents):
    """A snapshot and what was left out of it."""

    id: int
    hash: str


def count(conn: Connection, *, dataset_id: int, labeler: str) -> Contents:
    """What a run started now would train on, counted and not frozen."""
    versions = labeler_rows.newest_versions(conn, labeler, dataset_id=dataset_id)
    labeled = select(label_table.c.pair_id).where(label_table.c.labeler_id.in_(versions))
    seen = select(imports.c.id).where(imports.c.published.is_not(None))
    visible = (memberships.c.dataset_id == dataset_id) & memberships.c.import_id.in_(seen)
    is_labeled = memberships.c.pair_id.in_(labeled)
    is_tied = memberships.c.pair_id.in_(labeled.where(label_table.c.p_a == 0.5, label_table.c.p_tie > 0))
    by_part = select(
        memberships.c.part, func.count(), func.count().filter(is_labeled), func.count().filter(is_tied)
    ).where(visible)
    members, usable, ties = Counter[Part](), Counter[Part](), 0
    for part, number, number_labeled, number_tied in conn.execute(by_part.group_by(memberships.c.part)):
        members[Part(part)], usable[Part(part)] = number, number_labeled
        ties += number_tied
    # Verdicts are few beside labels: each moves its pair from what the labels alone would give.
    decided = verdict_rows.effective(conn, dataset_id=dataset_id)
    reviewed = select(memberships.c.pair_id, memberships.c.part, is_labeled, is_tied).where(
        visible, memberships.c.pair_id.in_(list(decided))
    )
    dropped = num_verdicts = 0
    for pair_id, part, labeled_too, tied in conn.execute(reviewed):
        is_dropped = decided[pair_id] is Decision.DROP
        usable[Part(part)] += int(not is_dropped) - int(labeled_too)
        ties += int(decided[pair_id] is Decision.TIE) - int(tied)
        dropped, num_verdicts = dropped + is_dropped, num_verdicts + (not is_dropped)
    return Contents(
        parts={part: usable[part] for part in Part},
        num_without_label=members.total() - usable.total() - dropped,
        num_dropped=dropped,
        num_verdicts=num_verdicts,
        num_ties=None if labeler_rows.is_pooled(labeler) else ties,
    )


def freeze(conn: Connection, *, dataset_id: int, labeler: str, targets: Targets) -> SnapshotSummary:
    """Freeze what a run started now would train on. Equal content is the same snapshot."""
    found, without_label, dropped = _targets(conn, dataset_id, labeler, targets)
    digest = _digest(found)
    known = conn.execute(select(snapshots.c.id).where(snapshots.c.hash == digest)).scalar()
    num_verdicts = sum(row.origin is Origin.VERDICT for _, row in found)
    if known is None:
        values = {
            "hash": digest,
            "dataset_id": dataset_id,
            "labeler": labeler,
            "targets": targets.value,
            "created": time.time(),
            "num_pairs": len(found),
            "num_without_label": without_label,
            "num_dropped": dropped,
            "num_verdicts": num_verdicts,
        }
        known = conn.execute(insert(snapshots).values(**values).returning(snapshots.c.id)).scalar_one()
        for start in range(0, len(found), _CHUNK):
            chunk = [_values(int(known), row) for _, row in found[start : start + _CHUNK]]
            conn.execute(insert(snapshot_pairs), chunk)
    counted = Counter(row.part for _, row in found)
    return SnapshotSummary(
        id=int(known),
        hash=digest.hex(),
        parts={part: counted[part] for part in Part},
        num_without_label=without_label,
        num_dropped=dropped,
        num_verdicts=num_verdicts,
        num_ties=sum(row.p_a == 0.5 and row.p_tie > 0 for _, row in found),
    )


def would_be(conn: Connection, *, dataset_id: int, labeler: str, targets: Targets) -> str:
    """The hash of the snapshot that `freeze` would make now; nothing is written."""
    return _digest(_targets(conn, dataset_id, labeler, targets)[0]).hex()


def candidates(conn: Connection, *, dataset_id: int, labeler: str | None, targets: Targets) -> list[Candidate]:
    """What `freeze` would take, with its text, in the file's order; without a labeler every pair, unlabeled.

    Pairs whose text was purged are left out.
    """
    rows: dict[int, SnapshotRow] | None = None
    if labeler is not None:
        rows = {row.pair_id: row for _, row in _targets(conn, dataset_id, labeler, targets)[0]}
    members = [one for one in pair_rows.members(conn, dataset_id) if rows is None or one.pair_id in rows]
    texts = dict(pair_rows.texts(conn, [one.pair_id for one in members]))
    return [
        Candidate(
            pair_id=one.pair_id,
            pair=texts[one.pair_id],
            part=one.part,
            swapped=one.swapped,
            p_a=math.nan if rows is None else rows[one.pair_id].p_a,
            p_tie=math.nan if rows is None else rows[one.pair_id].p_tie,
            consistency=None if rows is None else rows[one.pair_id].consistency,
            subset=one.subset,
        )
        for one in members
        if one.pair_id in texts
    ]


def hash_of(conn: Connection, snapshot_id: int) -> str:
    return bytes(conn.execute(select(snapshots.c.hash).where(snapshots.c.id == snapshot_id)).scalar_one()).hex()


def counts(conn: Connection, snapshot_id: int) -> SnapshotSummary:
    row = conn.execute(select(snapshots).where(snapshots.c.id == snapshot_id)).one_or_none()
    if row is None:
        raise NotFound(f"no snapshot {snapshot_id} in the store")
    tied = (snapshot_pairs.c.p_a == 0.5) & (snapshot_pairs.c.p_tie > 0)
    grouped = select(snapshot_pairs.c.part, func.count(), func.count().filter(tied)).where(
        snapshot_pairs.c.snapshot_id == snapshot_id
    )
    by_part, ties = {}, 0
    for part, number, number_tied in conn.execute(grouped.group_by(snapshot_pairs.c.part)):
        by_part[Part(part)] = number
        ties += number_tied
    return SnapshotSummary(
        id=row.id,
        hash=bytes(row.hash).hex(),
        parts={part: by_part.get(part, 0) for part in Part},
        num_without_label=row.num_without_label,
        num_dropped=row.num_dropped,
        num_verdicts=row.num_verdicts,
        num_ties=ties,
    )


def rows(conn: Connection, snapshot_id: int) -> list[SnapshotRow]:
    """A snapshot's pairs by pair id."""
    found = select(snapshot_pairs).where(snapshot_pairs.c.snapshot_id == snapshot_id).order_by(snapshot_pairs.c.pair_id)
    return [
        SnapshotRow(
            pair_id=row.pair_id,
            p_a=row.p_a,
            p_tie=row.p_tie,
            weight=row.weight,
            part=Part(row.part),
            origin=Origin(row.origin),
        )
        for row in conn.execute(found)
    ]


def pairs(conn: Connection, snapshot_id: int) -> list[SnapshotPair]:
    """A snapshot's pairs with their text; pairs whose text was purged are left out."""
    frozen = rows(conn, snapshot_id)
    texts = dict(pair_rows.texts(conn, [row.pair_id for row in frozen]))
    return [
        SnapshotPair(
            pair_id=row.pair_id,
            pair=texts[row.pair_id],
            p_a=row.p_a,
            p_tie=row.p_tie,
            weight=row.weight,
            part=row.part,
            origin=row.origin,
        )
        for row in frozen
        if row.pair_id in texts
    ]


def _targets(
    conn: Connection, dataset_id: int, labeler: str, targets: Targets
) -> tuple[list[tuple[str, SnapshotRow]], int, int]:
    """(pair hash, row) by pair hash; how many had no label; how many were dropped."""
    decided = verdict_rows.effective(conn, dataset_id=dataset_id)
    members = list(pair_rows.members(conn, dataset_id))
    found: list[tuple[str, SnapshotRow]] = []
    without_label = dropped = 0
    for start in range(0, len(members), _CHUNK):
        chunk = members[start : start + _CHUNK]
        ids = [member.pair_id for member in chunk]
        labels = label_rows.for_pairs(conn, labeler, ids, dataset_id=dataset_id)
        digests = pair_rows.hashes(conn, ids)
        for member in chunk:
            decision, label = decided.get(member.pair_id), labels.get(member.pair_id)
            if decision is Decision.DROP:
                dropped += 1
            elif decision is None and label is None:
                without_label += 1
            else:
                row = _target(member.pair_id, member.part, decision, label, targets)
                found.append((digests[member.pair_id], row))
    found.sort(key=lambda one: one[0])
    return found, without_label, dropped


def _target(pair_id: int, part: Part, decision: Decision | None, label: Label | None, targets: Targets) -> SnapshotRow:
    consistency = None
    if decision is not None:
        p_a = {Decision.A: 1.0, Decision.B: 0.0}.get(decision, 0.5)
        p_tie, origin = float(decision is Decision.TIE), Origin.VERDICT
    else:
        assert label is not None  # the caller counted pairs with neither
        p_a, p_tie, origin, consistency = label.p_a, label.p_tie, Origin.LABEL, label.consistency
        if targets is Targets.HARD and label.side is not None:
            p_a, p_tie = float(label.side is Preference.A), 0.0
    return SnapshotRow(
        pair_id=pair_id, p_a=p_a, p_tie=p_tie, weight=1.0, part=part, origin=origin, consistency=consistency
    )


def _digest(found: list[tuple[str, SnapshotRow]]) -> bytes:
    """Over what a model sees of the training set; never row numbers, which differ between stores."""
    digest = hashlib.sha256()
    for pair_hash, row in found:
        digest.update(bytes.fromhex(pair_hash))
        digest.update(struct.pack("<ddd", row.p_a, row.p_tie, row.weight))
        digest.update(f"{row.part.value} {row.origin.value}\n".encode())
    return digest.digest()


def _values(snapshot_id: int, row: SnapshotRow) -> dict[str, object]:
    return {
        "snapshot_id": snapshot_id,
        "pair_id": row.pair_id,
        "p_a": row.p_a,
        "p_tie": row.p_tie,
        "weight": row.weight,
        "part": row.part.value,
        "origin": row.origin.value,
    }
