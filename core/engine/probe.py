"""A Bradley-Terry head on frozen features: ridge logistic regression on feature differences, without intercept."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from core.config import Ties, TrainConfig
from core.engine import features
from core.engine.cache import Shards
from core.engine.model import Loaded
from core.engine.prepare import EncodedPair, Prepared
from core.engine.tokens import TokenPair
from core.records import Reward, Step

Floats64 = npt.NDArray[np.float64]
RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)  # strong to weak, on standardised differences
MOST_ITERATIONS, TOLERANCE = 500, 1e-7


def train(loaded: Loaded, config: TrainConfig, cache: Shards, prepared: Prepared) -> Iterator[Step]:
    """Yield a step for each strength of regularisation; the head with the lowest NLL on valid is in the model after it.

    The standardisation is folded into the head's weight. Without valid pairs the training NLL of a middle strength
    decides nothing: the first of them is taken.
    """
    x, y, w = _differences(cache, prepared.train)
    if config.ties is Ties.DROP:
        y, w = _without_ties(prepared.train, y, w)
    y = y * (1 - config.label_smoothing) + (1 - y) * config.label_smoothing
    x_valid, y_valid, _ = _differences(cache, prepared.valid) if prepared.valid else (x[:0], y[:0], w[:0])
    scale = scale_of(x)
    best, weight = np.inf, np.zeros(x.shape[1])
    try:
        for number, ridge in enumerate(RIDGES, start=1):
            fitted = fit(x / scale, y, w, ridge=ridge, start=weight * scale) / scale
            valid = nll(x_valid @ fitted, y_valid) if len(y_valid) else None
            is_best = valid < best if valid is not None else ridge >= 1.0
            if is_best:
                best, weight = (valid if valid is not None else best), fitted
            yield Step(
                step=number,
                num_steps=len(RIDGES),
                epoch=float(number),
                loss=nll(x @ fitted, y),
                accuracy=_accuracy(x @ fitted, y),
                valid_nll=valid,
                valid_accuracy=_accuracy(x_valid @ fitted, y_valid),
                is_best=is_best,
            )
    finally:
        with torch.no_grad():
            loaded.model.head.weight.copy_(torch.from_numpy(weight).to(loaded.model.head.weight))


def rewards(loaded: Loaded, cache: Shards, pair_ids: Sequence[int], tokens: Sequence[TokenPair]) -> list[Reward]:
    """Rewards from cached features, as `core.engine.score` has them from texts."""
    if not pair_ids:
        return []
    found = features.load(cache, tokens)
    weight = loaded.model.head.weight.detach().cpu().numpy()[0].astype(np.float64)
    a, b = found.pooled_a @ weight, found.pooled_b @ weight
    return [
        Reward(pair_id=pair_id, reward_a=float(one), reward_b=float(two), trimmed=sides[0].trimmed)
        for pair_id, one, two, sides in zip(pair_ids, a, b, tokens, strict=True)
    ]


def fit(x: Floats64, y: Floats64, w: Floats64, *, ridge: float, start: Floats64 | None = None) -> Floats64:
    """Argmin over v of mean w * NLL(x v, y) + ridge / 2 * |v|^2.

    Args:
        x: feature differences a - b, shape (N, D).
        y: targets in [0, 1], shape (N,).
        w: weights, shape (N,).

    Returns:
        Shape (D,). No intercept: swapping a and b must negate every margin.
    """
    total = w.sum()

    def cost(v: Floats64) -> tuple[float, Floats64]:
        margin = x @ v
        losses = -(y * log_expit(margin) + (1 - y) * log_expit(-margin))
        gradient = x.T @ (w * (expit(margin) - y)) / total + ridge * v
        return float(w @ losses / total + 0.5 * ridge * v @ v), gradient

    # Newton's method, tried first, solves a D x D system a step: 30 times slower at D = 1,152 and no more exact here.
    begun = np.zeros(x.shape[1]) if start is None else start
    found = minimize(
        cost, begun, jac=True, method="L-BFGS-B", options={"maxiter": MOST_ITERATIONS, "gtol": TOLERANCE, "ftol": 0.0}
    )
    fitted: Floats64 = found.x
    return fitted


def scale_of(x: Floats64) -> Floats64:
    """Root mean square of each difference, shape (D,), never 0; symmetric under swapping sides, unlike a deviation."""
    scale: Floats64 = np.sqrt(np.mean(x**2, axis=0))
    scale[scale == 0] = 1.0
    # One common factor more, so that a ridge means the same for any width.
    return scale * float(np.sqrt(x.shape[1]))


def nll(margin: Floats64, y: Floats64) -> float:
    """Mean negative log-likelihood of soft targets, nats."""
    return float(-np.mean(y * log_expit(margin) + (1 - y) * log_expit(-margin)))


def _without_ties(pairs: Sequence[EncodedPair], y: Floats64, w: Floats64) -> tuple[Floats64, Floats64]:
    """Targets and weights of the decided share alone, as `core.engine.objective` drops the tied share of a label."""
    tied = np.minimum([one.p_tie for one in pairs], 2 * np.minimum(y, 1 - y))
    return (y - tied / 2) / (1 - tied), w * (1 - tied)


def _differences(cache: Shards, pairs: Sequence[EncodedPair]) -> tuple[Floats64, Floats64, Floats64]:
    found = features.load(cache, [(one.a, one.b) for one in pairs])
    x = (found.pooled_a - found.pooled_b).astype(np.float64)
    y = np.array([one.p_a for one in pairs])
    return x, y, np.array([one.weight for one in pairs])


def _accuracy(margin: Floats64, y: Floats64) -> float | None:
    decided = y != 0.5
    if not decided.any():
        return None
    return float(np.mean(0.5 + 0.5 * np.sign(margin[decided]) * np.sign(y[decided] - 0.5)))
