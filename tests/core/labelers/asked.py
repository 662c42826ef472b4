"""Pairs and requests that the tests of labelers share."""

from core.judging import Principle, Request, key_of
from core.records import Order, pair_of

HELPFUL = Principle(id="helpful", text="Prefer what helps.", weight=2.0)
SHORT = Principle(id="short", text="Prefer what is short.")


def pairs(count):
    return [
        (number, pair_of(f"question {number}", f"one {number}", f"another {number}").pair) for number in range(count)
    ]


def request_of(prompt="What is 2 + 2?", first="4", second="five", *, order=Order.AB, principles=(HELPFUL, SHORT)):
    """A request in which `first` is the response of the stored a."""
    pair = pair_of(prompt, first, second).pair
    return Request(
        key=key_of(labeler="tests", pair=pair, order=order, principles=principles),
        pair=pair,
        order=order,
        principles=principles,
    )
