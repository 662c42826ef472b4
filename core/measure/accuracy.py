"""How often the higher reward is on the label's side."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_LEVELS = (2.5, 97.5)
_Z = 1.959964  # of the normal distribution at 97.5 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of decided pairs on which the label's side has the higher reward.

    Attributes:
        value: equal rewards count one half.
        strict: equal rewards count as wrong.
        low, high: 95 % interval, nan for one prompt; see `_interval`.
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
    low, high = _interval(credit, cluster, seed=seed, resamples=resamples)
    return Accuracy(
        value=float(credit.mean()),
        strict=float((agrees > 0).mean()),
        low=low,
        high=high,
        num_decided=len(credit),
        num_prompts=int(cluster.max()) + 1,
    )


def _interval(credit: Array, cluster: npt.NDArray[np.int64], *, seed: int, resamples: int) -> tuple[float, float]:
    """The wider of a bootstrap over prompts, as pairs of one prompt are not independent, and of Wilson's interval.

    A bootstrap of few prompts that are all alike has no width, which says nothing: then prompts are what Wilson counts.
    """
    low, high = clustered_interval(credit, cluster, seed=seed, resamples=resamples)
    num_trials = len(credit) if low < high else int(cluster.max()) + 1
    least, most = wilson_interval(float(credit.mean()), num_trials)
    # Not min and max of Python, which would lose the nan of a single prompt.
    return float(np.minimum(low, least)), float(np.maximum(high, most))


def wilson_interval(share: float, num_trials: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials.

    Source: Wilson 1927, as in Brown, Cai & DasGupta 2001, eq. 4.
    """
    spread = _Z**2 / num_trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * np.sqrt(share * (1 - share) / num_trials + spread / (4 * num_trials)) / (1 + spread)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


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
