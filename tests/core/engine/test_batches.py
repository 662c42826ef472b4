import itertools

import pytest
import torch

from core.config import Method, TrainConfig
from core.engine.attention import Sharing
from core.engine.batches import LEAST_ROW_TOKENS, Planner, group_pairs
from core.records import Pair
from tests.core.engine import tiny

REFUSED = Sharing(refused="the test pads")


def of_groups(loaded):
    """Three prompts of three responses each, all pairs among them, and a pair that must be trimmed."""
    pairs = []
    for seed in range(3):
        prompt = tiny.user(f"{tiny.words(10, seed=seed)}?")
        responses = [f"{tiny.words(5 + i, seed=10 * seed + i)}." for i in range(3)]
        pairs += [Pair(prompt, a, b) for a, b in itertools.combinations(responses, 2)]
    pairs.append(tiny.pair(50, prompt_words=90, response_words=60))
    snapshot = [tiny.snapshot_pair(number, of=pair) for number, pair in enumerate(pairs)]
    return tiny.prepared(loaded, TrainConfig(), snapshot).train


@pytest.fixture
def loaded(load, decoder):
    return load(decoder, method=Method.FULL)


def planned(loaded, pairs, *, is_shared, row_tokens=128):
    shared = tiny.planner(loaded, TrainConfig(batch_pairs=2), pairs)
    assert shared.is_shared
    if is_shared:
        return Planner(loaded, pairs, sharing=Sharing(refused=None), batch_pairs=2, row_tokens=row_tokens)
    return Planner(loaded, pairs, sharing=REFUSED, batch_pairs=2)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("pairs_a_step", [1, 4, 100])
def test_an_epoch_holds_every_pair_once_and_full_steps_but_the_last(loaded, is_shared, pairs_a_step):
    pairs = of_groups(loaded)
    planner = planned(loaded, pairs, is_shared=is_shared)

    steps = planner.epoch(pairs_a_step=pairs_a_step, seed=3)

    held = [sorted(place for one in planner.passes(step) for place in one.pairs) for step in steps]
    assert sorted(itertools.chain(*held)) == list(range(len(pairs)))
    assert [len(places) for places in held] == [step.num_pairs for step in steps]
    assert {step.num_pairs for step in steps[:-1]} <= {pairs_a_step}
    assert planner.epoch(pairs_a_step=pairs_a_step, seed=3) == steps


@pytest.mark.parametrize("is_shared", [True, False])
def test_all_passes_hold_every_pair_once(loaded, is_shared):
    pairs = of_groups(loaded)

    passes = list(planned(loaded, pairs, is_shared=is_shared).all())

    assert sorted(place for one in passes for place in one.pairs) == list(range(len(pairs)))


@torch.no_grad()
def test_shared_rows_give_the_rewards_of_padded_batches(loaded):
    pairs = of_groups(loaded)
    rewards = {}
    for is_shared in (True, False):
        planner = planned(loaded, pairs, is_shared=is_shared)
        for one in planner.all():
            for place, both in zip(one.pairs, planner.rewards(loaded, one).T.tolist(), strict=True):
                rewards[is_shared, place] = both

    for place in range(len(pairs)):
        assert rewards[True, place] == pytest.approx(rewards[False, place], abs=1e-5)


def test_cost_counts_what_is_computed_padded_and_saved(loaded):
    pairs = of_groups(loaded)[:3]  # one prompt, three responses, three pairs
    plain = sum(pair.num_tokens for pair in pairs)
    lengths = [len(text.input_ids) for text in group_pairs(pairs)[0].texts]

    shared, padded = (planned(loaded, pairs, is_shared=is_shared) for is_shared in (True, False))
    (row,) = shared.all()
    (batch,) = padded.all()

    assert shared.cost(row).padding == 0
    assert shared.cost(row).computed < sum(lengths) < plain == shared.cost(row).plain
    assert padded.cost(batch).computed == 2 * 3 * max(lengths)
    assert padded.cost(batch).padding == 2 * 3 * max(lengths) - plain


def test_trimmed_pair_is_a_group_of_its_own(loaded):
    pairs = of_groups(loaded)

    assert [len(group.texts) for group in group_pairs(pairs)] == [3, 3, 3, 2]
    assert [len(group.places) for group in group_pairs([pairs[-1], pairs[-1]])] == [1, 1]


def test_halving_ends_at_the_smallest_pass(loaded):
    pairs = of_groups(loaded)
    rows, batches = planned(loaded, pairs, is_shared=True, row_tokens=1024), planned(loaded, pairs, is_shared=False)

    assert [rows.halve(), rows.halve(), rows.halve(), rows.row_tokens] == [True, True, False, LEAST_ROW_TOKENS]
    assert [batches.halve(), batches.halve()] == [True, False]
