"""How often the higher reward is on the label's side."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Array = npt.NDArray[np.float64]
_LEVELS = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of decided pairs on which the label's side has the higher reward.

    Attributes:
        value: equal rewards count one half.
        strict: equal rewards count as wrong.
        low, high: 95 % interval by a bootstrap over prompts; pairs of one prompt are not independent. Where all pairs
            are right, or all wrong, Wilson's over the number of prompts: resampling could only say "100 %" again.
    """

    value: float
    strict: float
    low: float
    high: float
    num_decided: int
    num_prompts: int


def accuracy(
    margin: Array, p_a: Array, *, prompt: npt.NDArray[np.object_], seed: int = 0, resamples: int = 1000
) -> Accuracy:
    """Accuracy of margins against labels.

    Args:
        margin: reward(a) - reward(b), shape (N,), logits; pairs whose margin is nan are left out.
        p_a: the label's P(a better) + P(tie) / 2, shape (N,); pairs at exactly 0.5 are undecided and left out.
        prompt: anything equal for pairs of one prompt, shape (N,).
    """
    margin, p_a = np.asarray(margin, dtype=np.float64), np.asarray(p_a, dtype=np.float64)
    decided = (p_a != 0.5) & np.isfinite(p_a) & ~np.isnan(margin)
    agrees = np.sign(margin[decided]) * np.sign(p_a[decided] - 0.5)
    credit = 0.5 + 0.5 * agrees
    if not len(credit):
        return Accuracy(value=np.nan, strict=np.nan, low=np.nan, high=np.nan, num_decided=0, num_prompts=0)
    _, cluster = np.unique(np.asarray(prompt, dtype=str)[decided], return_inverse=True)
    num_prompts = int(cluster.max()) + 1
    low, high = clustered_interval(credit, cluster, seed=seed, resamples=resamples)
    if num_prompts > 1 and credit.min() == credit.max() != 0.5:
        wilson = binomtest(num_prompts if credit[0] else 0, num_prompts).proportion_ci(method="wilson")
        low, high = float(wilson.low), float(wilson.high)
    return Accuracy(
        value=float(credit.mean()),
        strict=float((agrees > 0).mean()),
        low=low,
        high=high,
        num_decided=len(credit),
        num_prompts=num_prompts,
    )


def clustered_interval(
    values: Array, cluster: npt.NDArray[np.int64], *, seed: int, resamples: int
) -> tuple[float, float]:
    """Percentile interval of a mean, resampling whole clusters. nan with fewer than two clusters.

    Source: Cameron, Gelbach & Miller 2008, pairs cluster bootstrap.
    """
    num_clusters = int(cluster.max()) + 1 if len(cluster) else 0
    if num_clusters < 2:
        return float("nan"), float("nan")
    sums = np.bincount(cluster, weights=values, minlength=num_clusters)
    sizes = np.bincount(cluster, minlength=num_clusters)
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = random.integers(num_clusters, size=num_clusters)
        means[i] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(means, _LEVELS)
    return float(low), float(high)


def always_the_longer(
    length_a: Array, length_b: Array, p_a: Array, *, prompt: npt.NDArray[np.object_], seed: int = 0
) -> Accuracy:
    """The baseline that prefers the longer response; equal lengths count one half."""
    return accuracy(np.asarray(length_a, dtype=np.float64) - np.asarray(length_b), p_a, prompt=prompt, seed=seed)


def always_the_first(a_first: Array, p_a: Array, *, prompt: npt.NDArray[np.object_], seed: int = 0) -> Accuracy:
    """The baseline that prefers what the labeler saw first: 1 where that was a, 0 where b, nan where it is unknown."""
    return accuracy(np.asarray(a_first, dtype=np.float64) - 0.5, p_a, prompt=prompt, seed=seed)
