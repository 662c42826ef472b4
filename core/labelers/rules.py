"""Labelers that need no model: baselines that every other labeler should beat."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from core.errors import BadConfig
from core.judging import Attempt, Mode, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Prefers by a stated rule, in the words of a judge's verdict.

    Attributes:
        rule: `longest`, `shortest` (characters), `first` (what is shown first), `random` (by hash of pair and seed) or
            `keyword` (the response that holds it; a tie if both or neither do).
        keyword: only for `keyword`; upper and lower case are the same.
    """

    rule: str
    keyword: str = ""
    seed: int = 0
    mode: Mode = Mode.VERDICT

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise BadConfig(f"rule must be one of {', '.join(_RULES)}, got {self.rule!r}")
        if (self.rule == "keyword") != bool(self.keyword):
            raise BadConfig(
                f"the rule keyword needs a keyword and no other does, got {self.rule!r} with {self.keyword!r}"
            )

    def check(self) -> None:
        """It needs nothing."""

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        for request in requests:
            reply = json.dumps({"winner": _RULES[self.rule](self, request)})
            yield Attempt(key=request.key, reply=reply, finish_reason="stop", cost=0.0)


def _more(first: float, second: float) -> str:
    if first == second:
        return "tie"
    return "A" if first > second else "B"


def _longest(_: Rule, request: Request) -> str:
    return _more(len(request.first), len(request.second))


def _shortest(_: Rule, request: Request) -> str:
    return _more(len(request.second), len(request.first))


def _first(_: Rule, request: Request) -> str:
    del request
    return "A"


def _random(rule: Rule, request: Request) -> str:
    def drawn(response: str) -> bytes:
        return hashlib.sha256(f"{rule.seed}\n{request.pair.hash}\n{response}".encode()).digest()

    return "A" if drawn(request.first) > drawn(request.second) else "B"


def _keyword(rule: Rule, request: Request) -> str:
    held = [rule.keyword.casefold() in text.casefold() for text in (request.first, request.second)]
    return _more(*held)


_RULES: dict[str, Callable[[Rule, Request], str]] = {
    "longest": _longest,
    "shortest": _shortest,
    "first": _first,
    "random": _random,
    "keyword": _keyword,
}
