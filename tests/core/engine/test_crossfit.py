from dataclasses import replace

import numpy as np
import pytest

from core.engine.crossfit import NUM_FOLDS, REPEATS, assign_folds, crossfit, design
from core.engine.features import PairFeatures
from core.errors import RunFailed
from core.records import Pair
from tests.core.engine import tiny

WIDTH = 6


def features_of(pairs, *, seed=0):
    """Random features that hold what the target follows from: the sign of one pooled difference."""
    random = np.random.default_rng(seed)
    draw = {name: random.normal(size=(len(pairs), WIDTH)).astype(np.float32) for name in NAMES}
    return PairFeatures(**draw)


NAMES = ("pooled_a", "pooled_b", "response_a", "response_b", "prompt_a", "prompt_b")


def labeled(num_prompts, *, pairs_a_prompt=2, noise=0.1, seed=0):
    """Pairs with the features that their labels follow from, and some wrong labels."""
    random = np.random.default_rng(seed)
    pairs = [
        tiny.snapshot_pair(
            number,
            p_a=1.0,
            of=Pair(tiny.user(f"prompt {number // pairs_a_prompt}"), f"yes {number}", f"no {number}"),
        )
        for number in range(num_prompts * pairs_a_prompt)
    ]
    features = features_of(pairs)
    is_a = (features.pooled_a - features.pooled_b)[:, 0] > 0
    is_a ^= random.random(len(pairs)) < noise
    return [replace(one, p_a=float(right)) for one, right in zip(pairs, is_a, strict=True)], features


def folds_by_prompt(pairs, fold):
    found = {}
    for one, place in zip(pairs, fold, strict=True):
        found.setdefault(one.pair.prompt_hash, set()).add(int(place))
    return found


@pytest.mark.parametrize("pairs_a_prompt", [1, 3, 7])
def test_folds_never_share_a_prompt_and_are_even(pairs_a_prompt):
    pairs, _ = labeled(30, pairs_a_prompt=pairs_a_prompt)

    fold = assign_folds(pairs, num_folds=5, seed=0)

    assert all(len(places) == 1 for places in folds_by_prompt(pairs, fold).values())
    assert np.bincount(fold).tolist() == [6 * pairs_a_prompt] * 5


@pytest.mark.parametrize(("num_prompts", "together"), [(2, True), (3, True), (4, False)])
def test_prompts_that_share_a_long_response_share_a_fold_unless_it_is_a_stock_phrase(num_prompts, together):
    pairs, _ = labeled(40, pairs_a_prompt=1)
    long = tiny.words(8, seed=1)
    for number in range(num_prompts):
        pairs[number] = replace(pairs[number], pair=Pair(pairs[number].pair.prompt, long, f"no {number}"))

    always = all(
        len({int(place) for place in assign_folds(pairs, num_folds=5, seed=seed)[:num_prompts]}) == 1
        for seed in range(20)
    )

    assert always is together


def test_short_responses_link_nothing():
    pairs, _ = labeled(40, pairs_a_prompt=1)
    for number in range(2):
        pairs[number] = replace(pairs[number], pair=Pair(pairs[number].pair.prompt, "yes", f"no {number}"))

    folds = [assign_folds(pairs, num_folds=5, seed=seed)[:2] for seed in range(20)]

    assert any(one != other for one, other in folds)


def test_chain_of_links_cannot_swallow_the_folds():
    # Each prompt shares one long response with the next: all 50 are linked.
    chain = [tiny.words(9, seed=number) for number in range(51)]
    pairs = [
        tiny.snapshot_pair(number, of=Pair(tiny.user(f"prompt {number}"), chain[number], chain[number + 1]))
        for number in range(50)
    ]

    fold = assign_folds(pairs, num_folds=5, seed=0)

    assert np.bincount(fold).max() <= 2 * 50 / 5


def test_seed_decides_the_folds():
    pairs, _ = labeled(30)

    first, again, other = (assign_folds(pairs, num_folds=5, seed=seed).tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("num_prompts", [1, 2])
def test_fewer_than_three_prompts_are_refused_in_one_sentence(num_prompts):
    pairs, features = labeled(num_prompts, pairs_a_prompt=10)

    with pytest.raises(RunFailed, match="at least 3"):
        crossfit(features, pairs)


def test_three_prompts_are_enough():
    pairs, features = labeled(3, pairs_a_prompt=4)

    margins = crossfit(features, pairs)

    assert {one.fold for one in margins} == {0, 1, 2}
    assert all(np.isfinite(one.margin) for one in margins)


def test_every_pair_has_one_margin_a_repeat_from_other_folds():
    pairs, features = labeled(20)

    margins = crossfit(features, pairs)

    assert [(one.repeat, one.pair_id) for one in margins] == [
        (repeat, pair.pair_id) for repeat in range(REPEATS) for pair in pairs
    ]
    assert {one.fold for one in margins} == set(range(NUM_FOLDS))
    folds = [[one.fold for one in margins if one.repeat == repeat] for repeat in range(REPEATS)]
    assert folds[0] != folds[1]


def test_same_seed_gives_the_same_margins():
    pairs, features = labeled(20)

    assert crossfit(features, pairs, seed=4) == crossfit(features, pairs, seed=4)
    assert crossfit(features, pairs, seed=4) != crossfit(features, pairs, seed=5)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_no_margin_comes_from_a_model_that_saw_its_prompt(noise):
    # The plant: another label, and another weight, on every pair of one prompt. Their own margins must not move.
    pairs, features = labeled(15, noise=noise)
    before = crossfit(features, pairs)

    for prompt in range(0, 15, 2):
        own = {2 * prompt, 2 * prompt + 1}
        planted = [replace(one, p_a=1 - one.p_a, weight=5.0) if one.pair_id in own else one for one in pairs]
        after = crossfit(features, planted)

        changed = {one.pair_id for one, other in zip(before, after, strict=True) if one.margin != other.margin}
        assert not changed & own
        assert len(changed) > len(pairs) / 2  # the other folds' models did learn from the plant


def test_planted_flips_have_margins_against_their_labels():
    pairs, features = labeled(100, noise=0.0)
    wrong = set(range(0, 200, 20))
    planted = [replace(one, p_a=1 - one.p_a) if one.pair_id in wrong else one for one in pairs]

    margins = crossfit(features, planted)

    against = {
        one.pair_id for one, pair in zip(margins, planted * REPEATS, strict=True) if (one.margin > 0) != pair.p_a
    }
    assert len(against & wrong) >= 8


def test_swapping_the_sides_negates_the_design():
    pairs, features = labeled(10)
    swapped = replace(
        features,
        pooled_a=features.pooled_b,
        pooled_b=features.pooled_a,
        response_a=features.response_b,
        response_b=features.response_a,
        prompt_a=features.prompt_b,
        prompt_b=features.prompt_a,
    )

    assert design(features).shape == (len(pairs), 3 * WIDTH)
    assert (design(swapped) == -design(features)).all()
