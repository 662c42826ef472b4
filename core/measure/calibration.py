"""Are probabilities what they say? sigmoid(margin / T) against labels, in an orientation that cannot flatter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

from core.measure.accuracy import wilson_interval

Array = npt.NDArray[np.float64]
LEAST_DECIDED = 20
MAX_BINS, PAIRS_A_BIN = 15, 50
_LOG_T_RANGE = (-4.0, 6.0)
_HALF_CHI_SQUARED = 1.92


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Pairs of similar confidence: mean confidence in [0.5, 1], share that is right, its 95 % Wilson interval."""

    confidence: float
    accuracy: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where a number lies, 95 %."""

    low: float
    high: float


def _usable(margin: Array, p_a: Array) -> tuple[Array, Array]:
    margin, p_a = np.asarray(margin, dtype=np.float64), np.asarray(p_a, dtype=np.float64)
    kept = ~np.isnan(margin) & np.isfinite(p_a)
    return margin[kept], p_a[kept]


def nll(margin: Array, p_a: Array, *, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood against soft labels, nats; log 2 is what knowing nothing costs."""
    margin, p_a = _usable(margin, p_a)
    if not len(margin):
        return float("nan")
    scaled = margin / temperature
    with np.errstate(invalid="ignore"):
        terms = np.where(p_a > 0, p_a * log_expit(scaled), 0.0) + np.where(p_a < 1, (1 - p_a) * log_expit(-scaled), 0.0)
    return float(-terms.mean())


def brier(margin: Array, p_a: Array, *, temperature: float = 1.0) -> float:
    """Mean squared difference of sigmoid(margin / T) and p_a, in [0, 1]."""
    margin, p_a = _usable(margin, p_a)
    return float(np.mean((expit(margin / temperature) - p_a) ** 2)) if len(margin) else float("nan")


def reliability(margin: Array, p_a: Array, *, temperature: float = 1.0) -> list[Bin]:
    """Bins of equal mass over confidence max(p, 1 - p) of decided pairs.

    Confidence form: with the chosen response always first, P(a) would be compared with a constant.
    """
    confidence, right = _confidence(margin, p_a, temperature)
    order = np.argsort(confidence, kind="stable")
    found = []
    for chunk in np.array_split(order, _num_bins(len(order))):
        if not len(chunk):
            continue
        share = float(right[chunk].mean())
        low, high = wilson_interval(share, len(chunk))
        found.append(
            Bin(
                confidence=float(confidence[chunk].mean()),
                accuracy=share,
                low=low,
                high=high,
                count=len(chunk),
            )
        )
    return found


def ece(margin: Array, p_a: Array, *, temperature: float = 1.0) -> float:
    """Expected calibration error: mean |confidence - accuracy| over the bins of `reliability`, in [0, 0.5]."""
    bins = reliability(margin, p_a, temperature=temperature)
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total if total else float("nan")


def ece_null_band(margin: Array, p_a: Array, *, temperature: float = 1.0, seed: int = 0, draws: int = 200) -> Band:
    """Simulate labels that the model's own confidence predicts exactly: a small set has an ECE even then.

    Returns:
        Where the ECE of a perfectly calibrated model of the same size and confidence lies.
    """
    confidence, _ = _confidence(margin, p_a, temperature)
    if not len(confidence):
        return Band(low=float("nan"), high=float("nan"))
    order = np.argsort(confidence, kind="stable")
    chunks = np.array_split(order, _num_bins(len(order)))
    random = np.random.default_rng(seed)
    found = np.empty(draws)
    for i in range(draws):
        right = random.random(len(confidence)) < confidence
        gaps = [len(c) * abs(confidence[c].mean() - right[c].mean()) for c in chunks if len(c)]
        found[i] = sum(gaps) / len(confidence)
    low, high = np.percentile(found, (2.5, 97.5))
    return Band(low=float(low), high=float(high))


def p_better(margin: float, *, temperature: float) -> float:
    """P(the first response is better), in [0, 1], of reward(first) - reward(second) after the temperature."""
    return float(expit(margin / temperature))


def fit_temperature(margin: Array, p_a: Array) -> float:
    """The T that minimises the NLL of sigmoid(margin / T); nan with fewer than 20 decided pairs.

    Above 1: the model was over-confident. Source: Guo et al. 2017 (1706.04599).
    """
    margin, p_a = _usable(margin, p_a)
    finite = np.isfinite(margin)
    margin, p_a = margin[finite], p_a[finite]
    if (p_a != 0.5).sum() < LEAST_DECIDED or not np.any(margin):
        return float("nan")
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - half a second that no command's start should pay

    found = minimize_scalar(
        lambda log_t: nll(margin, p_a, temperature=float(np.exp(log_t))), bounds=_LOG_T_RANGE, method="bounded"
    )
    return float(np.exp(found.x))


def temperature_interval(margin: Array, p_a: Array) -> Band:
    """The temperatures that these pairs do not speak against, 95 %; nan with too few pairs, as `fit_temperature`.

    Those whose summed NLL is less than 1.92, half the 95 % point of chi-squared with one degree, above the least.
    """
    best = fit_temperature(margin, p_a)
    if np.isnan(best):
        return Band(low=float("nan"), high=float("nan"))
    margin, p_a = _usable(margin, p_a)
    finite = np.isfinite(margin)
    margin, p_a = margin[finite], p_a[finite]
    least = nll(margin, p_a, temperature=best)

    from scipy.optimize import brentq  # noqa: PLC0415 - as above

    def above(log_t: float) -> float:
        return len(margin) * (nll(margin, p_a, temperature=float(np.exp(log_t))) - least) - _HALF_CHI_SQUARED

    ends = []
    for edge in _LOG_T_RANGE:
        # A side on which no temperature is bad enough is open: a model that is always right may be as sure as it likes.
        is_open = above(edge) < 0
        ends.append(np.exp(edge if is_open else brentq(above, *sorted((edge, np.log(best))))))
    return Band(low=float(ends[0]), high=float(ends[1]))


def too_sure_by(bins: Sequence[Bin]) -> float:
    """Mean confidence less the share that is right, over all pairs of some bins; below 0: too modest. nan of none."""
    total = sum(one.count for one in bins)
    return sum(one.count * (one.confidence - one.accuracy) for one in bins) / total if total else float("nan")


def pairs_for_bins(bins: int) -> int:
    """How many decided pairs give so many points of the reliability curve."""
    return bins * PAIRS_A_BIN


def _confidence(margin: Array, p_a: Array, temperature: float) -> tuple[Array, Array]:
    """Of decided pairs: max(p, 1 - p), and whether that side is the label's (half where p is exactly half)."""
    margin, p_a = _usable(margin, p_a)
    decided = p_a != 0.5
    scaled = margin[decided] / temperature
    agrees = np.sign(scaled) * np.sign(p_a[decided] - 0.5)
    return expit(np.abs(scaled)), 0.5 + 0.5 * agrees


def _num_bins(count: int) -> int:
    return max(1, min(MAX_BINS, count // PAIRS_A_BIN))
