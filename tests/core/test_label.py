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
