"""What a row of a file means: every known preference layout, one small function each.

A function takes a row and returns what it says in the row's own orientation (`Found`); `pairs_of` puts that into the
stored order. What cannot be used raises `Refused` with a kind (for counting) and a reason (for the user).
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

from core.errors import BadFile
from core.formats.options import ReadOptions
from core.records import (
    MAX_TEXT_CHARACTERS,
    IdenticalRow,
    Kind,
    Message,
    Order,
    PairRow,
    Preference,
    Role,
    Vote,
    messages_of,
    pair_of,
)

Row = Mapping[str, Any]
Choice = TypeVar("Choice", Preference, Kind, Order)


class Refused(ValueError):
    """A row that cannot be used."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Two responses to one prompt, in the row's own order, with the votes in that order."""

    prompt: tuple[Message, ...]
    first: str
    second: str
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to write preferences down.

    Attributes:
        needs: columns that a row must have to be of this layout.
        known: columns that it reads; the others are kept as meta.
    """

    name: str
    needs: frozenset[str]
    known: frozenset[str]
    read: Callable[[Row, ReadOptions], list[Found]]
    fits: Callable[[Row], bool] = lambda _row: True


_PRETOKENISED = {"input_ids", "chosen_ids", "rejected_ids", "chosen_input_ids", "rejected_input_ids", "prompt_ids"}
_MULTIMODAL = {"image", "images", "video", "videos", "audio", "audios"}
_ALWAYS_KNOWN = frozenset({"id", "subset"})
_ROLES = {
    "system": Role.SYSTEM,
    "user": Role.USER,
    "human": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
    "bot": Role.ASSISTANT,
    "model": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function_call": Role.ASSISTANT,
    "observation": Role.TOOL,
}


def layout_for(row: Row, options: ReadOptions, *, where: str) -> Layout:
    """The layout of a file, by its first row. BadFile lists the columns there are and the layouts known."""
    if options.format is not None:
        by_name = {layout.name: layout for layout in LAYOUTS}
        if options.format not in by_name:
            raise BadFile(f"unknown format {options.format!r}; known are {', '.join(by_name)}")
        return by_name[options.format]
    found = find_layout(row, options)
    if found is not None:
        return found
    raise BadFile(
        f"{where} has the columns {', '.join(map(str, row)) or '(none)'}, which are no known layout "
        f"({', '.join(layout.name for layout in LAYOUTS)}); "
        "name columns with --map prompt=...,response_chosen=...,response_rejected=..."
    )


def find_layout(row: Row, options: ReadOptions) -> Layout | None:
    """The first layout whose columns a row has."""
    mapped = renamed(row, options)
    return next((layout for layout in LAYOUTS if layout.needs <= mapped.keys() and layout.fits(mapped)), None)


def renamed(row: Row, options: ReadOptions) -> Row:
    """A row under our names: each mapped column stands under the name it is mapped to."""
    if not options.mapping:
        return row
    taken = set(options.mapping.values())
    rest = {key: value for key, value in row.items() if key not in taken}
    return rest | {name: row[column] for name, column in options.mapping.items() if column in row}


def pairs_of(row: Row, line: int, layout: Layout, options: ReadOptions) -> Iterator[PairRow | IdenticalRow]:
    """The pairs of one row, votes in the stored order."""
    _refuse_kinds(row)
    for name, column in options.mapping.items():
        if column not in row:
            raise Refused("missing column", f"the column {column!r} (mapped to {name}) is missing")
    mapped = renamed(row, options)
    missing = sorted(layout.needs - mapped.keys())
    if missing:
        raise Refused("missing column", f"the column {missing[0]!r} is missing")
    found = layout.read(mapped, options)
    row_id, subset, meta = _id(mapped), _subset(mapped), _meta(mapped, layout)
    for place, one in enumerate(found, start=1):
        for text in (one.first, one.second, *(message.content for message in one.prompt)):
            _refuse_long(text)
        if one.first.replace("\r\n", "\n") == one.second.replace("\r\n", "\n"):
            yield IdenticalRow(line=line)
            continue
        made = pair_of(one.prompt, one.first, one.second)
        given = tuple(vote.swapped() for vote in one.votes) if made.swapped else one.votes
        # A group's id names several pairs; each gets its place in the group.
        in_group = None if len(found) == 1 else place
        yield PairRow(
            line=line,
            id=row_id if row_id is None or in_group is None else f"{row_id}/{in_group}",
            pair=made.pair,
            swapped=made.swapped,
            votes=given,
            subset=subset,
            meta=meta,
            place=in_group,
        )


# --- what a layout reads ------------------------------------------------------------------------------------------


def _triplet(chosen: str, rejected: str) -> Callable[[Row, ReadOptions], list[Found]]:
    def read(row: Row, options: ReadOptions) -> list[Found]:
        prompt = read_prompt(row["prompt"], row.get("system"))
        return [_preferred(*_completions(prompt, row[chosen], row[rejected], names=(chosen, rejected)), options)]

    return read


def _implicit(row: Row, options: ReadOptions) -> list[Found]:
    """No prompt column: what both sides share at their start is the prompt."""
    chosen, rejected = _messages(row["chosen"], "chosen"), _messages(row["rejected"], "rejected")
    return [_preferred(*_without_common_turns((), chosen, rejected), options)]


def _transcript(row: Row, options: ReadOptions) -> list[Found]:
    """hh-rlhf: turns that begin with `Human:` or `Assistant:` after an empty line, on both sides."""
    chosen, rejected = _turns(row["chosen"], "chosen"), _turns(row["rejected"], "rejected")
    return [_preferred(*_without_common_turns((), chosen, rejected), options)]


def _alpaca(row: Row, options: ReadOptions) -> list[Found]:
    """LLaMA-Factory's alpaca ranking: instruction, input, history, system; chosen and rejected or output [c, r]."""
    extra = row.get("input") or ""
    instruction = read_text(row["instruction"], "instruction") + (f"\n{extra}" if extra else "")
    turns: list[Message] = []
    if row.get("system"):
        turns.append(Message(Role.SYSTEM, read_text(row["system"], "system")))
    turns += _history(row.get("history") or [])
    turns.append(Message(Role.USER, instruction))
    output = row.get("output")
    pair = output if isinstance(output, list) and len(output) == 2 else [row.get("chosen"), row.get("rejected")]
    chosen, rejected = read_text(pair[0], "chosen"), read_text(pair[1], "rejected")
    return [_preferred(tuple(turns), chosen, rejected, options)]


