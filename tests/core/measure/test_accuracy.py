import numpy as np
import pytest

from core.measure.accuracy import accuracy, always_the_longer


def prompts(count):
    return np.array([str(i) for i in range(count)], dtype=object)


def test_equal_rewards_count_one_half_and_strictly_none():
    found = accuracy(np.array([1.0, -1.0, 0.0, 2.0]), np.array([1.0, 1.0, 1.0, 0.5]), prompt=prompts(4))

    assert found.value == pytest.approx(0.5)  # right, wrong, half of three decided
    assert found.strict == pytest.approx(1 / 3)
    assert found.num_decided == 3


def test_orientation_does_not_matter():
    random = np.random.default_rng(0)
    margin, p_a = random.normal(size=200), random.integers(0, 2, 200).astype(float)

    assert accuracy(margin, p_a, prompt=prompts(200)) == accuracy(-margin, 1 - p_a, prompt=prompts(200))


@pytest.mark.parametrize("p_a", [[], [0.5, 0.5]])
def test_no_decided_pair_has_no_accuracy(p_a):
    found = accuracy(np.ones(len(p_a)), np.array(p_a), prompt=prompts(len(p_a)))

    assert np.isnan(found.value)
    assert found.num_decided == 0


def test_pairs_of_one_prompt_widen_the_interval():
    random = np.random.default_rng(0)
    p_a = np.ones(400)
    margin = np.repeat(random.choice([1.0, -1.0], 20), 20)

    alone = accuracy(margin, p_a, prompt=prompts(400))
    together = accuracy(margin, p_a, prompt=np.repeat(prompts(20), 20))

    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_one_prompt_has_no_interval():
    found = accuracy(np.ones(3), np.ones(3), prompt=np.array(["p"] * 3, dtype=object))

    assert found.value == 1.0
    assert np.isnan(found.low)


def test_few_prompts_that_are_all_right_leave_room_for_error():
    found = accuracy(np.ones(4), np.ones(4), prompt=prompts(4))

    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(1 / (1 + 1.96**2 / 4), abs=1e-4)  # Wilson at share 1: 1 / (1 + z^2 / n) = 0.51


def test_many_right_pairs_of_few_prompts_are_as_few_trials_as_prompts():
    found = accuracy(np.ones(40), np.ones(40), prompt=np.repeat(prompts(4), 10))

    assert found.low == pytest.approx(1 / (1 + 1.96**2 / 4), abs=1e-4)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        margin = random.choice([1.0, -1.0], size=20, p=[0.9, 0.1])
        found = accuracy(margin, np.ones(20), prompt=prompts(20), seed=seed, resamples=200)
        held += found.low <= 0.9 <= found.high

    assert held / 200 >= 0.93  # the bootstrap alone: 0.85; draws that are all right have no width


def test_the_longer_baseline_gives_half_for_equal_lengths():
    found = always_the_longer(np.array([3, 2]), np.array([1, 2]), np.array([1.0, 1.0]), prompt=prompts(2))

    assert found.value == 0.75


@pytest.mark.parametrize(("margin", "low", "high"), [(1.0, 5 / (5 + 3.8415), 1.0), (-1.0, 0.0, 3.8415 / (5 + 3.8415))])
def test_all_right_or_all_wrong_has_wilsons_interval_over_prompts(margin, low, high):
    found = accuracy(np.full(10, margin), np.ones(10), prompt=np.repeat(prompts(5), 2))

    # Wilson at 5 of 5: n / (n + z^2) to 1, with z^2 = 1.96^2; two pairs of one prompt say what one says.
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
