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


def test_the_longer_baseline_gives_half_for_equal_lengths():
    found = always_the_longer(np.array([3, 2]), np.array([1, 2]), np.array([1.0, 1.0]), prompt=prompts(2))

    assert found.value == 0.75


@pytest.mark.parametrize(("margin", "low", "high"), [(1.0, 5 / (5 + 3.8415), 1.0), (-1.0, 0.0, 3.8415 / (5 + 3.8415))])
def test_all_right_or_all_wrong_has_wilsons_interval_over_prompts(margin, low, high):
    found = accuracy(np.full(10, margin), np.ones(10), prompt=np.repeat(prompts(5), 2))

    # Wilson at 5 of 5: n / (n + z^2) to 1, with z^2 = 1.96^2; two pairs of one prompt say what one says.
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_equal_rewards_everywhere_keep_an_accuracy_of_one_half():
    found = accuracy(np.zeros(4), np.ones(4), prompt=prompts(4))

    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