def _history(history: object) -> Iterator[Message]:
    if not isinstance(history, list | tuple):
        raise Refused("wrong type", f"history must be a list of [question, answer], got {type(history).__name__}")
    for place, turn in enumerate(history):
        if not isinstance(turn, list | tuple) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
            reason = f"history[{place}] must be [question, answer], two texts, got {str(turn)[:80]}"
            raise Refused("wrong type", reason)
        yield Message(Role.USER, turn[0])
        yield Message(Role.ASSISTANT, turn[1])


def _sharegpt(row: Row, options: ReadOptions) -> list[Found]:
    """LLaMA-Factory's sharegpt ranking: conversations, then one chosen and one rejected message."""
    prompt = read_prompt(row["conversations"], row.get("system"))
    return [_preferred(*_completions(prompt, row["chosen"], row["rejected"], names=("chosen", "rejected")), options)]


def _group(row: Row, options: ReadOptions) -> list[Found]:
    """Several responses to one prompt: every pair of distinct ones; with scores, the higher is preferred."""
    responses, scores = row["responses"], row.get("scores")
    if not isinstance(responses, list) or len(responses) < 2:
        raise Refused("too few responses", "responses must be a list of at least 2 texts")
    texts = [read_text(response, f"responses[{place}]") for place, response in enumerate(responses)]
    numbers = None if scores is None else _scores(scores, len(texts))
    prompt = read_prompt(row["prompt"], row.get("system"))
    found = []
    for i, j in combinations(range(len(texts)), 2):
        votes: tuple[Vote, ...] = ()
        if numbers is not None:
            side = (
                Preference.TIE
                if numbers[i] == numbers[j]
                else Preference.A
                if numbers[i] > numbers[j]
                else Preference.B
            )
            votes = (Vote(labeler=options.labeler, kind=options.kind, preference=side),)
        found.append(Found(prompt=prompt, first=texts[i], second=texts[j], votes=votes))
    return found


def _labeled_pair(row: Row, options: ReadOptions) -> list[Found]:
    """The layout of pairs: two responses without opinion, and any number of labels."""
    prompt = read_prompt(row["prompt"], row.get("system"))
    prompt, first, second = _completions(
        prompt, row["response_a"], row["response_b"], names=("response_a", "response_b")
    )
    given = row.get("labels") or []
    if isinstance(given, str):
        given = _json_list(given, "labels")
    if not isinstance(given, list):
        raise Refused("wrong type", f"labels must be a list, got {type(given).__name__}")
    votes = [_vote(label, options) for label in given]
    if not given and row.get("preference") is not None:
        votes = [_vote({key: row[key] for key in ("preference", "p_a", "strength") if key in row}, options)]
    return [Found(prompt=prompt, first=first, second=second, votes=tuple(votes))]


