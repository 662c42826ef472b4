"""What stands where in a forward pass: a prompt once, each of its responses once, several prompts in one row.

Pure planning on token ids; `attention.py` turns a row into tensors and masks. A row is

    [prefix | tail | tail | ...]  [prefix | tail | ...]  ...
     one unit: one prompt          the next unit

A tail sees its own prefix and itself, causally; positions restart at every prefix and each tail goes on where its
prefix ended. What is shared is the longest common *token* prefix of a unit's texts: the prompt's own ids need not be
one (a tokenizer may merge across the border), and responses that begin alike share their beginning too.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.engine.tokens import Encoded
from core.errors import BadConfig

Ids = tuple[int, ...]
# The distinct responses to one prompt, encoded; responses whose ids are the same are computed once.
Group = Sequence[Encoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledPair:
    """Two responses of a group, as places in it, and which of the group's labeled pairs they are."""

    index: int
    a: int
    b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Responses of one group that must stand in one row, with the labeled pairs to be formed there."""

    group: int
    responses: Ids
    pairs: tuple[LabeledPair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A response in a row; `pooled` is the place in the row of its last token."""

    group: int
    response: int
    pooled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPair:
    """A labeled pair in a row; `a` and `b` are places among the row's members, hence among its rewards."""

    group: int
    index: int
    a: int
    b: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One forward pass of T tokens.

    Attributes:
        segment_ids: which prefix or tail each token belongs to, shape (T,).
        prefix_ids: the segment that each token sees whole beside its own: its unit's prefix, shape (T,).
        blocks: (start, end) of each unit; no token sees another block.
        num_plain_tokens: what the members take when each is computed by itself.
    """

    input_ids: Ids
    position_ids: Ids
    segment_ids: Ids
    prefix_ids: Ids
    blocks: tuple[tuple[int, int], ...]
    members: tuple[Member, ...]
    pairs: tuple[RowPair, ...]
    num_plain_tokens: int

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest text in the row."""
        return max(self.position_ids) + 1


def shared_prefix(texts: Sequence[Ids]) -> int:
    """How many tokens all distinct texts begin with, at least one short of the shortest: each keeps what is pooled.

    0 for a single text, which has nothing to share.
    """
    distinct = set(texts)
    if len(distinct) < 2:
        return 0
    # Whatever lies between the first and the last in order begins with what these two have in common.
    first, last = min(distinct), max(distinct)
    common = next((i for i, (x, y) in enumerate(zip(first, last, strict=False)) if x != y), min(len(first), len(last)))
    return min(common, min(map(len, distinct)) - 1)


def num_tokens(texts: Sequence[Ids]) -> int:
    """What a unit of these texts takes in a row."""
    shared = shared_prefix(texts)
    return shared + sum(len(text) - shared for text in set(texts))


def units_to_score(groups: Sequence[Group], *, budget: int) -> list[Unit]:
    """Every response of every group once. A group larger than a row is cut; each part computes the prefix again."""
    units: list[Unit] = []
    for place, group in enumerate(groups):
        part: list[int] = []
        for response in range(len(group)):
            if part and num_tokens([group[i].input_ids for i in [*part, response]]) > budget:
                units.append(Unit(group=place, responses=tuple(part)))
                part = []
            part.append(response)
        if part:
            units.append(Unit(group=place, responses=tuple(part)))
    return units


def units_to_train(
    groups: Sequence[Group],
    pairs: Sequence[Sequence[tuple[int, int]]],
    *,
    budget: int,
    max_pairs: int,
    seed: int,
) -> list[Unit]:
    """Every labeled pair of every group once, both its sides in one unit.

    A group that is larger than a row or has more pairs than an optimizer step is cut into seeded sub-groups of
    responses that hold many of its pairs for their tokens; a response stands in as many of them as its pairs need.

    Args:
        pairs: for each group its labeled pairs, as places of two responses.
        budget: tokens of a row. Only a single pair may take more.
        max_pairs: pairs of a unit, at least 1.
    """
    if max_pairs < 1:
        raise BadConfig(f"max_pairs must be at least 1, got {max_pairs}")
    units: list[Unit] = []
    for place, (group, labeled) in enumerate(zip(groups, pairs, strict=True)):
        waiting = [LabeledPair(index=index, a=a, b=b) for index, (a, b) in enumerate(labeled)]
        texts = [one.input_ids for one in group]
        whole = _unit(place, waiting)
        if len(waiting) <= max_pairs and _size(texts, whole.responses) <= budget:
            units += [whole] if waiting else []
            continue
        # A text seeds alike on every machine and for every process, as a tuple would not.
        random.Random(f"{seed} {place}").shuffle(waiting)
        while waiting:
            part = _dense_part(texts, waiting, budget=budget, max_pairs=max_pairs)
            units.append(_unit(place, part))
            taken = {pair.index for pair in part}
            waiting = [pair for pair in waiting if pair.index not in taken]
    return units


