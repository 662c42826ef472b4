"""What is asked of a labeler and what it answers: principles, requests, attempts, answers. Words only."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from core.errors import BadConfig
from core.records import Kind, Order, Pair, Preference, Vote

MOST_LOGIT = 6.0  # a judge's probability of 0 or 1 is its rounding, not its knowledge: sigmoid(6) = .9975
MOST_STRENGTH = 3  # of a verdict: 0 equal, 1 slightly better, 2 better, 3 far better
_KEY_VERSION = 1  # of what a request's key covers


class Mode(StrEnum):
    """How a labeler that is a language model is asked."""

    LOG_PROB = "log-prob"  # one letter; the probabilities of the letters count
    VERDICT = "verdict"  # reasons, then a winner and by how much, as JSON
    REASON = "reason-then-log-prob"  # reasons in one call, the letter's probabilities in a second


class PrincipleUse(StrEnum):
    """Which principles stand in one request."""

    ALL = "all"
    EACH = "each"  # one request a principle
    SAMPLED = "sampled"  # one request with one principle, drawn for each pair by the labeler's seed


class Source(StrEnum):
    """What stands behind a labeler."""

    OPENAI = "openai"  # any server that speaks OpenAI's chat completions
    ANTHROPIC = "anthropic"
    LOCAL = "local"  # a transformers model on this machine
    REWARD_MODEL = "reward-model"
    RULE = "rule"
    SIMULATED = "simulated"


_FOLLOW_PRINCIPLES = {Source.OPENAI, Source.ANTHROPIC, Source.LOCAL}
DEFAULT_KEY_VARIABLE = {Source.OPENAI: "OPENAI_API_KEY", Source.ANTHROPIC: "ANTHROPIC_API_KEY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerConfig:
    """Everything that a labeler's answers depend on beside its constitution; stored as JSON with its version.

    Never a key: only the name of the variable that holds one.
    """

    source: Source
    model: str = ""  # a model's name, a rule's, a folder or hub id; a simulated labeler has none
    mode: Mode = Mode.LOG_PROB
    principles: PrincipleUse = PrincipleUse.ALL
    both_orders: bool = True  # False: one order, drawn for each pair by the seed
    repeats: int = 1  # times of asking the same
    seed: int = 0
    temperature: float = 0.0  # of verdicts and reasons, [0, 2]
    max_output_tokens: int = 512  # of verdicts and reasons
    base_url: str | None = None  # None: the provider's own
    key_variable: str | None = None  # environment variable that holds the key; None: the provider's usual one
    context_tokens: int | None = None  # what the model can read; longer requests are not sent
    keyword: str = ""  # of the rule keyword
    accuracy: float = 0.8  # this and what follows: of a simulated labeler
    position_bias: float = 0.0
    length_bias: float = 0.0
    tie_rate: float = 0.0
    failure_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("repeats", "max_output_tokens"):
            if getattr(self, name) < 1:
                raise BadConfig(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.temperature <= 2:
            raise BadConfig(f"temperature must be in [0, 2], got {self.temperature:g}")
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            raise BadConfig(f"base_url must begin with http:// or https://, got {self.base_url!r}")
        if self.source is not Source.SIMULATED and not self.model:
            raise BadConfig(f"a labeler of source {self.source} needs a model: name it {self.source}:MODEL")

    @property
    def name(self) -> str:
        """Under which its votes stand: its source, and its model where it has one."""
        return f"{self.source}:{self.model}" if self.model else str(self.source)

    @property
    def follows_principles(self) -> bool:
        return self.source in _FOLLOW_PRINCIPLES


class Status(StrEnum):
    """How an answer ended. Only `ok` is a vote; a tie is a vote, and contradicting oneself is a label's consistency."""

    OK = "ok"
    UNPARSED = "unparsed"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principle:
    """One rule of a constitution.

    Attributes:
        id: names it in votes and reports; unique in its constitution.
        weight: of its logit beside those of the others, above 0.
    """

    id: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Constitution:
    """Numbered principles that a judge follows. Immutable: another text is another constitution."""

    name: str
    principles: tuple[Principle, ...]

    def __post_init__(self) -> None:
        if not self.principles:
            raise BadConfig(f"constitution {self.name!r} has no principles; give it at least one")
        ids = [principle.id for principle in self.principles]
        for one in self.principles:
            if not one.id.strip() or not one.text.strip():
                raise BadConfig(
                    f"a principle of constitution {self.name!r} has no id or no text: {one.id or one.text!r}"
                )
            if ids.count(one.id) > 1:
                raise BadConfig(f"constitution {self.name!r} has {ids.count(one.id)} principles with the id {one.id!r}")
            if not 0 < one.weight <= 100:
                raise BadConfig(
                    f"the weight of principle {one.id!r} must be above 0 and at most 100, got {one.weight:g}"
                )

    @cached_property
    def hash(self) -> str:
        """Of what it says: ids, texts and weights in their order, not its name."""
        return _digest([[one.id, one.text, one.weight] for one in self.principles])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a labeler: a pair in one shown order under some principles.

    Attributes:
        key: hex SHA-256 of everything that the answer depends on; the same question is never paid twice.
        principles: all that the labeler reads here; empty for labelers that follow none.
        repeat: 0 for the first time of asking the same.
        seed: for what is drawn at random in answering.
    """

    key: str
    pair: Pair
    order: Order
    principles: tuple[Principle, ...] = ()
    repeat: int = 0
    seed: int = 0

    @property
    def first(self) -> str:
        """The response that is shown first."""
        return self.pair.response_a if self.order is Order.AB else self.pair.response_b

    @property
    def second(self) -> str:
        return self.pair.response_b if self.order is Order.AB else self.pair.response_a


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call for one request, as it came back; kept whatever it was.

    Attributes:
        reply: the text; None where there was no reply.
        log_probs: natural log-probabilities of the likeliest tokens at the letter's place, as JSON {token: value}.
        error: a sentence; None where the labeler answered.
        is_last: no further call follows for its request in this run.
        tokens_expected: our own count (or estimate) of the prompt's tokens; a server that counts far fewer cut it.
        cost: US dollars; None where the price is unknown.
        seconds: from sending to the whole reply.
    """

    key: str
    reply: str | None = None
    reasoning: str | None = None
    log_probs: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    http_status: int | None = None
    is_last: bool = True
    model_returned: str | None = None
    tokens_expected: int | None = None
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens, as somebody looked them up on a day (an ISO date)."""

    model: str
    tokens_in: float
    tokens_cached: float
    tokens_out: float
    as_of: str

    def __post_init__(self) -> None:
        for name in ("tokens_in", "tokens_cached", "tokens_out"):
            if not 0 <= getattr(self, name) < 10_000:
                raise BadConfig(
                    f"a price must be in [0, 10000) US dollars for a million tokens, got {getattr(self, name)}"
                )

    def of(self, tokens_in: float, tokens_out: float, tokens_cached: float = 0.0) -> float:
        """What a call costs; cached tokens are among those that went in."""
        fresh = tokens_in - tokens_cached
        parts = fresh * self.tokens_in + tokens_cached * self.tokens_cached + tokens_out * self.tokens_out
        return parts / 1_000_000


def priced(attempt: Attempt, price: Price | None) -> Attempt:
    """The attempt with its cost, where that can be known: a call that failed on the way may be on the bill or not."""
    if attempt.cost is not None or price is None or attempt.tokens_in is None or attempt.tokens_out is None:
        return attempt
    return replace(attempt, cost=price.of(attempt.tokens_in, attempt.tokens_out, attempt.tokens_cached or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipleVerdict:
    """What one reply said under one principle, in the shown order; preference None: it does not apply."""

    principle: str
    preference: Preference | None
    strength: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an attempt says. `a` is the response that was shown first; `voted` turns it into the stored order.

    Attributes:
        why: for every status but ok, what was wrong.
        p_first: P(the first shown is better) + P(tie) / 2, in [0, 1]; None where only a preference was given.
        strength: 0 (equal) to 3 (far better), as the reply said.
        off_format: probability of tokens that are no answer, in [0, 1].
        contradicts: the reply's reasons, or its own principles, name another winner than its verdict.
    """

    status: Status
    why: str | None = None
    preference: Preference | None = None
    p_first: float | None = None
    strength: int | None = None
    off_format: float | None = None
    rationale: str | None = None
    contradicts: bool = False
    by_principle: tuple[PrincipleVerdict, ...] = ()


def vote_of(answer: Answer, request: Request, labeler: str) -> Vote:
    """The vote of an answer that is ok, in the pair's stored order."""
    assert answer.preference is not None  # an answer that is ok has one
    alone = request.principles[0] if len(request.principles) == 1 else None
    shown = Vote(
        labeler=labeler,
        kind=Kind.AI,
        preference=answer.preference,
        p_a=answer.p_first,
        strength=None if answer.strength is None else answer.strength / MOST_STRENGTH,
        order=Order.AB,
        rationale=answer.rationale,
        principle=None if alone is None else alone.id,
        weight=1.0 if alone is None else alone.weight,
    )
    return shown if request.order is Order.AB else shown.swapped()


def key_of(*, labeler: str, pair: Pair, order: Order, principles: Sequence[Principle] = (), repeat: int = 0) -> str:
    """The key of a request.

    Args:
        labeler: hash of the labeler's config and template, without its constitution: a constitution of which only
            another principle changed asks the same question again, and its answer is there already.
    """
    read = [[one.id, one.text, one.weight] for one in principles]
    return _digest([_KEY_VERSION, labeler, pair.hash, order.value, read, repeat])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
