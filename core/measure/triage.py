"""Doubt: P(a careful person would not choose the label's side), and why.

Source: two independent pieces of evidence combined by Bayes. The model's out-of-fold margin, temperature-scaled, gives
P(this labeler would say the side again); the labeler's own behaviour gives a prior P(wrong).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from core.measure.calibration import Array, fit_temperature
from core.records import Bucket, Consistency

ERROR_RATE = 0.1  # share of labels that are wrong, where nobody has audited; 20-40 % noise is typical of crowds
PRIOR = {
    # P(wrong) before the model is asked; reference values for judges asked in both orders.
    Consistency.CONSISTENT.value: 0.08,
    Consistency.SINGLE.value: 0.10,
    Consistency.REPEAT_SPLIT.value: 0.40,
    Consistency.ORDER_FLIPPED.value: 0.40,
}
UNSURE_WEIGHT = 1.0  # added to the prior's logit for a label at p_a = .5, nothing at 0 or 1
CLEAR_MODEL, CLEAR_LABEL, STEADY = 0.8, 0.9, 0.8
_FLOOR = 1e-3  # no probability is certain enough to overrule every other evidence


def rank_by_doubt(frame: pd.DataFrame, *, error_rate: float = ERROR_RATE) -> pd.DataFrame:
    """Rank labels, the most doubtful first; those without doubt (ties, unusable) stand last.

    Args:
        frame: one row a pair, in the stored order: side ("a", "b" or None), p_a, p_tie, consistency, num_votes,
            margin (out-of-fold; nan: none), margin_agree (share of repeats that agree with its sign), fold, usable.
        error_rate: share of labels taken to be wrong; de-noises the model's probability.

    Returns:
        The same rows with doubt in [0, 1] or nan, bucket, rank from 1, p_model = P(side) by the model, prior,
        temperature.
    """
    found = frame.copy()
    sign = found["side"].map({"a": 1.0, "b": -1.0}).astype(float).to_numpy()
    margin = _numbers(found["margin"])
    side_margin = sign * margin
    temperature = _temperatures(side_margin, _numbers(found["fold"]))
    p_again = expit(side_margin / temperature)
    p_side = np.clip((p_again - error_rate) / (1 - 2 * error_rate), _FLOOR, 1 - _FLOOR)
    prior = _priors(found)
    with_model = expit(logit(prior) - logit(p_side))
    doubt = np.where(np.isnan(side_margin), prior, with_model)
    doubt[np.isnan(sign)] = np.nan
    found["doubt"], found["p_model"], found["prior"], found["temperature"] = doubt, p_again, prior, temperature
    found["bucket"] = _buckets(found)
    # Ties in doubt fall by margin, then by the stored row: the same store gives the same list.
    found["_side_margin"] = side_margin
    found = found.sort_values(["doubt", "_side_margin", "pair_id"], ascending=[False, True, True], na_position="last")
    found["rank"] = np.arange(1, len(found) + 1)
    return found.drop(columns="_side_margin").reset_index(drop=True)


def _temperatures(side_margin: Array, fold: Array) -> Array:
    """A temperature for each pair, fitted on the other folds; 1 where they are too few to tell."""
    temperature = np.ones(len(side_margin))
    known = ~np.isnan(side_margin)
    for one in np.unique(fold[known & ~np.isnan(fold)]):
        others = known & (fold != one)
        fitted = fit_temperature(side_margin[others], np.ones(int(others.sum())))
        temperature[known & (fold == one)] = 1.0 if np.isnan(fitted) else fitted
    return temperature


def _priors(found: pd.DataFrame) -> Array:
    base = found["consistency"].map(PRIOR).astype(float).to_numpy()
    base = np.where(np.isnan(base), ERROR_RATE, base)
    p_a = _numbers(found["p_a"])
    unsure = np.where(np.isnan(p_a), 0.0, 1 - np.abs(2 * p_a - 1))
    # A split label's p_a says the same thing as its split; only one of the two counts.
    split = found["consistency"].isin([Consistency.REPEAT_SPLIT.value, Consistency.ORDER_FLIPPED.value]).to_numpy()
    return np.asarray(expit(logit(base) + np.where(split, 0.0, UNSURE_WEIGHT * unsure)), dtype=np.float64)


def _buckets(found: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The first rule that holds; `describe` says it in words."""
    sided = found["side"].isin(["a", "b"]).to_numpy()
    p_model, p_a, p_tie, agree = (_numbers(found[name]) for name in ("p_model", "p_a", "p_tie", "margin_agree"))
    confidence = np.abs(2 * p_a - 1)
    split = found["consistency"].isin([Consistency.ORDER_FLIPPED.value, Consistency.REPEAT_SPLIT.value]).to_numpy()
    consistent = (found["consistency"] == Consistency.CONSISTENT.value).to_numpy()
    near_half = (np.abs(p_model - 0.5) < 0.12) & (confidence < 0.5)
    rules = [
        (~found["usable"].to_numpy(bool) | (~sided & np.isnan(p_a)), Bucket.UNUSABLE),
        (split, Bucket.INCONSISTENT),
        (~sided | (p_tie > 0.4) | near_half, Bucket.AMBIGUOUS),
        (np.isnan(p_model) | (p_model >= 0.5), Bucket.AGREE),
        ((1 - p_model >= CLEAR_MODEL) & ~(agree < STEADY), Bucket.LABEL_ERROR),
        ((confidence >= CLEAR_LABEL) & consistent, Bucket.MODEL_ERROR),
    ]
    chosen = np.select([holds for holds, _ in rules], [one.value for _, one in rules], Bucket.CONTESTED.value)
    return chosen.astype(object)


def _numbers(column: pd.Series) -> Array:
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def describe(row: Mapping[str, object], *, a_name: str = "A", b_name: str = "B") -> str:
    """The evidence on one label in one or two sentences; the caller names the responses as it shows them."""
    names = {"a": a_name, "b": b_name}
    side = row["side"]
    if not isinstance(side, str):
        return "The labeler calls it a tie." if row["usable"] else "There is no usable vote."
    p_side = _float(row["p_model"])
    parts = [f"The labeler prefers {names[side]}."]
    if np.isnan(p_side):
        parts.append("No model that did not train on this pair has judged it yet.")
    else:
        other = names["b" if side == "a" else "a"]
        towards, share = (names[side], p_side) if p_side >= 0.5 else (other, 1 - p_side)
        parts.append(f"A model that never saw this prompt gives {100 * share:.0f} % to {towards}.")
    said = {
        Consistency.ORDER_FLIPPED.value: "The labeler changed its mind when the order was changed.",
        Consistency.REPEAT_SPLIT.value: "The labeler's own votes contradict each other.",
    }.get(str(row["consistency"]))
    return " ".join([*parts, *([said] if said else [])])


def precision_at(ranked: Sequence[str], wrong: frozenset[str], k: int) -> float:
    """Share of the first k that are wrong, in [0, 1]; nan of no pairs."""
    first = list(ranked)[:k]
    return sum(one in wrong for one in first) / len(first) if first else float("nan")


def auroc(doubt: Array, wrong: Array) -> float:
    """P(a wrong label has more doubt than a right one); nan where there is only one kind."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - a third of a second that no command's start should pay

    known = ~np.isnan(doubt)
    if len(np.unique(wrong[known])) < 2:
        return float("nan")
    return float(roc_auc_score(wrong[known], doubt[known]))


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
