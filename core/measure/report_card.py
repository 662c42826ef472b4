"""How far to trust a labeler: whether the shown order moves it, whether it says the same again, what it prefers."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.label import logit_of
from core.measure.agreement import Estimate, mean_with_interval
from core.measure.json_ready import json_ready

_LIST_LINE = re.compile(r"^\s*(?:[-*\u2022]|\d{1,3}[.)])\s+\S", re.MULTILINE)
LONGER_BY = 30  # characters, as AlpacaEval counts a longer response
LEAST_BIN = 20
_NUM_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What the shown order does, over pairs that were asked in both.

    Attributes:
        flip_rate: share of pairs with another winner in the other order.
        first_among_flips: share of flipped pairs that went to whatever was shown first; p_value of a fair coin.
        bias: mean of b in logit p_ab = d + b, logit p_ba = d - b: above 0, the first shown gains; only where the
            labeler gives probabilities.
    """

    num_pairs: int
    flip_rate: Estimate
    num_flips: int
    first_among_flips: float
    p_value: float
    bias: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBin:
    """Pairs by how much longer one response is, in characters, and how often the longer one won."""

    least: int
    most: int
    num_pairs: int
    prefers_longer: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCard:
    """Everything about one labeler on one dataset that needs no other labeler.

    Attributes:
        same_again: share of repeated questions (same pair, order and principle) with the same winner.
        prefers_longer: share of decided pairs, longer by more than `LONGER_BY` characters, that went to the longer.
        prefers_list: share of decided pairs in which one response alone has a list that went to that one.
        principle_conflict: share of pairs on which two principles clearly name different winners.
        contradicts: share of votes whose reasons or principles name another winner.
    """

    num_pairs: int
    num_votes: int
    tie_rate: float
    position: Position | None
    same_again: Estimate | None
    prefers_longer: Estimate
    by_length: tuple[LengthBin, ...]
    prefers_list: Estimate
    principle_conflict: Estimate | None
    contradicts: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; an absent number is None."""
        made: dict[str, Any] = json_ready(dataclasses.asdict(self))
        return made


def has_list(text: str) -> bool:
    """Whether a response has two lines or more that begin with a bullet or a number."""
    return len(_LIST_LINE.findall(text)) > 1


def preference_of(p_a: pd.Series) -> pd.Series:
    """What labels say, a, b or tie, by their probabilities."""
    said = np.where(p_a > 0.5, "a", np.where(p_a < 0.5, "b", "tie"))
    return pd.Series(said, index=p_a.index)


def report_card(votes: pd.DataFrame, labels: pd.DataFrame, pairs: pd.DataFrame, *, seed: int = 0) -> ReportCard:
    """Measure a labeler.

    Args:
        votes: one row a vote: pair_id, preference (a, b, tie in the stored order), p_a (or nan), shown (ab, ba or
            None), principle (or None), contradicts (True, False or None).
        labels: one row a labeled pair: pair_id, side (a, b or None), p_a.
        pairs: one row a pair: pair_id, prompt, length_a, length_b (characters), list_a, list_b (bool).
    """
    # Votes that cancel have a side, that of the first of them, but decide nothing.
    labeled = labels.merge(pairs, on="pair_id").assign(said=lambda frame: preference_of(frame["p_a"]))
    return ReportCard(
        num_pairs=len(labels),
        num_votes=len(votes),
        tie_rate=float(labels["side"].isna().mean()) if len(labels) else math.nan,
        position=_position(votes, pairs, seed=seed),
        same_again=_same_again(votes, pairs, seed=seed),
        prefers_longer=_prefers_longer(labeled, seed=seed),
        by_length=_by_length(labeled, seed=seed),
        prefers_list=_prefers_list(labeled, seed=seed),
        principle_conflict=_principle_conflict(votes, pairs, seed=seed),
        contradicts=_contradicts(votes),
    )


def _position(votes: pd.DataFrame, pairs: pd.DataFrame, *, seed: int) -> Position | None:
    """Each order is what its votes add up to: their mean preference, and the mean of their logits."""
    shown = votes[votes["shown"].notna()].assign(
        sign=lambda frame: frame["preference"].map({"a": 1.0, "b": -1.0, "tie": 0.0}).astype(np.float64),
        logit=lambda frame: np.array(
            [math.nan if pd.isna(p) else logit_of(float(p)) for p in frame["p_a"]], dtype=float
        ),
    )
    means: pd.DataFrame = shown.groupby(["pair_id", "shown"])[["sign", "logit"]].mean().unstack("shown")  # type: ignore[assignment]  # of two columns, as pandas-stubs does not see
    if means.empty or not {"ab", "ba"} <= set(means.columns.get_level_values("shown")):
        return None
    both = means.dropna(subset=[("sign", "ab"), ("sign", "ba")])
    if both.empty:
        return None
    prompt = pairs.set_index("pair_id").loc[both.index, "prompt"].tolist()
    ab, ba = both[("sign", "ab")].to_numpy(), both[("sign", "ba")].to_numpy()
    flipped = np.sign(ab) != np.sign(ba)
    # a in the order ab and b in the order ba are both the first shown.
    toward_first = np.sign(ab - ba)[flipped]
    num_first, num_second = int((toward_first > 0).sum()), int((toward_first < 0).sum())
    bias = (both[("logit", "ab")] - both[("logit", "ba")]).to_numpy() / 2
    known = ~np.isnan(bias)
    return Position(
        num_pairs=len(both),
        flip_rate=mean_with_interval(flipped, prompt=prompt, seed=seed),
        num_flips=int(flipped.sum()),
        first_among_flips=num_first / (num_first + num_second) if num_first + num_second else math.nan,
        p_value=_fair_coin(num_first, num_first + num_second),
        bias=mean_with_interval(bias[known], prompt=np.asarray(prompt, dtype=object)[known].tolist(), seed=seed),
    )


def _same_again(votes: pd.DataFrame, pairs: pd.DataFrame, *, seed: int) -> Estimate | None:
    """Over all pairs of answers to the same question; None where nothing was asked twice."""
    asked = votes.assign(shown=votes["shown"].fillna("-"), principle=votes["principle"].fillna("-"))
    counts = asked.groupby(["pair_id", "shown", "principle", "preference"]).size().unstack(fill_value=0)
    times = counts.sum(axis=1)
    counts, times = counts[times > 1], times[times > 1]
    if counts.empty:
        return None
    same = (counts * (counts - 1)).sum(axis=1) / (times * (times - 1))
    prompt = pairs.set_index("pair_id").loc[same.index.get_level_values("pair_id"), "prompt"].tolist()
    return mean_with_interval(same.to_numpy(), prompt=prompt, seed=seed)


def _prefers_longer(labeled: pd.DataFrame, *, seed: int) -> Estimate:
    decided = _with_longer(labeled)
    clear = decided[decided["by"] > LONGER_BY]
    return mean_with_interval(clear["won"].to_numpy(), prompt=clear["prompt"].tolist(), seed=seed)


def _by_length(labeled: pd.DataFrame, *, seed: int) -> tuple[LengthBin, ...]:
    decided = _with_longer(labeled)
    decided = decided[decided["by"] > 0]
    num_bins = min(_NUM_BINS, len(decided) // LEAST_BIN)
    if not num_bins:
        return ()
    binned = decided.groupby(pd.qcut(decided["by"], num_bins, duplicates="drop"), observed=True)
    return tuple(
        LengthBin(
            least=int(group["by"].min()),
            most=int(group["by"].max()),
            num_pairs=len(group),
            prefers_longer=mean_with_interval(group["won"].to_numpy(), prompt=group["prompt"].tolist(), seed=seed),
        )
        for _, group in binned
    )


def _with_longer(labeled: pd.DataFrame) -> pd.DataFrame:
    """Decided pairs with `by`, how much longer the longer response is, and `won`, whether it was preferred."""
    decided = labeled[labeled["said"] != "tie"]
    difference = (decided["length_a"] - decided["length_b"]).to_numpy(np.float64)
    side = np.where(decided["said"] == "a", 1.0, -1.0)
    return decided.assign(by=np.abs(difference), won=(np.sign(difference) == side).astype(np.float64))


def _prefers_list(labeled: pd.DataFrame, *, seed: int) -> Estimate:
    decided = labeled[(labeled["said"] != "tie") & (labeled["list_a"] != labeled["list_b"])]
    won = (decided["said"] == "a") == decided["list_a"]
    return mean_with_interval(won.to_numpy(np.float64), prompt=decided["prompt"].tolist(), seed=seed)


def _principle_conflict(votes: pd.DataFrame, pairs: pd.DataFrame, *, seed: int) -> Estimate | None:
    """Two principles whose logits have opposite signs and are both beyond 1; None where none is asked by itself."""
    judged = votes[votes["principle"].notna() & votes["p_a"].notna()]
    if judged.empty:
        return None
    logits = judged.assign(logit=[logit_of(float(p)) for p in judged["p_a"]])
    means = logits.groupby(["pair_id", "principle"])["logit"].mean().groupby("pair_id").agg(["min", "max"])
    conflict = (means["min"] < -1) & (means["max"] > 1)
    prompt = pairs.set_index("pair_id").loc[means.index, "prompt"].tolist()
    return mean_with_interval(conflict.to_numpy(np.float64), prompt=prompt, seed=seed)


def _contradicts(votes: pd.DataFrame) -> float | None:
    known = votes["contradicts"].dropna()
    return None if known.empty else float(known.astype(bool).mean())


def _fair_coin(successes: int, trials: int) -> float:
    """Two-sided binomial test of one half."""
    if not trials:
        return math.nan
    from scipy.stats import binomtest  # noqa: PLC0415 - half a second that no page's start should pay

    return float(binomtest(successes, trials).pvalue)
