"""How far labelers agree: with one another, with people, and with themselves.

Preferences are `a`, `b` and `tie` in the pair's stored order, which a hash decides: an order that put the better
response first would make chance agreement look larger than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.measure.accuracy import Array, clustered_interval

RESAMPLES = 1000
_LEVELS = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, both nan where there is too little to say."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How two labelers agree on the pairs that both labeled.

    Attributes:
        share: of pairs on which both say the same of a, b and tie.
        share_decided: the same over pairs on which neither says tie.
        kappa: Cohen's; 0 is chance.
        alpha: Krippendorff's with nominal distances.
    """

    num_pairs: int
    num_prompts: int
    share: Estimate
    share_decided: Estimate
    kappa: Estimate
    alpha: Estimate


def agreement(
    first: Sequence[str], second: Sequence[str], *, prompt: Sequence[object], seed: int = 0, resamples: int = RESAMPLES
) -> Agreement:
    """Compare two labelers' preferences, pair by pair; intervals resample whole prompts.

    Args:
        prompt: anything equal for pairs of one prompt.
    """
    tables = _tables_by_prompt(first, second, prompt)
    whole = tables.sum(axis=0)
    drawn = _resampled(tables, seed=seed, resamples=resamples)
    return Agreement(
        num_pairs=int(whole.sum()),
        num_prompts=len(tables),
        share=_estimate(_share(whole[None]), _share(drawn)),
        share_decided=_estimate(_share(whole[None, :2, :2]), _share(drawn[:, :2, :2])),
        kappa=_estimate(_kappa(whole[None]), _kappa(drawn)),
        alpha=_estimate(_alpha_of_two(whole[None]), _alpha_of_two(drawn)),
    )


_CATEGORIES = {"a": 0, "b": 1, "tie": 2}


def _tables_by_prompt(first: Sequence[str], second: Sequence[str], prompt: Sequence[object]) -> Array:
    """Contingency tables, shape (prompts, 3, 3): what the first said by what the second said."""
    _, cluster = np.unique(np.asarray(prompt, dtype=str), return_inverse=True)
    number = cluster.max() + 1 if len(cluster) else 0
    tables = np.zeros((number, 3, 3))
    for place, one, other in zip(cluster.tolist(), first, second, strict=True):
        tables[place, _CATEGORIES[one], _CATEGORIES[other]] += 1.0
    return tables


def _resampled(tables: Array, *, seed: int, resamples: int) -> Array:
    """Sums of as many prompts as there are, drawn with replacement; shape (resamples, 3, 3)."""
    if len(tables) < 2:
        return np.full((1, *tables.shape[1:]), np.nan)
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, *tables.shape[1:]))
    for number in range(resamples):
        counts = np.bincount(generator.integers(len(tables), size=len(tables)), minlength=len(tables))
        drawn[number] = np.tensordot(counts.astype(np.float64), tables, axes=1)
    return drawn


def _share(tables: Array) -> Array:
    with np.errstate(invalid="ignore"):
        shares: Array = np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2))
    return shares


def _kappa(tables: Array) -> Array:
    """(p_o - p_e) / (1 - p_e), nan where both always say the same one thing (Cohen 1960)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = tables.sum(axis=(1, 2))
        observed = np.trace(tables, axis1=1, axis2=2) / total
        expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / total**2
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def _alpha_of_two(tables: Array) -> Array:
    """Krippendorff's alpha of two labelers without gaps, from their coincidences (2011, section A)."""
    coincidences = tables + tables.transpose(0, 2, 1)
    return _alpha_of_coincidences(coincidences)


def _alpha_of_coincidences(coincidences: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        per_category = coincidences.sum(axis=2)
        total = per_category.sum(axis=1)
        observed = total - np.trace(coincidences, axis1=1, axis2=2)
        expected = (total**2 - (per_category**2).sum(axis=1)) / (total - 1)
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def krippendorff_alpha(said: pd.DataFrame) -> float:
    """Of any number of labelers, with gaps; nominal distances.

    Args:
        said: one row a pair, one column a labeler, any values or None. Pairs with one value say nothing.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
    """
    categories = pd.unique(said.to_numpy().ravel())
    counted = [(said == one).sum(axis=1).to_numpy(np.float64) for one in categories if not pd.isna(one)]
    if not counted:
        return float("nan")
    counts = np.stack(counted, axis=1)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return float("nan")
    raters = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return float(_alpha_of_coincidences((pairs / (raters - 1)[:, None, None]).sum(axis=0)[None])[0])


def _estimate(value: Array, drawn: Array) -> Estimate:
    kept = drawn[np.isfinite(drawn)]
    low, high = np.percentile(kept, _LEVELS) if len(kept) > 1 else (np.nan, np.nan)
    return Estimate(value=float(value[0]), low=float(low), high=float(high))


def mean_with_interval(
    values: npt.ArrayLike, *, prompt: Sequence[object], seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """A mean over pairs; its interval resamples whole prompts."""
    kept = np.asarray(values, dtype=np.float64)
    if not len(kept):
        return Estimate(value=np.nan, low=np.nan, high=np.nan)
    _, cluster = np.unique(np.asarray(prompt, dtype=str), return_inverse=True)
    low, high = clustered_interval(kept, cluster, seed=seed, resamples=resamples)
    return Estimate(value=float(kept.mean()), low=low, high=high)
