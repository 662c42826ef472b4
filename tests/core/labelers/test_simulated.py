import numpy as np
import pytest

from core.errors import BadConfig
from core.judging import LabelerConfig, Mode, Source, Status
from core.label import logit_of
from core.labelers import parse
from core.labelers.plan import plan
from core.labelers.simulated import Simulated, true_side_is_a
from core.records import Order, Preference
from tests.core.labelers.asked import pairs

COUNT = 1500


def ask(labeler, count=COUNT, seed=0):
    config = LabelerConfig(source=Source.SIMULATED, seed=seed)
    requests = [request for _, request in plan(pairs(count), config, None)]
    attempts = labeler.attempts(requests)
    return [(one, parse.read(attempt, one, labeler.mode)) for one, attempt in zip(requests, attempts, strict=True)]


@pytest.mark.parametrize("mode", [Mode.LOG_PROB, Mode.VERDICT])
def test_it_is_right_as_often_as_it_was_told(mode):
    answered = ask(Simulated(accuracy=0.8, mode=mode))

    right = np.mean(
        [
            (answer.preference is Preference.A) == (true_side_is_a(request.pair) == (request.order is Order.AB))
            for request, answer in answered
        ]
    )

    assert abs(right - 0.8) < 4 * np.sqrt(0.8 * 0.2 / (2 * COUNT))


def test_its_position_bias_is_what_both_orders_show():
    answers = [answer for _, answer in ask(Simulated(position_bias=1.0))]

    # logit p_ab - logit p_ba of one pair is 2b + noise, when both speak of the first shown: b = their mean
    biases = [
        (logit_of(ab.p_first) + logit_of(ba.p_first)) / 2 for ab, ba in zip(answers[::2], answers[1::2], strict=True)
    ]

    assert abs(np.mean(biases) - 1.0) < 4 * np.std(biases) / np.sqrt(COUNT)


def test_ties_and_failures_come_at_their_rates():
    answers = [answer for _, answer in ask(Simulated(tie_rate=0.2, failure_rate=0.1))]

    failed = sum(answer.status is Status.UNPARSED for answer in answers) / len(answers)
    ties = sum(answer.preference is Preference.TIE for answer in answers) / len(answers)

    assert abs(failed - 0.1) < 4 * np.sqrt(0.1 * 0.9 / len(answers))
    assert abs(ties - 0.9 * 0.2) < 4 * np.sqrt(0.18 * 0.82 / len(answers))


def test_the_same_seed_answers_the_same_and_another_one_otherwise():
    first, again, other = (ask(Simulated(), 20, seed) for seed in (0, 0, 1))

    assert first == again
    assert [answer for _, answer in first] != [answer for _, answer in other]


@pytest.mark.parametrize(
    ("setting", "value"), [("accuracy", 0.5), ("accuracy", 1.0), ("tie_rate", 1.0), ("failure_rate", -0.1)]
)
def test_settings_outside_their_range_are_refused(setting, value):
    with pytest.raises(BadConfig, match=setting):
        Simulated(**{setting: value})