def _vote(label: object, options: ReadOptions) -> Vote:
    if not isinstance(label, dict):
        raise Refused("wrong type", f"a label must be an object, got {type(label).__name__}")
    preference = _one_of(label.get("preference"), Preference, "preference")
    p_a = _share(label.get("p_a"), "p_a")
    contradicts = p_a is not None and (
        (preference is Preference.A and p_a < 0.5)
        or (preference is Preference.B and p_a > 0.5)
        # A tie is the likeliest answer only where P(a better) and P(b better) are at most p_tie: |p_a - 1/2| <= 1/4.
        or (preference is Preference.TIE and abs(p_a - 0.5) > 0.25)
    )
    if contradicts:
        raise Refused("preference against p_a", f"preference {preference.value!r} contradicts its own p_a {p_a}")
    rationale = label.get("rationale")
    return Vote(
        labeler=str(label.get("labeler") or options.labeler),
        kind=_one_of(label.get("kind") or options.kind, Kind, "kind"),
        preference=preference,
        p_a=p_a,
        strength=_share(label.get("strength"), "strength"),
        order=None if label.get("order") is None else _one_of(label["order"], Order, "order"),
        rationale=None if rationale is None else str(rationale),
    )


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="pairs",
        needs=frozenset({"prompt", "response_a", "response_b"}),
        known=frozenset({"prompt", "response_a", "response_b", "labels", "preference", "p_a", "strength", "system"}),
        read=_labeled_pair,
    ),
    Layout(
        name="triplets",
        needs=frozenset({"prompt", "response_chosen", "response_rejected"}),
        known=frozenset({"prompt", "response_chosen", "response_rejected", "system"}),
        read=_triplet("response_chosen", "response_rejected"),
    ),
    Layout(
        name="group",
        needs=frozenset({"prompt", "responses"}),
        known=frozenset({"prompt", "responses", "scores", "system"}),
        read=_group,
    ),
    Layout(
        name="sharegpt-ranking",
        needs=frozenset({"conversations", "chosen", "rejected"}),
        known=frozenset({"conversations", "chosen", "rejected", "system"}),
        read=_sharegpt,
    ),
    Layout(
        name="alpaca-ranking",
        needs=frozenset({"instruction"}),
        known=frozenset({"instruction", "input", "output", "chosen", "rejected", "history", "system"}),
        read=_alpaca,
        fits=lambda row: {"chosen", "rejected"} <= row.keys() or isinstance(row.get("output"), list),
    ),
    Layout(
        name="trl-explicit",
        needs=frozenset({"prompt", "chosen", "rejected"}),
        known=frozenset({"prompt", "chosen", "rejected", "system"}),
        read=_triplet("chosen", "rejected"),
        # UltraFeedback's layout repeats the prompt inside both sides; _completions strips what is common.
    ),
    Layout(
        name="hh-transcripts",
        needs=frozenset({"chosen", "rejected"}),
        known=frozenset({"chosen", "rejected"}),
        read=_transcript,
        fits=lambda row: isinstance(row["chosen"], str) and "Assistant:" in row["chosen"],
    ),
    Layout(
        name="trl-implicit",
        needs=frozenset({"chosen", "rejected"}),
        known=frozenset({"chosen", "rejected"}),
        read=_implicit,
        fits=lambda row: not isinstance(row["chosen"], str),
    ),
)


# --- parts of a row -----------------------------------------------------------------------------------------------


def _preferred(prompt: tuple[Message, ...], chosen: str, rejected: str, options: ReadOptions) -> Found:
    vote = Vote(labeler=options.labeler, kind=options.kind, preference=Preference.A)
    return Found(prompt=prompt, first=chosen, second=rejected, votes=(vote,))


def read_prompt(value: object, system: object = None) -> tuple[Message, ...]:
    messages = list(messages_of(read_text(value, "prompt")) if isinstance(value, str) else _messages(value, "prompt"))
    if system:
        messages.insert(0, Message(Role.SYSTEM, read_text(system, "system")))
    return tuple(messages)


def _completions(
    prompt: tuple[Message, ...], first: object, second: object, *, names: tuple[str, str]
) -> tuple[tuple[Message, ...], str, str]:
    """Two completions as one assistant text each; turns that both begin with belong to the prompt."""
    if isinstance(first, str) and isinstance(second, str):
        return prompt, read_text(first, names[0]), read_text(second, names[1])
    one, two = _messages(first, names[0]), _messages(second, names[1])
    if one[: len(prompt)] == prompt == two[: len(prompt)]:
        one, two = one[len(prompt) :], two[len(prompt) :]
    return _without_common_turns(prompt, one, two)