def steps(units: Sequence[Unit], *, pairs_a_step: int, seed: int) -> list[tuple[Unit, ...]]:
    """One epoch in seeded order, `pairs_a_step` pairs an optimizer step and the rest in the last.

    A unit that a step has no room for is cut between its pairs, so that the number of steps is the number of pairs
    over `pairs_a_step`, rounded up, whatever the groups: a schedule and a resumed run can count on it.
    """
    waiting = list(units)
    random.Random(seed).shuffle(waiting)
    waiting.reverse()
    made: list[tuple[Unit, ...]] = []
    step: list[Unit] = []
    room = pairs_a_step
    while waiting:
        unit = waiting.pop()
        if len(unit.pairs) > room:
            waiting.append(_unit(unit.group, unit.pairs[room:]))
            unit = _unit(unit.group, unit.pairs[:room])
        step.append(unit)
        room -= len(unit.pairs)
        if room == 0:
            made.append(tuple(step))
            step, room = [], pairs_a_step
    return [*made, tuple(step)] if step else made


def pack(groups: Sequence[Group], units: Sequence[Unit], *, budget: int) -> list[Row]:
    """Units into rows of at most `budget` tokens, first fit in order of decreasing size; the largest row comes first.

    A unit larger than the budget has a row of its own.
    """
    sizes = [_size([one.input_ids for one in groups[unit.group]], unit.responses) for unit in units]
    filled: list[list[Unit]] = []
    room: list[int] = []
    for place in sorted(range(len(units)), key=lambda i: -sizes[i]):
        row = next((i for i, free in enumerate(room) if free >= sizes[place]), None)
        if row is None:
            filled.append([])
            room.append(budget)
            row = len(filled) - 1
        filled[row].append(units[place])
        room[row] -= sizes[place]
    return [_row(groups, row) for row in filled]


def _unit(group: int, pairs: Sequence[LabeledPair]) -> Unit:
    responses = sorted({side for pair in pairs for side in (pair.a, pair.b)})
    return Unit(group=group, responses=tuple(responses), pairs=tuple(pairs))


def _size(texts: Sequence[Ids], responses: Sequence[int]) -> int:
    return num_tokens([texts[i] for i in responses])


def _dense_part(
    texts: Sequence[Ids], waiting: Sequence[LabeledPair], *, budget: int, max_pairs: int
) -> list[LabeledPair]:
    """The first waiting pair, and with it responses one by one: next, the one that brings most pairs for its tokens."""
    beside: dict[int, list[LabeledPair]] = {}
    for pair in waiting:
        beside.setdefault(pair.a, []).append(pair)
        beside.setdefault(pair.b, []).append(pair)
    # Sizes as if only the whole group's prefix were shared: a part may share more, never less, so no part is too large.
    shared = shared_prefix(texts)
    held = {waiting[0].a, waiting[0].b}
    size = shared + sum(len(texts[one]) - shared for one in held)
    part = [pair for pair in beside[waiting[0].a] if {pair.a, pair.b} <= held][:max_pairs]
    brings: dict[int, list[LabeledPair]] = {}
    for one in sorted(held):
        _reach(one, beside, held, brings)
    while len(part) < max_pairs:
        fitting = [one for one in brings if size + len(texts[one]) - shared <= budget]
        if not fitting:
            break
        best = max(fitting, key=lambda one: (len(brings[one]) / (len(texts[one]) - shared), -one))
        part += brings.pop(best)[: max_pairs - len(part)]
        held.add(best)
        size += len(texts[best]) - shared
        _reach(best, beside, held, brings)
    return part


def _reach(
    response: int, beside: dict[int, list[LabeledPair]], held: set[int], brings: dict[int, list[LabeledPair]]
) -> None:
    """Note what responses outside would bring, now that this one is held."""
    for pair in beside[response]:
        other = pair.b if pair.a == response else pair.a
        if other not in held:
            brings.setdefault(other, []).append(pair)


def _row(groups: Sequence[Group], units: Sequence[Unit]) -> Row:
    row = Row(
        input_ids=(),
        position_ids=(),
        segment_ids=(),
        prefix_ids=(),
        blocks=(),
        members=(),
        pairs=(),
        num_plain_tokens=0,
    )
    for unit in units:
        row = _with_unit(row, [one.input_ids for one in groups[unit.group]], unit)
    return row


def _with_unit(row: Row, texts: Sequence[Ids], unit: Unit) -> Row:
    """The row with one more unit at its end."""
    distinct = list(dict.fromkeys(texts[i] for i in unit.responses))
    shared = shared_prefix(distinct)
    start = len(row.input_ids)
    prefix = row.segment_ids[-1] + 1 if row.segment_ids else 0
    ids, positions, segments = list(distinct[0][:shared]), list(range(shared)), [prefix] * shared
    pooled: dict[Ids, int] = {}
    for number, text in enumerate(distinct, start=prefix + 1):
        ids += text[shared:]
        positions += range(shared, len(text))
        segments += [number] * (len(text) - shared)
        pooled[text] = start + len(ids) - 1
    first = len(row.members)
    place = {response: first + i for i, response in enumerate(unit.responses)}
    return replace(
        row,
        input_ids=(*row.input_ids, *ids),
        position_ids=(*row.position_ids, *positions),
        segment_ids=(*row.segment_ids, *segments),
        prefix_ids=(*row.prefix_ids, *([prefix] * len(ids))),
        blocks=(*row.blocks, (start, start + len(ids))),
        members=(
            *row.members,
            *(Member(group=unit.group, response=i, pooled=pooled[texts[i]]) for i in unit.responses),
        ),
        pairs=(
            *row.pairs,
            *(RowPair(group=unit.group, index=pair.index, a=place[pair.a], b=place[pair.b]) for pair in unit.pairs),
        ),
        num_plain_tokens=row.num_plain_tokens + sum(len(texts[i]) for i in unit.responses),
    )
