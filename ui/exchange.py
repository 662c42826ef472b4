"""A dataset as lines of a file, and back: what such a line holds beyond a pair and its labels.

A line is one of the layout of pairs with the user's own columns beside it. Under the one key `tiebreak` stands what the
layout has no word for: declared part, aliases, every verdict. Other readers may ignore it; an import gives it back.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from core import formats
from core.errors import BadConfig
from core.records import BadRow, Decision, GivenVerdict, IdenticalRow, Order, PairRow, Part, Preference
from db import connect, labelers, labels, pairs, verdicts

KEY = "tiebreak"
_CHUNK = 1000
_MIRRORED = {Decision.A: Decision.B, Decision.B: Decision.A}
_OTHER_SIDE = {Preference.A: Preference.B, Preference.B: Preference.A}
_OTHER_ORDER = {Order.AB: Order.BA, Order.BA: Order.AB}


def lines(conn: connect.Connection, dataset_id: int) -> Iterator[dict[str, object]]:
    """A dataset in its order, a chunk at a time, everything in the orientation of the user's file."""
    decided = verdicts.effective(conn, dataset_id=dataset_id)
    members = pairs.members(conn, dataset_id)
    while chunk := list(islice(members, _CHUNK)):
        ids = [member.pair_id for member in chunk]
        texts, votes = dict(pairs.texts(conn, ids)), labels.votes_of_pairs(conn, ids)
        given, said = pairs.as_given(conn, dataset_id, ids), verdicts.of_pairs(conn, ids)
        for member in chunk:
            pair, verdict = texts[member.pair_id], decided.get(member.pair_id)
            responses = [pair.response_a, pair.response_b]
            line = formats.pair_line(
                row_id=member.row_id,
                prompt=pair.prompt,
                responses=responses[::-1] if member.swapped else responses,
                votes=[vote.swapped() if member.swapped else vote for vote in votes.get(member.pair_id, [])],
                subset=member.subset,
                verdict=_MIRRORED.get(verdict, verdict) if member.swapped and verdict else verdict,
            )
            spoken = [_verdict_line(one, is_swapped=member.swapped) for one in said.get(member.pair_id, [])]
            yield _with_extras(line, given[member.pair_id], spoken)


def _with_extras(line: dict[str, object], given: pairs.AsGiven, spoken: list[dict[str, object]]) -> dict[str, object]:
    meta: dict[str, object] = {} if given.meta is None else json.loads(given.meta)
    words = {"preference", "p_a", "strength", "system", "dropped", "labels", KEY, *line}
    extras: dict[str, object] = {
        "split": None if given.split is None else given.split.value,
        "aliases": given.aliases,
        "verdicts": spoken,
        "meta": {key: value for key, value in meta.items() if key in words},  # would be read as something else
    }
    kept = {key: value for key, value in extras.items() if value}
    free = {key: value for key, value in meta.items() if key not in words}
    return line | free | ({KEY: kept} if kept else {})


def _verdict_line(verdict: GivenVerdict, *, is_swapped: bool) -> dict[str, object]:
    decision, side, shown = verdict.decision, verdict.label_side, verdict.shown
    if is_swapped:
        decision, shown = _MIRRORED.get(decision, decision), _OTHER_ORDER[shown]
        side = None if side is None else _OTHER_SIDE.get(side, side)
    values = {
        "reviewer": verdict.reviewer,
        "decision": decision.value,
        "reason": verdict.reason,
        "shown": shown.value,
        "blind": verdict.blind,
        "label_side": None if side is None else side.value,
        "created": verdict.created,
    }
    return {key: value for key, value in values.items() if value is not None}


def returning(
    rows: Iterable[PairRow | BadRow | IdenticalRow], *, file: str
) -> Iterator[PairRow | BadRow | IdenticalRow]:
    """Rows with what `lines` wrote beside each given back: its declared part, its aliases, its verdicts."""
    fit: set[str] = set()
    for row in rows:
        if not isinstance(row, PairRow):
            yield row
            continue
        try:
            extras, plain = _without_extras(row)
            for name in {vote.labeler for vote in plain.votes} - fit:
                labelers.check_name(name)
                fit.add(name)
            further = [str(alias) for alias in extras.get("aliases", [])]
            spoken = tuple(_verdict_of(one, is_swapped=row.swapped) for one in extras.get("verdicts", []))
            part = None if extras.get("split") is None else Part(extras["split"])
            whole = replace(plain, split=part, verdicts=spoken)
        except (BadConfig, ValueError, KeyError, TypeError, AttributeError) as error:
            is_name = isinstance(error, BadConfig)
            reason = str(error) if is_name else f"{KEY} is not as export-data writes it ({error})"
            kind = "labeler's name" if is_name else f"bad {KEY}"
            yield BadRow(file=file, line=row.line, kind=kind, reason=reason)
            continue
        yield whole
        for alias in further:
            yield replace(plain, id=alias, votes=(), meta=None)


def _without_extras(row: PairRow) -> tuple[dict[str, Any], PairRow]:
    meta = {} if row.meta is None else json.loads(row.meta)
    extras = meta.pop(KEY, None)
    if not isinstance(extras, dict):
        return {}, row
    if extras.get("verdicts"):
        meta.pop("dropped", None)
    meta |= extras.get("meta", {})
    kept = tuple(vote for vote in row.votes if not (extras.get("verdicts") and vote.labeler == labelers.VERDICTS))
    return extras, replace(row, votes=kept, meta=json.dumps(meta, ensure_ascii=False) if meta else None)


def _verdict_of(line: Mapping[str, Any], *, is_swapped: bool) -> GivenVerdict:
    decision, shown = Decision(line["decision"]), Order(line["shown"])
    side = None if line.get("label_side") is None else Preference(line["label_side"])
    if is_swapped:
        decision, shown = _MIRRORED.get(decision, decision), _OTHER_ORDER[shown]
        side = None if side is None else _OTHER_SIDE.get(side, side)
    return GivenVerdict(
        reviewer=str(line["reviewer"]),
        decision=decision,
        reason=line.get("reason"),
        shown=shown,
        blind=bool(line["blind"]),
        label_side=side,
        created=float(line["created"]),
    )
