"""People's answers. Only added to: an undo is a row that names the row it undoes."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select, true

from core.records import Decision, Order, Preference
from db.schema import labelers, labels, memberships, pairs, verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One verdict in the pair's stored order."""

    id: int
    pair_id: int
    reviewer: str
    decision: Decision
    reason: str | None
    shown: Order
    blind: bool
    label_side: Preference | None
    created: float


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


def bring_back(conn: Connection, given: Sequence[tuple[str, Verdict]]) -> int:
    """Add verdicts of another store by the hash of their pair; how many.

    A reviewer who said something on the pair since, or this very thing, or took it back, is not overruled.
    """
    added = 0
    for digest, verdict in given:
        pair_id = conn.execute(select(pairs.c.id).where(pairs.c.hash == bytes.fromhex(digest))).scalar()
        spoke = (verdicts.c.pair_id == pair_id) & (verdicts.c.reviewer == verdict.reviewer)
        since = select(verdicts.c.id).where(spoke, verdicts.c.created >= verdict.created).limit(1)
        if pair_id is None or conn.execute(since).scalar() is not None:
            continue
        row = {
            "pair_id": pair_id,
            "reviewer": verdict.reviewer,
            "decision": verdict.decision.value,
            "reason": verdict.reason,
            "shown": verdict.shown.value,
            "blind": verdict.blind,
            "label_side": None if verdict.label_side is None else verdict.label_side.value,
            "created": verdict.created,
        }
        conn.execute(insert(verdicts).values(**row))
        added += 1
    return added


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
