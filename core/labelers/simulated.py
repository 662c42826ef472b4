"""A labeler whose faults are chosen: for tests, and for trying the app without a key."""

import hashlib
import json
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

from core.errors import BadConfig
from core.judging import Attempt, Mode, Request
from core.records import Order, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Answers as a judge with known faults would, in the judge's own words, so that every step after it is real.

    Which response of a pair is truly better is drawn by the pair's hash. For a pair with true margin d (in favour of
    the first shown) it answers with logit d + position_bias + length_bias x length difference, plus normal noise.

    Attributes:
        accuracy: how often it is right without any bias, in (0.5, 1): sets the size of d for its noise of 1.
        position_bias: added to the logit of what is shown first.
        length_bias: logits for a response that is longer by half of their mean length.
        tie_rate, failure_rate: shares of requests answered with a tie and with no verdict, in [0, 1).
    """

    accuracy: float = 0.8
    position_bias: float = 0.0
    length_bias: float = 0.0
    tie_rate: float = 0.0
    failure_rate: float = 0.0
    mode: Mode = Mode.LOG_PROB

    def __post_init__(self) -> None:
        if not 0.5 < self.accuracy < 1:
            raise BadConfig(f"accuracy of a simulated labeler must be above 0.5 and below 1, got {self.accuracy:g}")
        for name in ("tie_rate", "failure_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise BadConfig(f"{name} of a simulated labeler must be in [0, 1), got {getattr(self, name):g}")

    def check(self) -> None:
        """It needs nothing."""

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        for request in requests:
            yield self._attempt(request)

    def _attempt(self, request: Request) -> Attempt:
        drawn = random.Random(f"{request.seed} {request.key}")
        if drawn.random() < self.failure_rate:
            return Attempt(key=request.key, reply="Both have their merits.", finish_reason="stop", cost=0.0)
        is_tie = drawn.random() < self.tie_rate
        logit = 0.0 if is_tie else self._logit(request, drawn.gauss(0.0, 1.0))
        p_first = 1.0 / (1.0 + math.exp(-logit))
        if self.mode is Mode.VERDICT:
            return Attempt(key=request.key, reply=_verdict(p_first), finish_reason="stop", cost=0.0)
        log_probs = json.dumps({"A": math.log(p_first), "B": math.log1p(-p_first)})
        reply = "A" if p_first > 0.5 else "B"
        return Attempt(key=request.key, reply=reply, log_probs=log_probs, finish_reason="stop", cost=0.0)

    def _logit(self, request: Request, noise: float) -> float:
        # With normal noise of 1, the sign is right with probability Phi(size).
        size = NormalDist().inv_cdf(self.accuracy)
        sign = 1.0 if (true_side_is_a(request.pair) == (request.order is Order.AB)) else -1.0
        first, second = len(request.first), len(request.second)
        longer = 2.0 * (first - second) / max(1, (first + second) / 2)
        return sign * size + noise + self.position_bias + self.length_bias * longer


def true_side_is_a(pair: Pair) -> bool:
    """Which response a simulated labeler takes to be better: by hash, so that tests and reports can know it."""
    return hashlib.sha256(f"truth {pair.hash}".encode()).digest()[0] % 2 == 0


def _verdict(p_first: float) -> str:
    sure = max(p_first, 1.0 - p_first)
    strength = 0 if sure == 0.5 else 1 if sure < 0.7 else 2 if sure < 0.9 else 3
    winner = "tie" if sure == 0.5 else "A" if p_first > 0.5 else "B"
    content = {"rationale": "A simulated answer.", "principles": [], "winner": winner, "strength": strength}
    return json.dumps(content)
