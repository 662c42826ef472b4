"""The words of the house as frozen records.

A pair has no opinion: which of its responses is a says nothing about which is better.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from core.errors import TiebreakError

MAX_TEXT_CHARACTERS = 1_000_000


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Kind(StrEnum):
    """Who a labeler is."""

    AI = "ai"
    HUMAN = "human"


class Preference(StrEnum):
    A = "a"
    B = "b"
    TIE = "tie"


class Decision(StrEnum):
    """A person's verdict on one pair."""

    A = "a"
    B = "b"
    TIE = "tie"
    DROP = "drop"


class Order(StrEnum):
    """Which response the labeler saw first."""

    AB = "ab"
    BA = "ba"


class Part(StrEnum):
    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class Consistency(StrEnum):
    CONSISTENT = "consistent"
    ORDER_FLIPPED = "order-flipped"
    REPEAT_SPLIT = "repeat-split"
    SINGLE = "single"


class Origin(StrEnum):
    """Where a snapshot's target comes from."""

    LABEL = "label"
    VERDICT = "verdict"


class RunKind(StrEnum):
    LABEL = "label"
    TRAIN = "train"
    CROSSFIT = "crossfit"
    SCORE = "score"
    EVALUATE = "evaluate"
    PREFLIGHT = "preflight"
    EXPORT = "export"


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class Bucket(StrEnum):
    """Why a pair stands where it stands in the triage list."""

    LABEL_ERROR = "label_error"
    INCONSISTENT = "inconsistent"
    AMBIGUOUS = "ambiguous"
    MODEL_ERROR = "model_error"
    CONTESTED = "contested"
    UNUSABLE = "unusable"
    AGREE = "agree"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Pair:
    """A prompt and two different responses, in a stored order that a hash decides. Make one with `pair_of`."""

    prompt: tuple[Message, ...]
    response_a: str
    response_b: str

    @cached_property
    def prompt_hash(self) -> str:
        """Names the group: all pairs of one prompt share it."""
        return hash_of_prompt(self.prompt)

    @cached_property
    def hash(self) -> str:
        """Names the pair across the store: the prompt and the unordered set of its responses."""
        first, second = sorted((_digest(self.response_a), _digest(self.response_b)))
        return _digest(f"{self.prompt_hash}\n{first}\n{second}")


