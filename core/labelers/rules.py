"""Labelers that need no model: baselines that every other labeler should beat."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import BadConfig
from core.records import Kind, Order, Pair, Preference, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLabeler:
    """Prefers by a stated rule.

    Attributes:
        rule: `longest`, `shortest` (characters), `first` (the stored a), `random` (by hash of pair and seed) or
            `keyword` (the response that holds it; a tie if both or neither do).
        keyword: only for `keyword`; upper and lower case are the same.
    """

    rule: str
    keyword: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise BadConfig(f"rule must be one of {', '.join(_RULES)}, got {self.rule!r}")
        if (self.rule == "keyword") != bool(self.keyword):
            raise BadConfig(
                f"the rule keyword needs a keyword and no other does, got {self.rule!r} with {self.keyword!r}"
            )

    @property
    def name(self) -> str:
        return f"rule-{self.rule}"

    @property
    def config(self) -> dict[str, object]:
        return {"source": "rule", "rule": self.rule, "keyword": self.keyword, "seed": self.seed}

    def label(self, pair: Pair) -> Vote:
        preference = _RULES[self.rule](self, pair)
        return Vote(labeler=self.name, kind=Kind.AI, preference=preference, order=Order.AB)


def _more(a: float, b: float) -> Preference:
    if a == b:
        return Preference.TIE
    return Preference.A if a > b else Preference.B


def _longest(_: RuleLabeler, pair: Pair) -> Preference:
    return _more(len(pair.response_a), len(pair.response_b))


def _shortest(_: RuleLabeler, pair: Pair) -> Preference:
    return _more(len(pair.response_b), len(pair.response_a))


def _first(_: RuleLabeler, pair: Pair) -> Preference:
    del pair
    return Preference.A


def _random(rule: RuleLabeler, pair: Pair) -> Preference:
    digest = hashlib.sha256(f"{rule.seed}\n{pair.hash}".encode()).digest()
    return Preference.A if digest[0] % 2 else Preference.B


def _keyword(rule: RuleLabeler, pair: Pair) -> Preference:
    held = [rule.keyword.casefold() in text.casefold() for text in (pair.response_a, pair.response_b)]
    return _more(*held)


_RULES: dict[str, Callable[[RuleLabeler, Pair], Preference]] = {
    "longest": _longest,
    "shortest": _shortest,
    "first": _first,
    "random": _random,
    "keyword": _keyword,
}
