import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from core.measure.agreement import agreement, krippendorff_alpha, mean_with_interval

NONE = None


def random_labels(seed, count=300):
    draw = np.random.default_rng(seed)
    truth = draw.choice(["a", "b", "tie"], count, p=[0.45, 0.45, 0.1])
    other = np.where(draw.random(count) < 0.7, truth, draw.choice(["a", "b", "tie"], count))
    return truth, other, draw.integers(0, 100, count)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    first, second, prompt = random_labels(seed)

    found = agreement(first, second, prompt=prompt)

    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.share.value == pytest.approx((first == second).mean())
    assert found.kappa.low < found.kappa.value < found.kappa.high


@pytest.mark.parametrize("seed", range(5))
def test_alpha_of_two_is_alpha_of_any_number(seed):
    first, second, prompt = random_labels(seed)

    found = agreement(first, second, prompt=prompt)

    assert found.alpha.value == pytest.approx(krippendorff_alpha(pd.DataFrame({"x": first, "y": second})))


def test_alpha_is_that_of_the_published_example():
    # Krippendorff 2011, section C: 4 observers, 12 units, 5 values, gaps; nominal alpha 0.743.
    said = pd.DataFrame(
        {
            "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
            "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
            "C": [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
            "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
        }
    )

    assert krippendorff_alpha(said) == pytest.approx(0.743, abs=0.0005)


def test_swapping_the_labelers_changes_nothing():
    first, second, prompt = random_labels(1)

    assert agreement(first, second, prompt=prompt) == agreement(second, first, prompt=prompt)


def test_pairs_of_one_prompt_do_not_narrow_the_interval():
    first, second, _ = random_labels(2, 60)
    prompt = np.arange(60)

    once = agreement(first, second, prompt=prompt)
    tripled = agreement(np.repeat(first, 3), np.repeat(second, 3), prompt=np.repeat(prompt, 3))

    assert tripled.share.high - tripled.share.low == pytest.approx(once.share.high - once.share.low, rel=0.05)


def test_labelers_that_never_disagree_and_never_vary_have_no_kappa():
    found = agreement(["a"] * 5, ["a"] * 5, prompt=range(5))

    assert found.share.value == 1.0
    assert np.isnan(found.kappa.value)
    assert np.isnan(found.alpha.value)


def test_no_pairs_have_no_numbers():
    found = agreement([], [], prompt=[])

    assert (found.num_pairs, found.num_prompts) == (0, 0)
    assert np.isnan(found.share.value)


def test_a_mean_has_an_interval_over_prompts():
    found = mean_with_interval([1, 1, 0, 0], prompt=["p", "p", "q", "q"])

    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)  # both prompts, or one of them twice
