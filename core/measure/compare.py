"""Two models on the same pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_expit

from core.measure.accuracy import Array, clustered_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """First minus second, on decided pairs.

    Attributes:
        only_first, only_second: pairs that one gets right and the other wrong.
        p_value: McNemar's exact test with the mid-p correction (Fagerland et al. 2013); nan where nothing differs.
        nll: difference of mean negative log-likelihood, nats; below 0 the first is better.
    """

    num_pairs: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    nll: float
    nll_low: float
    nll_high: float
    only_first: int
    only_second: int
    p_value: float


def compare(
    first: Array, second: Array, p_a: Array, *, prompt: npt.NDArray[np.object_], seed: int = 0, resamples: int = 1000
) -> Comparison:
    """Compare two models' margins, shape (N,), against the same labels; intervals resample whole prompts."""
    decided = (p_a != 0.5) & ~np.isnan(first) & ~np.isnan(second)
    first, second, p_a = first[decided], second[decided], p_a[decided]
    side = np.sign(p_a - 0.5)
    credit = [0.5 + 0.5 * np.sign(margin) * side for margin in (first, second)]
    costs = [-(p_a * log_expit(margin) + (1 - p_a) * log_expit(-margin)) for margin in (first, second)]
    _, cluster = np.unique(np.asarray(prompt, dtype=str)[decided], return_inverse=True)
    better, cheaper = credit[0] - credit[1], costs[0] - costs[1]
    low, high = clustered_interval(better, cluster, seed=seed, resamples=resamples)
    nll_low, nll_high = clustered_interval(cheaper, cluster, seed=seed, resamples=resamples)
    only_first, only_second = int((better > 0).sum()), int((better < 0).sum())
    return Comparison(
        num_pairs=len(p_a),
        accuracy=float(better.mean()) if len(p_a) else float("nan"),
        accuracy_low=low,
        accuracy_high=high,
        nll=float(cheaper.mean()) if len(p_a) else float("nan"),
        nll_low=nll_low,
        nll_high=nll_high,
        only_first=only_first,
        only_second=only_second,
        p_value=_mid_p(only_first, only_second),
    )


def _mid_p(only_first: int, only_second: int) -> float:
    total = only_first + only_second
    if not total:
        return float("nan")
    from scipy.stats import binom, binomtest  # noqa: PLC0415 - half a second that no command's start should pay

    exact = float(binomtest(only_first, total).pvalue)
    return min(1.0, exact - float(binom.pmf(only_first, total, 0.5)))
