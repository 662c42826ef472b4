import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from core.measure.calibration import (
    Bin,
    brier,
    ece,
    ece_null_band,
    fit_temperature,
    nll,
    pairs_for_bins,
    reliability,
    temperature_interval,
    too_sure_by,
)


def simulated(count, *, true_temperature=1.0, seed=0):
    random = np.random.default_rng(seed)
    margin = random.normal(scale=2.0, size=count)
    return margin, (random.random(count) < expit(margin / true_temperature)).astype(float)


def test_nll_and_brier_are_scikit_learns():
    margin, p_a = simulated(500)

    assert nll(margin, p_a) == pytest.approx(log_loss(p_a, expit(margin)))
    assert brier(margin, p_a) == pytest.approx(brier_score_loss(p_a, expit(margin)))


def test_a_tie_at_equal_rewards_costs_log_two():
    assert nll(np.zeros(1), np.array([0.5])) == pytest.approx(math.log(2))


@pytest.mark.parametrize("true_temperature", [0.5, 2.0, 4.0])
def test_the_temperature_is_recovered_within_ten_percent(true_temperature):
    margin, p_a = simulated(20_000, true_temperature=true_temperature)

    assert fit_temperature(margin, p_a) == pytest.approx(true_temperature, rel=0.1)


def test_a_perfectly_calibrated_model_lies_in_its_null_band():
    inside = 0
    for seed in range(40):
        margin, p_a = simulated(500, seed=seed)
        band = ece_null_band(margin, p_a, seed=seed)
        inside += band.low <= ece(margin, p_a) <= band.high

    assert inside >= 34  # binomial(40, .95): five sd below its mean


def test_an_over_confident_model_lies_above_its_band():
    margin, p_a = simulated(1000, true_temperature=5.0)

    assert ece(margin, p_a) > ece_null_band(margin, p_a).high


def test_chosen_first_data_is_no_better_calibrated_than_the_same_data_shuffled():
    margin, p_a = simulated(600)
    chosen_first = np.where(p_a == 1, margin, -margin)

    assert ece(chosen_first, np.ones(600)) == pytest.approx(ece(margin, p_a))


def test_bins_hold_equal_numbers_and_all_decided_pairs():
    margin, p_a = simulated(500)
    p_a[:100] = 0.5

    assert [one.count for one in reliability(margin, p_a)] == [50] * 8


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_pairs_have_no_temperature(count):
    assert math.isnan(fit_temperature(np.ones(count), np.ones(count)))


def test_no_pairs_have_no_numbers():
    empty = np.array([])

    assert math.isnan(nll(empty, empty))
    assert math.isnan(ece(empty, empty))
    assert reliability(empty, empty) == []


def test_infinite_margins_are_certain_not_broken():
    margin, p_a = np.array([np.inf, -np.inf]), np.array([1.0, 0.0])

    assert nll(margin, p_a) == 0.0
    assert ece(margin, p_a) == 0.0


def test_the_interval_of_the_temperature_holds_the_truth_in_most_samples():
    inside = 0
    for seed in range(40):
        found = temperature_interval(*simulated(300, true_temperature=2.0, seed=seed))
        inside += found.low <= 2.0 <= found.high

    assert inside >= 34  # binomial(40, .95): five sd below its mean


def test_more_pairs_narrow_the_interval_of_the_temperature():
    few, many = (temperature_interval(*simulated(count)) for count in (100, 10_000))

    # The width goes with the root of the count: ten times narrower.
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10, rel=0.4)


def test_a_model_that_is_always_right_may_be_as_sure_as_it_likes():
    found = temperature_interval(np.ones(30), np.ones(30))

    assert found.low == pytest.approx(math.exp(-4))  # the least temperature that is tried
    assert found.high < 1


def test_too_few_pairs_have_no_interval_of_the_temperature():
    found = temperature_interval(np.ones(5), np.ones(5))

    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_too_sure_is_confidence_less_share_right_over_all_pairs():
    def of(confidence, accuracy, count):
        return Bin(confidence=confidence, accuracy=accuracy, low=0.0, high=1.0, count=count)

    assert too_sure_by([of(0.9, 0.6, 10), of(0.6, 0.7, 30)]) == pytest.approx(0.0)  # (10 * .3 - 30 * .1) / 40
    assert math.isnan(too_sure_by([]))


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_pairs_for_bins_gives_that_many_bins(bins):
    margin, p_a = simulated(pairs_for_bins(bins))

    assert len(reliability(margin, p_a)) == bins
