"""The loop of review: labels ranked by doubt, the queues they wait in, and the verdicts on them."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from core.config import Targets
from core.errors import RunFailed, TiebreakError
from core.measure.triage import rank_by_doubt
from core.records import Bucket, Decision, Order, Pair, Part, Preference, RunKind
from db import connect, datasets, imports, labelers, labels, pairs, rewards, runs, snapshots, verdicts
from ui.actions import held_out
from ui.processes import Store


@dataclass(frozen=True, slots=True)
class Queue:
    """What a bucket of labels is called where people read, and what it means."""

    title: str
    meaning: str


QUEUES = {
    Bucket.LABEL_ERROR: Queue("Probably wrong", "Models that never saw the prompt clearly contradict these labels."),
    Bucket.CONTESTED: Queue(
        "Contested", "Models lean against these labels, but not clearly enough to call them wrong."
    ),
    Bucket.INCONSISTENT: Queue(
        "Labeler inconsistent", "The labeler contradicts itself: its votes differ, or change with the shown order."
    ),
    Bucket.MODEL_ERROR: Queue(
        "Probably the model's error",
        "Models lean the other way, but the labeler was sure each time: trust the labeler.",
    ),
    Bucket.AMBIGUOUS: Queue("Ambiguous", "Neither the labeler nor the models can tell the two apart: perhaps a tie."),
    Bucket.AGREE: Queue("Model agrees", "Models that never saw the prompt say the same; a few show if they are right."),
    Bucket.UNUSABLE: Queue("Unusable", "There is no usable vote."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """A ranked dataset.

    Attributes:
        frame: one row a pair, most doubtful first: the columns of `core.measure.triage.rank_by_doubt` and
            id, subset, part, swapped.
        run: the crossfit run that the margins are from; None where there is none and doubt is the labeler's evidence.
    """

    frame: pd.DataFrame
    labeler: str
    run: runs.Run | None


def decide(  # noqa: PLR0913 - a verdict has this many facts
    store: Store,
    *,
    pair_id: int,
    reviewer: str,
    decision: Decision,
    shown: Order,
    labeler: str | None,
    label_side: Preference | None,
    reason: str | None = None,
    blind: bool = False,
    seen: int | None = None,
) -> int:
    """Write a verdict: absolute (a, b, tie, drop in the stored order), whatever words the page used.

    `seen` is the store's newest verdict when the pair was drawn: refused if the reviewer decided the pair since.
    """
    with connect.write(store.engine) as conn:
        standing = [] if seen is None else verdicts.of_pair(conn, pair_id)
        if any(one.reviewer == reviewer and one.id > (seen or 0) for one in standing):
            raise TiebreakError(f"{reviewer} has decided this pair elsewhere meanwhile; that verdict stands")
        return verdicts.decide(
            conn,
            pair_id=pair_id,
            reviewer=reviewer,
            decision=decision,
            reason=reason,
            shown=shown,
            blind=blind,
            labeler=labeler,
            label_side=label_side,
        )


def undo(store: Store, *, reviewer: str, dataset: str) -> pairs.StoredPair | None:
    """Undo the reviewer's last verdict on a dataset's pairs by a row that names it; the pair, None if there is none."""
    with connect.write(store.engine) as conn:
        undone = verdicts.undo(conn, reviewer=reviewer, dataset_id=datasets.get(conn, dataset).id)
        return None if undone is None else pairs.get(conn, undone.pair_id)


def triage(store: Store, *, dataset: str, labeler: str | None, run_id: int | None = None) -> Triage:
    """Rank a dataset by doubt, from the newest crossfit run of it (or `run_id`'s held-out margins)."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        chosen = labelers.resolve(conn, found.id, labeler)
        run = _margin_run(conn, found.id, chosen, run_id)
        members = pairs.members_frame(conn, found.id)
        evidence = labels.frame(conn, labeler=chosen, dataset_id=found.id)
        margins = _margins(conn, run, found.id)
    if run_id is not None and margins.empty:
        raise RunFailed(
            f"run {run_id} (a {run and run.kind} run) has no margin on a pair of {dataset} that it did not train on; "
            "name a train or crossfit run of it, or leave --run out"
        )
    frame = members.merge(evidence, on="pair_id", how="left").merge(margins, on="pair_id", how="left")
    frame["usable"] = frame["num_votes"].fillna(0) > 0
    # As categories, a million of them compare and count in milliseconds.
    ranked = rank_by_doubt(frame).astype({"part": "category", "bucket": "category"})
    return Triage(frame=ranked, labeler=chosen, run=run)


def _margin_run(conn: connect.Connection, dataset_id: int, labeler: str, run_id: int | None) -> runs.Run | None:
    if run_id is not None:
        return runs.get(conn, run_id)
    return runs.newest(conn, dataset_id=dataset_id, labeler=labeler, kind=RunKind.CROSSFIT)


def _margins(conn: connect.Connection, run: runs.Run | None, dataset_id: int) -> pd.DataFrame:
    """pair_id, margin, margin_agree, fold: only of models that did not train on the pair."""
    columns = ["pair_id", "margin", "margin_agree", "fold"]
    if run is None:
        return pd.DataFrame(columns=columns)
    if run.kind is RunKind.CROSSFIT:
        repeats = rewards.margins_of(conn, run.id)
        grouped = repeats.groupby("pair_id")["margin"]
        mean = grouped.mean()
        agree = repeats.assign(sign=repeats["margin"].gt(0) == repeats["pair_id"].map(mean).gt(0))
        share = agree.groupby("pair_id")["sign"].mean()
        fold = repeats.groupby("pair_id")["fold"].first()
        return pd.DataFrame({"margin": mean, "margin_agree": share, "fold": fold}).reset_index()
    kept = held_out(conn, run, dataset_id)
    return kept[["pair_id", "margin"]].assign(margin_agree=1.0, fold=0)


def crossfit_is_stale(store: Store, *, dataset: str, labeler: str | None) -> bool:
    """Whether no finished crossfit run stands on what a snapshot taken now would hold."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        chosen = labelers.resolve(conn, found.id, labeler)
        run = runs.newest(conn, dataset_id=found.id, labeler=chosen, kind=RunKind.CROSSFIT)
        if run is None or run.snapshot_id is None:
            return True
        targets = Targets(str(run.config["targets"]))
        now = snapshots.would_be(conn, dataset_id=found.id, labeler=chosen, targets=targets)
        return now != snapshots.hash_of(conn, run.snapshot_id)


def changed_since(store: Store, *, dataset: str, when: float) -> bool:
    """Whether labels were imported or verdicts given after a moment: quick, and true of an undone verdict too."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        return imports.any_since(conn, when=when) or verdicts.any_since(conn, dataset_id=found.id, when=when)


def open_labels(store: Store, ranked: Triage, *, dataset: str, reviewer: str | None = None) -> pd.DataFrame:
    """pair_id and bucket of ranked labels that wait for a verdict, by their place in the ranking.

    Without test pairs, and without pairs that people (or this reviewer) decided.
    """
    with connect.read(store.engine) as conn:
        here = datasets.get(conn, dataset).id
        done = set(verdicts.effective(conn, dataset_id=here))
        if reviewer is not None:  # where reviewers differ nothing is effective, yet nobody is asked twice
            done |= {one.pair_id for one in verdicts.latest(conn, reviewer=reviewer, dataset_id=here, limit=None)}
    frame = ranked.frame
    # Two columns: all of a million rows' would be copied at every rerun of a page.
    return frame.loc[(frame["part"] != Part.TEST.value) & ~frame["pair_id"].isin(list(done)), ["pair_id", "bucket"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSize:
    """How many labels of a bucket wait for a verdict, and how many there are with those that do not any more."""

    num_open: int
    num_all: int

    @property
    def share_done(self) -> float:
        return 1.0 - self.num_open / self.num_all


def queue_sizes(ranked: Triage, waiting: pd.DataFrame) -> dict[Bucket, QueueSize]:
    """The queues that hold anything, in the order of QUEUES; `waiting` is what `open_labels` gave."""
    reviewable = ranked.frame["bucket"][ranked.frame["part"] != Part.TEST.value].value_counts()
    still = waiting["bucket"].value_counts()
    return {
        bucket: QueueSize(num_open=int(still.get(bucket.value, 0)), num_all=int(reviewable[bucket.value]))
        for bucket in QUEUES
        if bucket is not Bucket.UNUSABLE and reviewable.get(bucket.value, 0) > 0
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What a reviewer did on a dataset: verdicts, and how many were given against a label and changed it."""

    num_verdicts: int
    num_against_label: int
    num_changed: int


def reviewed(given: Sequence[verdicts.Verdict]) -> Reviewed:
    """Count verdicts; one changed its label if it says anything else, be it a tie or to drop the pair."""
    against = [one for one in given if one.label_side is not None]
    changed = sum(one.decision.value != one.label_side for one in against)
    return Reviewed(num_verdicts=len(given), num_against_label=len(against), num_changed=changed)


def history(store: Store, given: Sequence[verdicts.Verdict]) -> pd.DataFrame:
    """Verdicts as a table for reading: sides as they were shown, then the prompt, which may be cut off."""
    with connect.read(store.engine) as conn:
        texts = dict(pairs.texts(conn, [one.pair_id for one in given]))
    rows = [
        (
            _as_shown(one.decision.value, one.shown),
            "-" if one.label_side is None else _as_shown(one.label_side.value, one.shown),
            _first_words(texts[one.pair_id]) if one.pair_id in texts else "(erased)",
        )
        for one in given
    ]
    return pd.DataFrame(rows, columns=["you said", "the label said", "prompt"])


def _first_words(pair: Pair, *, most: int = 60) -> str:
    words = " ".join(pair.prompt[-1].content[: 2 * most].split())
    return words if len(words) <= most else words[: most - 1] + "…"


def _as_shown(said: str, order: Order) -> str:
    return {"a": "Left", "b": "Right"}.get(said if order is Order.AB else {"a": "b", "b": "a"}.get(said, said), said)


def browse_table(
    conn: connect.Connection, rows: Sequence[pairs.BrowseRow], *, dataset_id: int, labeler: str | None
) -> list[dict[str, object]]:
    """Rows of a list of pairs with a labeler's label and people's verdict, in the stored order."""
    ids = [row.pair_id for row in rows]
    given = {} if labeler is None else labels.for_pairs(conn, labeler, ids, dataset_id=dataset_id)
    decided = verdicts.effective(conn, pair_ids=ids)
    return [
        {
            "id": row.row_id,
            "label": said(given[row.pair_id].side) if row.pair_id in given else "",
            "verdict": said(decided[row.pair_id]) if row.pair_id in decided else "",
            "prompt": row.prompt,
            "A": row.response_a,
            "B": row.response_b,
            "subset": row.subset or "",
            "part": row.part.value,
        }
        for row in rows
    ]


def said(side: Preference | Decision | None) -> str:
    """What a label or a verdict says, in letters of the stored order; a label without a side is a tie."""
    if side is None:
        return "tie"
    return side.value.upper() if side.value in {"a", "b"} else side.value


def triage_rows(ranked: Triage, *, limit: int | None = None) -> Iterator[dict[str, object]]:
    """The lines that `triage -o` writes, the first `limit` of them, in the orientation of the user's file."""
    for row in ranked.frame.head(min(limit or len(ranked.frame), len(ranked.frame))).to_dict("records"):
        sign = -1.0 if row["swapped"] else 1.0
        side, p_a = row["side"], row["p_a"]
        if row["swapped"] and isinstance(side, str):
            side = {"a": "b", "b": "a"}[side]
        yield {
            "id": row["row_id"],
            "rank": int(row["rank"]),
            "doubt": _number(row["doubt"]),
            "bucket": row["bucket"],
            "side": side if isinstance(side, str) else None,
            "margin": _number(row["margin"] * sign),
            "label_p_a": _number(1.0 - p_a if row["swapped"] else p_a),
            "components": {name: _number(row[name]) for name in ("p_model", "prior", "temperature")},
        }


def triage_lines(ranked: Triage) -> str:
    """The same as JSON lines in one text."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in triage_rows(ranked))


def short_list(store: Store, ranked: Triage, *, limit: int) -> pd.DataFrame:
    """The most doubtful labels as a table for reading; doubt and the model's probability in percent."""
    first = ranked.frame[ranked.frame["doubt"].notna()].head(limit)
    with connect.read(store.engine) as conn:
        texts = dict(pairs.texts(conn, first["pair_id"].tolist()))
    found = [texts.get(number) for number in first["pair_id"].tolist()]
    preferred = [
        "(erased)" if pair is None else " ".join((pair.response_a if side == "a" else pair.response_b)[:120].split())
        for pair, side in zip(found, first["side"], strict=True)
    ]
    return pd.DataFrame(
        {
            "rank": first["rank"],
            "id": first["row_id"],
            "prompt": ["(erased)" if pair is None else _first_words(pair) for pair in found],
            "the label prefers": preferred,
            "doubt, %": (100 * first["doubt"]).round(1),
            "the model agrees, %": (100 * first["p_model"]).round(1),
            "queue": [QUEUES[Bucket(bucket)].title for bucket in first["bucket"]],
        }
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
