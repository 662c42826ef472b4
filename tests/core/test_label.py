import math

import pytest

from core.label import label_of
from core.records import Consistency, Kind, Order, Preference, Vote

A, B, TIE = Preference.A, Preference.B, Preference.TIE


def votes(*answers):
    return [Vote(labeler="l", kind=Kind.AI, preference=preference, order=order) for preference, order in answers]


@pytest.mark.parametrize(
    ("given", "p_a", "p_tie", "side", "consistency"),
    [
        ([(A, None)], 1.0, 0.0, A, Consistency.SINGLE),
        ([(TIE, None)], 0.5, 1.0, None, Consistency.SINGLE),
        ([(A, Order.AB), (A, Order.BA)], 1.0, 0.0, A, Consistency.CONSISTENT),
        ([(B, Order.AB), (A, Order.BA)], 0.5, 0.0, B, Consistency.ORDER_FLIPPED),
        ([(B, None), (A, None)], 0.5, 0.0, B, Consistency.REPEAT_SPLIT),
        ([(A, Order.AB), (B, Order.AB)], 0.5, 0.0, A, Consistency.REPEAT_SPLIT),
        ([(A, None), (A, None), (B, None), (TIE, None)], 0.625, 0.25, A, Consistency.REPEAT_SPLIT),
    ],
)
def test_votes_add_up(given, p_a, p_tie, side, consistency):
    label = label_of(votes(*given))

    assert (label.p_a, label.p_tie, label.side, label.consistency) == (p_a, p_tie, side, consistency)


def test_an_order_asked_more_often_weighs_no_more():
    label = label_of(votes((A, Order.AB), (A, Order.AB), (A, Order.AB), (B, Order.BA)))

    assert label.p_a == 0.5  # 1 in the one order, 0 in the other


def test_a_stated_probability_wins_over_the_preference():
    label = label_of([Vote(labeler="l", kind=Kind.AI, preference=A, p_a=0.6, strength=1.0)])

    assert label.p_a == 0.6
    assert label.side is A


def judged(*answers, principle=None, weight=1.0):
    return [
        Vote(
            labeler="l",
            kind=Kind.AI,
            preference=A if p_a > 0.5 else B if p_a < 0.5 else TIE,
            p_a=p_a,
            order=order,
            principle=principle,
            weight=weight,
        )
        for p_a, order in answers
    ]


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def test_position_bias_cancels_between_the_orders():
    # d = 0.7 for a, and 1.0 for whatever is shown first
    label = label_of(judged((sigmoid(0.7 + 1.0), Order.AB), (sigmoid(0.7 - 1.0), Order.BA)))

    assert label.p_a == pytest.approx(sigmoid(0.7))
    assert label.consistency is Consistency.ORDER_FLIPPED


def test_a_judge_that_is_certain_in_one_order_is_no_more_certain_than_the_bound():
    label = label_of(judged((1.0, Order.AB), (0.5, Order.BA)))

    assert label.p_a == pytest.approx(sigmoid(6.0 / 2))


def test_principles_are_weighed_as_logits():
    helpful = judged((sigmoid(2.0), Order.AB), principle="helpful", weight=3.0)
    short = judged((sigmoid(-1.0), Order.AB), principle="short", weight=1.0)

    label = label_of(helpful + short)

    assert label.p_a == pytest.approx(sigmoid((3 * 2.0 - 1.0) / 4))
    assert label.consistency is Consistency.CONSISTENT  # principles that differ are no contradiction


def test_an_order_is_flipped_as_a_whole_and_not_by_one_principle():
    ab = judged((0.9, Order.AB), principle="x") + judged((0.4, Order.AB), principle="y")
    ba = judged((0.9, Order.BA), principle="x") + judged((0.6, Order.BA), principle="y")

    assert label_of(ab + ba).consistency is Consistency.CONSISTENT
    assert label_of(ab + judged((0.1, Order.BA), principle="x")).consistency is Consistency.ORDER_FLIPPED


def test_the_same_principle_answered_twice_differently_is_a_repeat_split():
    label = label_of(judged((0.9, Order.AB), (0.2, Order.AB), principle="x"))

    assert label.consistency is Consistency.REPEAT_SPLIT
