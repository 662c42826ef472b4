"""Which column of a file holds what: the shapes that a row can have, and a first guess from the columns' names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a row says: the columns it must have and those it may have, under our names."""

    title: str
    needed: tuple[str, ...]
    optional: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A shape and our name -> the file's column, as far as names tell."""

    shape: Shape
    mapping: Mapping[str, str] = field(default_factory=dict)


SHAPES = (
    Shape(
        title="a better and a worse response",
        needed=("prompt", "response_chosen", "response_rejected"),
        optional=("id", "subset"),
    ),
    Shape(
        title="two responses, and which is better",
        needed=("prompt", "response_a", "response_b"),
        optional=("preference", "id", "subset"),
    ),
    Shape(title="a list of responses", needed=("prompt", "responses"), optional=("scores", "id", "subset")),
)
TITLES = {
    "prompt": "Prompt",
    "response_chosen": "Better response",
    "response_rejected": "Worse response",
    "response_a": "Response A",
    "response_b": "Response B",
    "preference": "Which is better: a, b or tie",
    "responses": "Responses, a list",
    "scores": "Scores, a list",
    "id": "Id",
    "subset": "Subset",
}
# The likeliest first; a column may also hold one of these among other words, such as `question_text`.
_WORDS = {
    "prompt": "prompt question instruction query input context user request x",
    "response_chosen": "response_chosen chosen better best preferred winner win accepted good positive",
    "response_rejected": "response_rejected rejected worse worst dispreferred loser lose refused bad negative",
    "response_a": "response_a answer_a output_a completion_a a response_0 answer_0 response_1 answer_1 output_1",
    "response_b": "response_b answer_b output_b completion_b b response_2 answer_2 output_2 response_1 answer_1",
    "preference": "preference label winner choice verdict",
    "responses": "responses completions answers outputs candidates",
    "scores": "scores ratings rewards",
    "id": "id uid uuid pair_id row_id",
    "subset": "subset category task domain source",
}


def guess(columns: Sequence[str]) -> Guess:
    """The shape of which most needed columns are found; the first one where nothing is."""
    found = [Guess(shape=shape, mapping=_matched(shape, columns)) for shape in SHAPES]
    return max(found, key=lambda one: sum(name in one.mapping for name in one.shape.needed) / len(one.shape.needed))


def _matched(shape: Shape, columns: Sequence[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for is_match in (_is_word, _holds_word):
        for name in (*shape.needed, *shape.optional):
            free = [column for column in columns if column not in mapping.values()]
            likely = (column for word in _WORDS[name].split() for column in free if is_match(column, word))
            if name not in mapping and (column := next(likely, None)) is not None:
                mapping[name] = column
    return mapping


def _is_word(column: str, word: str) -> bool:
    return "_".join(_parts(column)) == word


def _holds_word(column: str, word: str) -> bool:
    return len(word) > 2 and word in _parts(column)


def _parts(column: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", column)]
