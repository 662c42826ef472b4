"""How prepared pairs become forward passes: rows of shared prompts where the model can, padded batches where not."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.engine.attention import Sharing, rewards_of_row, token_budget
from core.engine.layout import Row, Unit, num_tokens, pack, steps, units_to_train
from core.engine.model import Loaded, batch_of
from core.engine.prepare import EncodedPair
from core.engine.ranks import ALONE, Ranks
from core.engine.tokens import Tokens

_GROUPED_BATCHES = 50
LEAST_ROW_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One forward pass.

    Attributes:
        pairs: places of its pairs among those planned.
        row: None where both sides of each pair are padded to one length.
        spare: places of pairs that are computed with them and count for nothing.
    """

    pairs: tuple[int, ...]
    row: Row | None = None
    spare: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Tokens of forward passes.

    Attributes:
        computed: those that went through the model, padding included.
        padding: of these, those that stand for nothing.
        plain: what the pairs take when each side is computed by itself.
    """

    computed: int = 0
    padding: int = 0
    plain: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            computed=self.computed + other.computed,
            padding=self.padding + other.padding,
            plain=self.plain + other.plain,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What one optimizer step trains on: pairs by place, or units of shared prompts."""

    pairs: tuple[int, ...] = ()
    units: tuple[Unit, ...] = ()

    @property
    def num_pairs(self) -> int:
        return len(self.pairs) + sum(len(unit.pairs) for unit in self.units)


