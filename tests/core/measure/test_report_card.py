import math

import numpy as np
import pandas as pd
import pytest

from core.judging import LabelerConfig, Mode, Source, vote_of
from core.label import label_of
from core.labelers import parse
from core.labelers.plan import plan
from core.labelers.simulated import Simulated
from core.measure.report_card import report_card
from core.records import pair_of


def frame_of_votes(rows):
    columns = ["pair_id", "preference", "p_a", "shown", "principle", "contradicts"]
    return pd.DataFrame(rows, columns=columns).astype({"p_a": float})


def pairs_frame(count, *, length_a=100, length_b=10, list_a=False, list_b=False):
    facts = {"length_a": length_a, "length_b": length_b, "list_a": list_a, "list_b": list_b}
    return pd.DataFrame({"pair_id": range(count), "prompt": [f"p{i}" for i in range(count)], **facts})


def labels_frame(sides):
    p_a = [{"a": 0.9, "b": 0.1, None: 0.5}[side] for side in sides]
    return pd.DataFrame({"pair_id": range(len(sides)), "side": sides, "p_a": p_a})


def card(votes, *, sides=None, pairs=None):
    number = max(row[0] for row in votes) + 1
    labels = labels_frame(sides or ["a"] * number)
    return report_card(frame_of_votes(votes), labels, pairs if pairs is not None else pairs_frame(number))


def test_flips_and_where_they_went_are_counted():
    votes = [
        (0, "a", None, "ab", None, None), (0, "a", None, "ba", None, None),  # steady
        (1, "a", None, "ab", None, None), (1, "b", None, "ba", None, None),  # the first shown, twice
        (2, "a", None, "ab", None, None), (2, "b", None, "ba", None, None),
        (3, "b", None, "ab", None, None), (3, "a", None, "ba", None, None),  # the second shown
        (4, "a", None, "ab", None, None),  # asked in one order only
    ]  # fmt: skip

    position = card(votes).position

    assert (position.num_pairs, position.num_flips) == (4, 3)
    assert position.flip_rate.value == 0.75
    assert position.first_among_flips == pytest.approx(2 / 3)
    assert position.p_value == pytest.approx(1.0)  # 2 of 3 fair coins
    assert math.isnan(position.bias.value)  # it gave no probabilities


def test_bias_is_half_the_difference_of_the_orders_logits():
    sigmoid = lambda logit: 1 / (1 + math.exp(-logit))  # noqa: E731
    votes = [
        (0, "a", sigmoid(2.0 + 0.5), "ab", None, None), (0, "a", sigmoid(2.0 - 0.5), "ba", None, None),
        (1, "b", sigmoid(-1.0 + 0.3), "ab", None, None), (1, "b", sigmoid(-1.0 - 0.3), "ba", None, None),
    ]  # fmt: skip

    assert card(votes).position.bias.value == pytest.approx(0.4)


def test_the_same_question_asked_again():
    votes = [(0, "a", None, "ab", None, None)] * 3 + [
        (1, "a", None, "ab", None, None),
        (1, "b", None, "ab", None, None),
    ]

    assert card(votes).same_again.value == 0.5  # always the same on one pair, never on the other
    assert card(votes[:1]).same_again is None


def test_preference_for_the_longer_and_for_lists():
    votes = [(i, "a", None, None, None, None) for i in range(4)]
    pairs = pairs_frame(4, list_a=[True, True, False, False], list_b=[False, False, True, False])

    found = card(votes, sides=["a", "a", "a", "b"], pairs=pairs)

    assert found.prefers_longer.value == 0.75  # a is longer by 90 characters everywhere
    assert found.prefers_list.value == pytest.approx(2 / 3)  # the last pair has no list


def test_a_small_difference_of_length_is_no_longer_response():
    found = card([(0, "a", None, None, None, None)], pairs=pairs_frame(1, length_a=40, length_b=20))

    assert math.isnan(found.prefers_longer.value)


def test_principles_in_conflict():
    votes = [
        (0, "a", 0.9, "ab", "kind", None), (0, "b", 0.1, "ab", "true", None),
        (1, "a", 0.9, "ab", "kind", None), (1, "b", 0.4, "ab", "true", None),  # not clearly
    ]  # fmt: skip

    assert card(votes).principle_conflict.value == 0.5
    assert card([(0, "a", 0.9, "ab", None, None)]).principle_conflict is None


def test_contradictions_are_a_share_of_the_votes_that_could_have_any():
    votes = [(0, "a", None, "ab", None, True), (1, "a", None, "ab", None, False), (2, "a", None, "ab", None, None)]

    assert card(votes).contradicts == 0.5


def test_json_has_no_number_that_is_none():
    made = card([(0, "a", None, None, None, None)]).to_dict()

    assert made["prefers_list"]["value"] is None
    assert made["position"] is None


def simulated_card(seed, count=250, **settings):
    config = LabelerConfig(source=Source.SIMULATED, seed=seed, **settings)
    labeler = Simulated(position_bias=config.position_bias, mode=Mode.LOG_PROB)
    texts = [(i, pair_of(f"question {seed} {i}", f"one {i}", f"another {i}").pair) for i in range(count)]
    planned = list(plan(texts, config, None))
    attempts = labeler.attempts([request for _, request in planned])
    votes = [
        (pair_id, vote_of(parse.read(attempt, request, Mode.LOG_PROB), request, "simulated"))
        for (pair_id, request), attempt in zip(planned, attempts, strict=True)
    ]
    rows = [(i, vote.preference.value, vote.p_a, vote.order.value, None, None) for i, vote in votes]
    labels = [label_of([vote for i, vote in votes[2 * n : 2 * n + 2]]) for n in range(count)]
    sides = [None if label.side is None else label.side.value for label in labels]
    return report_card(frame_of_votes(rows), labels_frame(sides), pairs_frame(count), seed=seed)


@pytest.mark.slow
def test_a_planted_position_bias_is_measured_within_its_interval():
    found = [simulated_card(seed, position_bias=1.0).position.bias for seed in range(100)]

    inside = sum(one.low <= 1.0 <= one.high for one in found)
    assert inside >= 89  # of a 95 % interval: fewer than 89 of 100 has probability .006
    assert abs(np.mean([one.value for one in found]) - 1.0) < 0.05