@dataclass(frozen=True, slots=True)
class Oriented:
    """A pair in its stored order; `swapped` where the user's a is the stored b."""

    pair: Pair
    swapped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One answer of a labeler to one pair, in the pair's stored order.

    Attributes:
        p_a: the labeler's own P(a is better), ties at half, in [0, 1]; None where it gave only a preference.
        strength: how much better, in [0, 1], as the file gave it; never turned into p_a by itself.
        order: which stored response was shown first; None if unknown.
        principle: the one principle it was given under, where a judge is asked about each by itself.
        weight: of that principle, above 0.
    """

    labeler: str
    kind: Kind
    preference: Preference
    p_a: float | None = None
    strength: float | None = None
    order: Order | None = None
    rationale: str | None = None
    principle: str | None = None
    weight: float = 1.0

    def swapped(self) -> "Vote":
        """The same vote seen from the other orientation."""
        mirror = {Preference.A: Preference.B, Preference.B: Preference.A, Preference.TIE: Preference.TIE}
        order = None if self.order is None else Order.BA if self.order is Order.AB else Order.AB
        p_a = None if self.p_a is None else 1.0 - self.p_a
        return replace(self, preference=mirror[self.preference], p_a=p_a, order=order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a labeler's votes on a pair add up to, in the pair's stored order.

    Attributes:
        p_a: P(a is better) + p_tie / 2, in [0, 1].
        p_tie: share of votes that are ties, in [0, 1].
        side: the side of p_a; where votes cancel, that of the first decided vote; None if every vote is a tie.
    """

    p_a: float
    p_tie: float
    side: Preference | None
    consistency: Consistency
    num_votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVerdict:
    """A person's answer on one pair as it was given, in the pair's stored order.

    Attributes:
        reason: why a pair is dropped.
        shown: which stored response stood left.
        label_side: the side of the label that it was given against; None where none was shown.
        created: seconds since 1970.
    """

    reviewer: str
    decision: Decision
    reason: str | None
    shown: Order
    blind: bool
    label_side: Preference | None
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One pair as a user's file gave it; a group of K responses gives K(K-1)/2 of them.

    Attributes:
        line: 1-based line (or row) in the file.
        id: the id that the file gave, with the place in a group; else None (the store names it `dataset:line`).
        place: 1-based, among the pairs of its group; None where a row is one pair.
        swapped: the file's a (or chosen) is the pair's stored b. Votes are already in the stored order.
        meta: unknown keys of the row, as a JSON object.
        split: the part that the row itself declares.
    """

    line: int
    id: str | None
    pair: Pair
    swapped: bool
    votes: tuple[Vote, ...] = ()
    subset: str | None = None
    meta: str | None = None
    split: Part | None = None
    verdicts: tuple[GivenVerdict, ...] = ()
    duplicate_votes: int = 0
    place: int | None = None

    def id_within(self, name: str) -> str:
        """The row's own id, else its line (and its place in a group) within a dataset or file of this name."""
        if self.id is not None:
            return self.id
        return f"{name}:{self.line}" if self.place is None else f"{name}:{self.line}/{self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used. `kind` groups reasons that differ only in their values."""

    file: str
    line: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalRow:
    """A row whose two responses are the same text: no error, left out and counted."""

    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPair:
    """One pair of a frozen training set, with its text.

    Attributes:
        pair_id: the store's row number; not part of the snapshot's hash.
        p_a: target P(a is better) + p_tie / 2.
        weight: of the pair in the loss, above 0.
    """

    pair_id: int
    pair: Pair
    p_a: float
    p_tie: float
    part: Part
    origin: Origin
    weight: float = 1.0
    subset: str | None = None

    @property
    def is_tie(self) -> bool:
        return self.p_tie > 0 and self.p_a == 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pair that a run started now would freeze, or that still waits for a label.

    Attributes:
        p_a, p_tie: target as in a snapshot; nan where nobody labeled the pair.
        consistency: of the votes behind its label; None where there is no label.
        swapped: the file's a (or chosen) is the stored b.
    """

    pair_id: int
    pair: Pair
    part: Part
    swapped: bool
    p_a: float
    p_tie: float
    consistency: Consistency | None = None
    subset: str | None = None

    @property
    def is_tie(self) -> bool:
        return self.p_tie > 0 and self.p_a == 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """Both rewards of one pair, logits. `trimmed`: a text was too long and lost tokens by rule."""

    pair_id: int
    reward_a: float
    reward_b: float
    trimmed: bool = False

    @property
    def margin(self) -> float:
        return self.reward_a - self.reward_b


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step (for a probe: one candidate of its regularisation).

    Attributes:
        loss: mean over the step's pairs, nats.
        accuracy: share of the step's decided pairs whose side has the higher reward; None without such pairs.
        tokens_per_second: through the model, padding included.
        shared: share of the tokens of all texts that sharing their prompts saved, in [0, 1).
        padding: share of computed tokens that stand for nothing, in [0, 1).
        valid_nll: mean negative log-likelihood on valid, nats; None where this step did not evaluate.
        is_best: this step has the lowest valid_nll so far.
    """

    step: int
    num_steps: int
    epoch: float
    loss: float
    accuracy: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    pairs_per_second: float | None = None
    tokens_per_second: float | None = None
    shared: float | None = None
    padding: float | None = None
    valid_nll: float | None = None
    valid_accuracy: float | None = None
    is_best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Out-of-fold margin of one pair: from a model that did not train on its prompt."""

    pair_id: int
    fold: int
    repeat: int
    epoch: int
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a long piece of work is: `done` of `total` of `what` ("features of 2,384 texts")."""

    what: str
    done: int
    total: int


def messages_of(prompt: str | Iterable[Message]) -> tuple[Message, ...]:
    """A string prompt is one user message."""
    if isinstance(prompt, str):
        return (Message(Role.USER, _unix_newlines(prompt)),)
    return tuple(Message(m.role, _unix_newlines(m.content)) for m in prompt)


def pair_of(prompt: str | Sequence[Message], first: str, second: str) -> Oriented:
    """Put two responses into the stored order.

    CRLF becomes LF and nothing else is normalised. Raises TiebreakError if the responses are identical.
    """
    messages = messages_of(prompt)
    first, second = _unix_newlines(first), _unix_newlines(second)
    if first == second:
        raise TiebreakError("the two responses of a pair must differ")
    group = hash_of_prompt(messages)
    # Salted by the prompt, so that one response is not always a in every group it stands in.
    swapped = _digest(f"{group}\n{first}") > _digest(f"{group}\n{second}")
    pair = Pair(messages, second, first) if swapped else Pair(messages, first, second)
    return Oriented(pair, swapped)


def hash_of_prompt(prompt: Sequence[Message]) -> str:
    return _digest(json.dumps([[m.role.value, m.content] for m in prompt], ensure_ascii=False, separators=(",", ":")))


def _unix_newlines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _digest(text: str) -> str:
    # surrogatepass: a lone surrogate is valid in JSON and must not crash an import.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
