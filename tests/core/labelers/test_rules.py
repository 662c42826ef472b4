import pytest

from core.errors import BadConfig
from core.judging import Mode, Status
from core.labelers import parse
from core.labelers.rules import Rule
from core.records import Order, Preference
from tests.core.labelers.asked import pairs, request_of

FIRST, SECOND, TIE = Preference.A, Preference.B, Preference.TIE


def answer_of(rule, request):
    (attempt,) = rule.attempts([request])
    answer = parse.read(attempt, request, Mode.VERDICT)
    assert answer.status is Status.OK
    return answer


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(
    ("rule", "winner"),
    [
        (Rule(rule="longest"), "a long response"),
        (Rule(rule="shortest"), "short"),
        (Rule(rule="keyword", keyword="LONG"), "a long response"),
    ],
)
def test_a_rule_prefers_the_same_response_in_both_orders(rule, winner, order):
    request = request_of("hello", "a long response", "short", order=order)

    answer = answer_of(rule, request)

    assert (request.first if answer.preference is FIRST else request.second) == winner


@pytest.mark.parametrize("order", list(Order))
def test_first_prefers_what_is_shown_first(order):
    assert answer_of(Rule(rule="first"), request_of(order=order)).preference is FIRST


def test_equal_lengths_are_a_tie():
    assert answer_of(Rule(rule="longest"), request_of("hello", "abc", "xyz")).preference is TIE


def test_random_is_fair_and_the_same_again_and_looks_at_no_order():
    rule = Rule(rule="random", seed=3)
    requests = [
        [request_of(pair.prompt, pair.response_a, pair.response_b, order=order) for order in Order]
        for _, pair in pairs(400)
    ]

    chosen = [
        [request.first if answer_of(rule, request).preference is FIRST else request.second for request in both]
        for both in requests
    ]

    assert all(one == other for one, other in chosen)
    share = sum(one == both[0].pair.response_a for (one, _), both in zip(chosen, requests, strict=True)) / 400
    assert 0.4 < share < 0.6  # within four standard errors, .025 each, of a half


@pytest.mark.parametrize(("rule", "keyword"), [("longer", ""), ("keyword", ""), ("longest", "word")])
def test_a_rule_that_makes_no_sense_is_refused(rule, keyword):
    with pytest.raises(BadConfig, match="rule"):
        Rule(rule=rule, keyword=keyword)