def _without_common_turns(
    prompt: tuple[Message, ...], first: Sequence[Message], second: Sequence[Message]
) -> tuple[tuple[Message, ...], str, str]:
    shared = 0
    while shared < min(len(first), len(second)) - 1 and first[shared] == second[shared]:
        shared += 1
    rest = (first[shared:], second[shared:])
    if any(len(turns) != 1 or turns[0].role is not Role.ASSISTANT for turns in rest):
        raise Refused(
            "several turns", "the two sides must differ in one last assistant turn each; here they differ earlier"
        )
    whole = (*prompt, *first[:shared])
    if not whole:
        raise Refused("no prompt", "the two sides share no turn that could be the prompt")
    for text in (rest[0][0].content, rest[1][0].content):
        read_text(text, "response")
    return whole, rest[0][0].content, rest[1][0].content


def _messages(value: object, name: str) -> tuple[Message, ...]:
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        value = _json_list(value, name)
    if isinstance(value, str):
        return (Message(Role.ASSISTANT, read_text(value, name)),)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise Refused("wrong type", f"{name} must be a text or a list of messages, got {type(value).__name__}")
    return tuple(_message(turn, name) for turn in value)


def _message(turn: object, name: str) -> Message:
    if not isinstance(turn, dict):
        raise Refused("wrong type", f"{name} must hold messages with role and content, got {type(turn).__name__}")
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list):
        raise Refused(
            "multimodal", f"{name} has a message of several parts (images or other media), which is not supported"
        )
    if str(role) not in _ROLES:
        raise Refused(
            "unknown role", f"{name} has a message of the unknown role {role!r}; known are {', '.join(_ROLES)}"
        )
    if not isinstance(content, str):
        raise Refused("wrong type", f"a message of {name} must have a text as content, got {type(content).__name__}")
    return Message(_ROLES[str(role)], content)


_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")


def _turns(value: object, name: str) -> tuple[Message, ...]:
    text = read_text(value, name)
    parts = _SPEAKER.split(text if text.startswith("\n\n") else "\n\n" + text.lstrip("\n"))
    if len(parts) < 3 or parts[0].strip():
        raise Refused("no transcript", f"{name} must begin with 'Human:' and alternate with 'Assistant:'")
    speakers = {"Human": Role.USER, "Assistant": Role.ASSISTANT}
    return tuple(Message(speakers[who], said.strip()) for who, said in zip(parts[1::2], parts[2::2], strict=True))


def read_text(value: object, name: str) -> str:
    if isinstance(value, dict) and isinstance(value.get("value", value.get("content")), str):
        value = value.get("value", value.get("content"))
    if not isinstance(value, str):
        raise Refused("wrong type", f"{name} must be a text, got {type(value).__name__}")
    if not value.strip():
        raise Refused(f"empty {name.split('[', maxsplit=1)[0]}", f"{name} is empty")
    return value


def _refuse_long(text: str) -> None:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Refused("text too long", f"a text of {len(text):,} characters; at most {MAX_TEXT_CHARACTERS:,} are taken")


def _refuse_kinds(row: Row) -> None:
    for column in _PRETOKENISED & row.keys():
        raise Refused("pre-tokenised", f"the column {column!r} holds token ids; give texts")
    for column in _MULTIMODAL & row.keys():
        if row[column]:
            raise Refused("multimodal", f"the column {column!r} holds media; only text is supported")


def _one_of(value: object, choices: type[Choice], name: str) -> Choice:
    try:
        return choices(str(value))
    except ValueError:
        raise Refused(f"bad {name}", f"{name} must be one of {', '.join(choices)}, got {value!r}") from None


def _share(value: object, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(str(value)) if not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise Refused(f"bad {name}", f"{name} must be a number in [0, 1], got {value!r}")
    return number


def _scores(scores: object, count: int) -> list[float]:
    if not isinstance(scores, list) or len(scores) != count:
        raise Refused("bad scores", f"scores must be a list of {count} numbers, one a response")
    if not all(
        isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score) for score in scores
    ):
        raise Refused("bad scores", "every score must be a finite number")
    return [float(score) for score in scores]


def _json_list(value: str, name: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON", f"{name} is not JSON: {error}") from None


def _id(row: Row) -> str | None:
    value = row.get("id")
    if value is None or value == "":
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Refused("bad id", f"id must be a text or a whole number, got {type(value).__name__}")
    return str(value)


def _subset(row: Row) -> str | None:
    value = row.get("subset")
    return None if value is None or value == "" else str(value)


def _meta(row: Row, layout: Layout) -> str | None:
    unknown = {key: value for key, value in row.items() if key not in layout.known and key not in _ALWAYS_KNOWN}
    try:
        return json.dumps(unknown, ensure_ascii=False, default=str) if unknown else None
    except RecursionError:
        raise Refused("too deep", f"the columns {', '.join(map(str, unknown))} hold JSON that is too deep") from None