class Planner:
    """Plans the passes of one set of pairs.

    Args:
        sharing: what `attention.self_check` said of this model.
        batch_pairs: pairs of a padded batch.
        row_tokens: tokens of a row of shared prompts; None: by device.
        ranks: of several processes each plans the same steps and has passes of its share of them.
    """

    def __init__(
        self,
        loaded: Loaded,
        pairs: Sequence[EncodedPair],
        *,
        sharing: Sharing,
        batch_pairs: int,
        row_tokens: int | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._loaded, self._sharing, self.ranks = loaded, sharing, ranks
        self._pairs, self._batch_pairs = pairs, batch_pairs
        self.is_shared = sharing.refused is None
        self.row_tokens = row_tokens or token_budget(loaded)
        self._groups = group_pairs(pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def pairs_of(self, one: Pass) -> list[EncodedPair]:
        return [self._pairs[place] for place in one.pairs]

    def first(self, count: int) -> "Planner":
        """A planner of the first pairs alone."""
        return Planner(
            self._loaded,
            self._pairs[:count],
            sharing=self._sharing,
            batch_pairs=self._batch_pairs,
            row_tokens=self.row_tokens,
            ranks=self.ranks,
        )

    def halve(self) -> bool:
        """Make passes half as large from now on; False if they are as small as they can be."""
        if self.is_shared and self.row_tokens > LEAST_ROW_TOKENS:
            self.row_tokens //= 2
            return True
        if not self.is_shared and self._batch_pairs > 1:
            self._batch_pairs //= 2
            return True
        return False

    def epoch(self, *, pairs_a_step: int, seed: int) -> list[StepPlan]:
        """The optimizer steps of one epoch in a seeded order: `pairs_a_step` pairs each, the rest in the last."""
        if not self.is_shared:
            order = _length_grouped(self._pairs, self._batch_pairs, seed=seed)
            starts = range(0, len(order), pairs_a_step)
            return [StepPlan(pairs=tuple(order[start : start + pairs_a_step])) for start in starts]
        units = units_to_train(
            [group.texts for group in self._groups],
            [group.sides for group in self._groups],
            budget=self.row_tokens,
            max_pairs=pairs_a_step,
            seed=seed,
        )
        return [StepPlan(units=planned) for planned in steps(units, pairs_a_step=pairs_a_step, seed=seed)]

    def weight(self, step: StepPlan) -> float:
        """Of all pairs of a step, in every process."""
        shared = [self._groups[unit.group].places[pair.index] for unit in step.units for pair in unit.pairs]
        return sum(self._pairs[place].weight for place in (*step.pairs, *shared))

    def passes(self, step: StepPlan) -> list[Pass]:
        """This process's forward passes of a step; those of all processes hold each of its pairs once."""
        share = self._share(step)
        if not self.is_shared:
            size = self._batch_pairs
            starts = range(0, len(share.pairs), size)
            return self._as_many_as_others([Pass(pairs=share.pairs[start : start + size]) for start in starts])
        rows = pack([group.texts for group in self._groups], share.units, budget=self.row_tokens)
        return self._as_many_as_others(
            [
                Pass(pairs=tuple(self._groups[pair.group].places[pair.index] for pair in row.pairs), row=row)
                for row in rows
            ]
        )

    def _as_many_as_others(self, passes: list[Pass]) -> list[Pass]:
        """With passes that count for nothing, as many as the process with the most has, where all must keep step."""
        if not self.ranks.is_sharded:
            return passes
        return passes + [Pass(pairs=(), spare=(0,))] * (self.ranks.most(len(passes)) - len(passes))

    def _share(self, step: StepPlan) -> StepPlan:
        if self.ranks.size == 1:
            return step
        pairs = self.ranks.share([self._pairs[place].num_tokens for place in step.pairs])
        units = self.ranks.share([self._unit_tokens(unit) for unit in step.units])
        return StepPlan(pairs=tuple(step.pairs[i] for i in pairs), units=tuple(step.units[i] for i in units))

    def _unit_tokens(self, unit: Unit) -> int:
        texts = self._groups[unit.group].texts
        return num_tokens([texts[response].input_ids for response in unit.responses])

    def all(self) -> Iterator[Pass]:
        """Every pair once over all processes, without a step's bounds: to evaluate."""
        if self.is_shared:
            for step in self.epoch(pairs_a_step=max(1, len(self._pairs)), seed=0):
                yield from self.passes(step)
            return
        order = sorted(range(len(self._pairs)), key=lambda place: self._pairs[place].num_tokens)
        order = order[self.ranks.rank :: self.ranks.size]
        size = 2 * self._batch_pairs  # without a backward pass there is room for twice as many
        starts = range(0, len(order), size)
        yield from self._as_many_as_others([Pass(pairs=tuple(order[start : start + size])) for start in starts])

    def rewards(self, loaded: Loaded, one: Pass) -> Tensor:
        """Of sides a and b of the pass's pairs, shape (2, B)."""
        if one.row is not None:
            values = rewards_of_row(loaded, one.row)
            places = torch.tensor([(pair.a, pair.b) for pair in one.row.pairs], device=values.device)
            return values[places.T]
        chosen = self._computed(one)
        rewards: Tensor = loaded.model(*batch_of(loaded, [pair.a for pair in chosen] + [pair.b for pair in chosen]))
        return rewards.view(2, len(chosen))[:, : len(one.pairs)]

    def _computed(self, one: Pass) -> list[EncodedPair]:
        return [self._pairs[place] for place in (*one.pairs, *one.spare)]

    def cost(self, one: Pass) -> Cost:
        plain = sum(pair.num_tokens for pair in self.pairs_of(one))
        if one.row is not None:
            return Cost(computed=one.row.num_tokens, plain=plain)
        chosen = self._computed(one)
        longest = max(len(side.input_ids) for pair in chosen for side in (pair.a, pair.b))
        computed = 2 * len(chosen) * longest
        return Cost(computed=computed, padding=computed - plain, plain=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGroup:
    """The distinct texts of one prompt and the pairs among them.

    Attributes:
        sides: for each pair, the places of a and b in `texts`.
        places: for each pair, its place among all pairs.
    """

    texts: tuple[Tokens, ...]
    sides: tuple[tuple[int, int], ...]
    places: tuple[int, ...]


def group_pairs(pairs: Sequence[EncodedPair]) -> list[PairGroup]:
    """Pairs by prompt. A trimmed pair is a group of its own: its prompt lost its front, so it shares none."""
    by_prompt: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        name = f"{pair.prompt_hash} {place}" if pair.a.trimmed else pair.prompt_hash
        by_prompt.setdefault(name, []).append(place)
    return [_group(pairs, places) for places in by_prompt.values()]


def _group(pairs: Sequence[EncodedPair], places: Sequence[int]) -> PairGroup:
    texts: dict[tuple[int, ...], Tokens] = {}
    for place in places:
        for side in (pairs[place].a, pairs[place].b):
            texts.setdefault(side.input_ids, side)
    number = {ids: at for at, ids in enumerate(texts)}
    sides = tuple((number[pairs[place].a.input_ids], number[pairs[place].b.input_ids]) for place in places)
    return PairGroup(texts=tuple(texts.values()), sides=sides, places=tuple(places))


def _length_grouped(pairs: Sequence[EncodedPair], batch_pairs: int, *, seed: int) -> list[int]:
    """A seeded order in which neighbours are of like length, so that little is padding."""
    shuffled = random.Random(seed)
    order = list(range(len(pairs)))
    shuffled.shuffle(order)
    size = batch_pairs * _GROUPED_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        part = sorted(order[start : start + size], key=lambda i: pairs[i].num_tokens)
        batches += [part[i : i + batch_pairs] for i in range(0, len(part), batch_pairs)]
    # A short batch stays last, so that every other step has its full number of pairs.
    short = [batch for batch in batches if len(batch) < batch_pairs]
    full = [batch for batch in batches if len(batch) == batch_pairs]
    shuffled.shuffle(full)
    return [i for batch in full + short for i in batch]
