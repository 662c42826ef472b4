import numpy as np
import pytest

from core.measure.compare import compare


def test_a_model_is_no_better_than_itself():
    margin, p_a = np.array([1.0, -1.0, 2.0]), np.ones(3)

    found = compare(margin, margin, p_a, prompt=np.array(["1", "2", "3"], dtype=object))

    assert (found.accuracy, found.nll, found.only_first, found.only_second) == (0.0, 0.0, 0, 0)
    assert np.isnan(found.p_value)


def test_mcnemar_counts_the_pairs_on_which_they_differ():
    first, second = np.array([1.0] * 8), np.array([-1.0] * 6 + [1.0, 1.0])

    found = compare(first, second, np.ones(8), prompt=np.arange(8).astype(str).astype(object))

    assert (found.only_first, found.only_second) == (6, 0)
    assert found.accuracy == pytest.approx(0.75)
    assert found.p_value == pytest.approx(
        2 * 0.5**6 - 0.5**6
    )  # exact two-sided, less half the point's mass on each side
