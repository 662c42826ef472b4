"""People's answers. Only added to: an undo is a row that names the row it undoes."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select, true

from core.records import Decision, GivenVerdict, Order, Preference
from db.connect import insert_many
from db.schema import labelers, labels, memberships, verdicts

_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(GivenVerdict):
    """One verdict as the store has it."""

    id: int
    pair_id: int


def decide(  # noqa: PLR0913 - a verdict has this many facts
    conn: Connection,
    *,
    pair_id: int,
    reviewer: str,
    decision: Decision,
    shown: Order,
    blind: bool,
    labeler: str | None = None,
    label_side: Preference | None = None,
    reason: str | None = None,
) -> int:
    row = {
        "pair_id": pair_id,
        "reviewer": reviewer,
        "decision": decision.value,
        "reason": reason,
        "shown": shown.value,
        "blind": blind,
        "labeler_id": None if labeler is None else _version_on(conn, pair_id, labeler),
        "label_side": None if label_side is None else label_side.value,
        "created": time.time(),
    }
    return int(conn.execute(insert(verdicts).values(**row).returning(verdicts.c.id)).scalar_one())


def _version_on(conn: Connection, pair_id: int, labeler: str) -> int | None:
    """The newest version of a labeler with a label on the pair; None of a pool, which has no version."""
    versions = select(func.max(labelers.c.id)).join(labels, labels.c.labeler_id == labelers.c.id)
    return conn.execute(versions.where(labelers.c.name == labeler, labels.c.pair_id == pair_id)).scalar()


def undo(conn: Connection, *, reviewer: str, dataset_id: int | None = None) -> Verdict | None:
    """Undo the reviewer's newest standing verdict (on a dataset's pairs); it is returned, None if there is none."""
    standing = latest(conn, reviewer=reviewer, dataset_id=dataset_id, limit=1)
    if not standing:
        return None
    undone = standing[0]
    row = {
        "pair_id": undone.pair_id,
        "reviewer": reviewer,
        "shown": undone.shown.value,
        "blind": undone.blind,
        "undoes": undone.id,
        "created": time.time(),
    }
    conn.execute(insert(verdicts).values(**row))
    return undone


def latest(
    conn: Connection, *, reviewer: str | None = None, dataset_id: int | None = None, limit: int | None = 10
) -> list[Verdict]:
    """Standing verdicts, the newest first; all of them without a limit."""
    statement = select(verdicts).where(stands(), _on(dataset_id)).order_by(verdicts.c.id.desc()).limit(limit)
    if reviewer is not None:
        statement = statement.where(verdicts.c.reviewer == reviewer)
    return [_verdict(row) for row in conn.execute(statement)]


def of_pair(conn: Connection, pair_id: int) -> list[Verdict]:
    """Standing verdicts on one pair, oldest first."""
    found = select(verdicts).where(stands(), verdicts.c.pair_id == pair_id).order_by(verdicts.c.id)
    return [_verdict(row) for row in conn.execute(found)]


def of_pairs(conn: Connection, pair_ids: Sequence[int]) -> dict[int, list[Verdict]]:
    """The same for several pairs by id; pairs without a verdict are absent."""
    found: dict[int, list[Verdict]] = defaultdict(list)
    for row in conn.execute(select(verdicts).where(stands(), verdicts.c.pair_id.in_(pair_ids)).order_by(verdicts.c.id)):
        found[row.pair_id].append(_verdict(row))
    return found


def bring_back(conn: Connection, given: Sequence[tuple[int, GivenVerdict]]) -> None:
    """Add verdicts that a file gave, by pair_id.

    A reviewer who said something on the pair since, or this very thing, or took it back, is not overruled.
    """
    for start in range(0, len(given), _CHUNK):
        chunk = given[start : start + _CHUNK]
        spoke = (verdicts.c.pair_id, verdicts.c.reviewer)
        there = verdicts.c.pair_id.in_({pair_id for pair_id, _ in chunk})
        spoken = conn.execute(select(*spoke, func.max(verdicts.c.created)).where(there).group_by(*spoke))
        last = {(pair_id, reviewer): created for pair_id, reviewer, created in spoken}
        rows = []
        for pair_id, verdict in chunk:
            if verdict.created > last.get((pair_id, verdict.reviewer), -math.inf):
                last[pair_id, verdict.reviewer] = verdict.created
                rows.append(_columns(pair_id, verdict))
        insert_many(conn, verdicts, rows)


def _columns(pair_id: int, verdict: GivenVerdict) -> dict[str, object]:
    side = verdict.label_side
    enums = {"decision": verdict.decision.value, "shown": verdict.shown.value, "label_side": side and side.value}
    return {**asdict(verdict), **enums, "pair_id": pair_id}


def effective(
    conn: Connection, *, dataset_id: int | None = None, pair_ids: Sequence[int] | None = None
) -> dict[int, Decision]:
    """pair_id -> what people decided: each reviewer's last standing verdict; where reviewers differ, nothing yet."""
    statement = select(verdicts.c.pair_id, verdicts.c.reviewer, verdicts.c.decision).where(stands(), _on(dataset_id))
    if pair_ids is not None:
        statement = statement.where(verdicts.c.pair_id.in_(pair_ids))
    last: dict[int, dict[str, str]] = defaultdict(dict)
    for pair_id, reviewer, decision in conn.execute(statement.order_by(verdicts.c.id)):
        last[pair_id][reviewer] = decision
    return {
        pair_id: Decision(next(iter(by_reviewer.values())))
        for pair_id, by_reviewer in last.items()
        if len(set(by_reviewer.values())) == 1
    }


def count(conn: Connection, dataset_id: int | None = None) -> int:
    """Standing verdicts."""
    statement = select(func.count()).select_from(verdicts).where(stands(), _on(dataset_id))
    return int(conn.execute(statement).scalar_one())


def newest_id(conn: Connection) -> int:
    """Rises with every verdict and every undo, so that caches of what depends on them can key on it; 0 of none."""
    return int(conn.execute(select(func.max(verdicts.c.id))).scalar() or 0)


def any_since(conn: Connection, *, dataset_id: int, when: float) -> bool:
    """Whether a verdict on a dataset's pairs was given or undone after a moment (seconds since 1970)."""
    found = select(verdicts.c.id).where(verdicts.c.created > when, _on(dataset_id)).limit(1)
    return conn.execute(found).scalar() is not None


def stands() -> ColumnElement[bool]:
    """The condition that a row is a verdict that nobody took back."""
    undone = select(verdicts.c.undoes).where(verdicts.c.undoes.is_not(None))
    return verdicts.c.decision.is_not(None) & verdicts.c.id.not_in(undone)


def _on(dataset_id: int | None) -> ColumnElement[bool]:
    """The condition that a row is about a pair of a dataset; of any, where none is named."""
    if dataset_id is None:
        return true()
    # A seek for each verdict: there are few, and going through a dataset's million memberships takes half a second.
    member = (memberships.c.dataset_id == dataset_id) & (memberships.c.pair_id == verdicts.c.pair_id)
    return select(memberships.c.id).where(member).exists()


def _verdict(row: object) -> Verdict:
    values = row._mapping  # type: ignore[attr-defined]
    side = values["label_side"]
    return Verdict(
        id=values["id"],
        pair_id=values["pair_id"],
        reviewer=values["reviewer"],
        decision=Decision(values["decision"]),
        reason=values["reason"],
        shown=Order(values["shown"]),
        blind=values["blind"],
        label_side=None if side is None else Preference(side),
        created=values["created"],
    )
