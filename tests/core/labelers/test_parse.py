import json
import math
from dataclasses import replace

import pytest

from core.judging import Attempt, Mode, Status
from core.labelers.parse import P_OF_STRENGTH, read
from core.records import Preference
from tests.core.labelers.asked import request_of

FIRST, SECOND, TIE = Preference.A, Preference.B, Preference.TIE


def reply(text, **facts):
    return Attempt(key="k", reply=text, **{"finish_reason": "stop", **facts})


def letters(**chances):
    return reply("A", log_probs=json.dumps({token: math.log(chance) for token, chance in chances.items()}))


def verdict(winner, **more):
    return json.dumps({"rationale": "Compared.", "principles": [], "winner": winner, **more})


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        (verdict("A"), FIRST),
        (verdict("B"), SECOND),
        (verdict("tie"), TIE),
        ("Sure!\n```json\n" + verdict("B") + "\n```\nHope that helps.", SECOND),
        ('{"a note": 1} ' + verdict("A"), FIRST),
        ("Both are fine, but the second is true. [[B]]", SECOND),
        ("[[C]]", TIE),
        ("The first one is longer.\n\nAnswer: B", SECOND),
        ("Final verdict: **Response A**", FIRST),
        ("B.", SECOND),
    ],
)
def test_the_ladder_finds_the_verdict(text, winner):
    answer = read(reply(text), request_of(), Mode.VERDICT)

    assert (answer.status, answer.preference, answer.p_first) == (Status.OK, winner, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[A]] at first sight, yet [[B]]", "two different winners"),
        (verdict("A") + verdict("B"), "two different winners"),
        (verdict("C or D"), "winner must be A, B or tie"),
        (verdict("A", strength=10), "strength must be a whole number from 0 to 3, got 10"),
        ("Both have their merits.", "no verdict"),
        ("A better answer would be hard to find", "no verdict"),
        ("", "no verdict"),
        ("{" * 5000, "no verdict"),
    ],
)
def test_what_is_no_verdict_is_unparsed_and_no_preference(text, words):
    answer = read(reply(text), request_of(), Mode.VERDICT)

    assert answer.status is Status.UNPARSED
    assert words in answer.why
    assert (answer.preference, answer.p_first) == (None, None)


@pytest.mark.parametrize(
    ("attempt", "status"),
    [
        (reply("I\u2019m sorry, but I cannot compare these."), Status.REFUSED),
        (reply("I can't help with that."), Status.REFUSED),
        (reply("", finish_reason="content_filter"), Status.REFUSED),
        (reply('{"rationale": "The first', finish_reason="length"), Status.TRUNCATED),
        (reply(verdict("A"), tokens_in=4096, tokens_expected=9000), Status.TRUNCATED),
        (Attempt(key="k", error="HTTP 500"), Status.FAILED),
    ],
)
def test_refused_truncated_and_failed_stay_apart(attempt, status):
    answer = read(attempt, request_of(), Mode.VERDICT)

    assert answer.status is status
    assert answer.why
    assert answer.preference is None


def test_strength_gives_a_probability_for_the_winner():
    answers = [read(reply(verdict("B", strength=k)), request_of(), Mode.VERDICT) for k in range(4)]

    assert [answer.p_first for answer in answers] == [1 - p for p in P_OF_STRENGTH]


def test_letters_are_summed_over_their_spellings():
    answer = read(letters(**{"A": 0.5, " A": 0.1, "B": 0.2, "b": 0.1, "The": 0.1}), request_of(), Mode.LOG_PROB)

    assert answer.p_first == pytest.approx(0.6 / 0.9)
    assert answer.off_format == pytest.approx(0.1)
    assert answer.preference is FIRST


def test_a_letter_that_is_not_listed_is_bounded_and_not_zero():
    answer = read(letters(B=0.9, The=0.02), request_of(), Mode.LOG_PROB)

    assert answer.p_first == pytest.approx(0.02 / 0.92)  # at most as likely as the least of those listed


def test_probability_on_other_words_is_no_answer():
    answer = read(letters(A=0.2, B=0.1, Both=0.6), request_of(), Mode.LOG_PROB)

    assert (answer.status, answer.preference) == (Status.UNPARSED, None)
    assert "70%" in answer.why
    assert "'Both'" in answer.why


def test_missing_log_probabilities_are_said():
    answer = read(reply("A"), request_of(), Mode.LOG_PROB)

    assert answer.status is Status.UNPARSED
    assert "no log-probabilities" in answer.why


def test_a_verdict_against_its_own_reasons_is_marked_and_kept():
    said = json.dumps({"rationale": "A is vague. So B is better.", "winner": "A"})

    answer = read(reply(said), request_of(), Mode.VERDICT)

    assert (answer.status, answer.preference, answer.contradicts) == (Status.OK, FIRST, True)


def test_a_verdict_against_its_own_principles_is_marked():
    principles = [
        {"id": "helpful", "winner": "B", "strength": 2},  # weight 2
        {"id": "short", "winner": "A", "strength": 3},  # weight 1: 3 against 4
        {"id": "unknown", "winner": "A", "strength": 3},
    ]

    answers = [
        read(reply(json.dumps({"winner": winner, "principles": principles})), request_of(), Mode.VERDICT)
        for winner in ("A", "B")
    ]

    assert [answer.contradicts for answer in answers] == [True, False]
    assert [one.principle for one in answers[0].by_principle] == ["helpful", "short"]


def test_reasons_of_a_first_call_are_kept_with_the_letter():
    attempt = replace(letters(A=0.9, B=0.1), reasoning="It is right. A is better.")

    answer = read(attempt, request_of(), Mode.REASON)

    assert (answer.rationale, answer.contradicts) == ("It is right. A is better.", False)
