"""The client against a real server on this machine that fails in every way there is."""

import json
import time

import pytest

from core.errors import BadConfig, RunFailed
from core.judging import LabelerConfig, Mode, Source, Status
from core.labelers import parse
from core.labelers.openai_api import MOST_CALLS, MOST_REPAIRS, ChatServer
from core.labelers.plan import plan
from core.records import Preference
from tests.core.labelers.asked import HELPFUL, SHORT, pairs, request_of
from tests.core.labelers.judge_server import MODEL, Reply, completion, error, letter, serving

KEY = "sk-secret-0123456789"


def config_for(judge, **settings):
    return LabelerConfig(source=Source.OPENAI, model=MODEL, base_url=judge.url, **settings)


def ask(judge, requests, *, in_flight=1, **settings):
    labeler = ChatServer(config_for(judge, **settings), most_in_flight=in_flight, most_wait=0.01)
    return list(labeler.attempts(requests))


def answer_of(attempt, request, mode):
    return parse.read(attempt, request, mode)


VERDICT = json.dumps({"rationale": "Compared.", "principles": [], "winner": "B", "strength": 2})


def test_a_letter_is_asked_for_with_its_log_probabilities():
    request = request_of()
    with serving(lambda call, number: letter(0.8)) as judge:
        (attempt,) = ask(judge, [request])

    answer = answer_of(attempt, request, Mode.LOG_PROB)
    assert (answer.status, answer.preference) == (Status.OK, Preference.A)
    assert answer.p_first == pytest.approx(0.8)
    assert (attempt.tokens_in, attempt.tokens_out, attempt.model_returned) == (200, 5, MODEL)
    (call,) = judge.calls
    assert (call["logprobs"], call["top_logprobs"], call["max_tokens"]) == (True, 20, 1)


def test_a_verdict_is_asked_for_with_its_schema():
    request = request_of(principles=(HELPFUL, SHORT))
    with serving(lambda call, number: completion(VERDICT)) as judge:
        (attempt,) = ask(judge, [request], mode=Mode.VERDICT)

    answer = answer_of(attempt, request, Mode.VERDICT)
    assert (answer.preference, answer.strength) == (Preference.B, 2)
    assert judge.calls[0]["response_format"]["json_schema"]["strict"] is True


def test_a_server_without_schemas_is_asked_in_words_from_then_on():
    def answer(call, number):
        return error(400, "response_format is not supported") if "response_format" in call else completion(VERDICT)

    with serving(answer) as judge:
        attempts = ask(judge, [request_of(), request_of("another question")], mode=Mode.VERDICT)

    assert [attempt.http_status for attempt in attempts] == [400, 200, 200]
    assert [attempt.is_last for attempt in attempts] == [False, True, True]


def test_reasons_come_first_and_the_letter_in_a_second_call():
    request = request_of()
    replies = [completion("The first is right. A is better."), letter(0.7)]
    with serving(lambda call, number: replies[number]) as judge:
        first, second = ask(judge, [request], mode=Mode.REASON)

    assert (first.is_last, second.is_last) == (False, True)
    answer = answer_of(second, request, Mode.REASON)
    assert answer.rationale == "The first is right. A is better."
    assert answer.p_first == pytest.approx(0.7)
    assert judge.calls[1]["messages"][2]["content"] == "The first is right. A is better."


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (error(429, "slow down", Retry_After="0"), 429),
        (error(500, "oops"), 500),
        (error(503, "starting"), 503),
        (Reply(is_cut=True), None),
        (Reply(body=b"<html>gateway</html>"), None),
        (Reply(body=b'{"choices": '), None),
    ],
)
def test_what_may_pass_is_tried_again_and_every_attempt_is_kept(trouble, status):
    request = request_of()
    with serving(lambda call, number: trouble if number < 2 else letter()) as judge:
        attempts = ask(judge, [request])

    assert len(judge.calls) == 3
    assert [attempt.http_status for attempt in attempts] == [status, status, 200]
    assert [attempt.is_last for attempt in attempts] == [False, False, True]
    assert all(attempt.error and attempt.reply is None for attempt in attempts[:2])


def test_trouble_that_does_not_pass_ends_as_failed_and_not_as_an_answer():
    request = request_of()
    with serving(lambda call, number: error(500, "oops")) as judge:
        attempts = ask(judge, [request])

    assert len(attempts) == len(judge.calls) == MOST_CALLS
    assert [attempt.is_last for attempt in attempts] == [False] * (MOST_CALLS - 1) + [True]
    assert answer_of(attempts[-1], request, Mode.LOG_PROB).status is Status.FAILED


def test_a_wrong_request_is_not_tried_again():
    with serving(lambda call, number: error(400, "the prompt is too long")) as judge:
        (attempt,) = ask(judge, [request_of()])

    assert len(judge.calls) == 1
    assert attempt.error == "HTTP 400: the prompt is too long"


def test_retry_after_is_kept_to():
    came = []

    def answer(call, number):
        came.append(time.monotonic())
        return letter() if number else error(429, "later", Retry_After="0.4")

    with serving(answer) as judge:
        list(ChatServer(config_for(judge), most_in_flight=1, most_wait=60).attempts([request_of()]))

    assert came[1] - came[0] >= 0.4  # without the header the wait would be drawn between 0 and 1


def test_a_reply_without_a_verdict_is_asked_for_again_at_most_twice():
    request = request_of()
    with serving(lambda call, number: completion("Both have their merits.")) as judge:
        attempts = ask(judge, [request], mode=Mode.VERDICT)

    assert len(judge.calls) == 1 + MOST_REPAIRS
    assert answer_of(attempts[-1], request, Mode.VERDICT).status is Status.UNPARSED
    assert "Both have their merits." in judge.calls[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("said", "status", "contradicts"),
    [
        ("[[A]] though it could be [[B]]", Status.UNPARSED, False),
        (json.dumps({"rationale": "B is better.", "winner": "A"}), Status.OK, True),
    ],
)
def test_a_judge_that_contradicts_itself_is_no_clean_vote(said, status, contradicts):
    request = request_of()
    with serving(lambda call, number: completion(said)) as judge:
        attempts = ask(judge, [request], mode=Mode.VERDICT)

    answer = answer_of(attempts[-1], request, Mode.VERDICT)
    assert (answer.status, answer.contradicts) == (status, contradicts)


def test_a_server_that_ignores_log_probabilities_is_found_out():
    requests = [request for _, request in plan(pairs(10), LabelerConfig(source=Source.OPENAI, model=MODEL), None)]
    with serving(lambda call, number: completion("A")) as judge:
        labeler = ChatServer(config_for(judge), most_in_flight=1)
        kept = []
        with pytest.raises(RunFailed, match=r"without log-probabilities.*mode=verdict"):
            kept.extend(labeler.attempts(requests))

    assert len(kept) == len(judge.calls) == 3  # nothing that was paid is lost


def test_a_prompt_that_the_server_cut_in_silence_is_no_vote():
    long = request_of("word " * 20_000)

    def answer(call, number):
        characters = sum(len(message["content"]) for message in call["messages"])
        return letter(tokens_in=min(characters // 4, 4096))  # as a server with a context of 4,096 that says nothing

    with serving(answer) as judge:
        labeler = ChatServer(config_for(judge), most_in_flight=1)
        short = [request_of(f"question {number}") for number in range(25)]
        attempts = list(labeler.attempts([*short, long]))

    assert answer_of(attempts[0], short[0], Mode.LOG_PROB).status is Status.OK
    cut = answer_of(attempts[-1], long, Mode.LOG_PROB)
    assert (cut.status, cut.preference) == (Status.TRUNCATED, None)


def test_a_request_that_cannot_fit_is_not_sent():
    with serving(lambda call, number: letter()) as judge:
        (attempt,) = ask(judge, [request_of("word " * 20_000)], context_tokens=4096)

    assert judge.calls == []
    assert "more than context_tokens=4,096" in attempt.error
    assert attempt.cost == 0.0


def test_many_are_in_flight_and_none_is_lost_or_doubled():
    requests = [request_of(f"question {number}") for number in range(60)]
    with serving(lambda call, number: Reply(**{**letter().__dict__, "seconds": 0.02})) as judge:
        attempts = ask(judge, requests, in_flight=16)

    assert sorted(attempt.key for attempt in attempts) == sorted(request.key for request in requests)
    assert len(judge.calls) == 60


def test_who_stops_giving_requests_gets_only_what_is_in_flight():
    given = []

    def some():
        for number in range(100):
            if stopped:
                return
            given.append(number)
            yield request_of(f"question {number}")

    stopped = False
    with serving(lambda call, number: letter()) as judge:
        labeler = ChatServer(config_for(judge), most_in_flight=4)
        got = 0
        for _ in labeler.attempts(some()):
            got += 1
            stopped = got >= 10

    assert got == len(given) == len(judge.calls) <= 10 + 4


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "refused the key in OPENAI_API_KEY"),
        (402, "no credit"),
        (404, "has no model 'judge-1'"),
    ],
)
def test_what_is_wrong_for_every_call_ends_the_run_in_one_sentence(monkeypatch, status, words):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with (
        serving(lambda call, number: error(status, f"no, {KEY}")) as judge,
        pytest.raises(RunFailed, match=words) as said,
    ):
        ask(judge, [request_of(f"question {number}") for number in range(50)])

    assert len(judge.calls) == 1
    assert KEY not in str(said.value)


def test_the_key_is_sent_and_kept_nowhere(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(lambda call, number: letter() if number else error(500, f"bad key {KEY}")) as judge:
        attempts = ask(judge, [request_of()])

    assert judge.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in repr(attempts)


def test_a_missing_key_names_the_variable_to_set(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)

    with pytest.raises(BadConfig, match="OPENAI_API_KEY"):
        ChatServer(LabelerConfig(source=Source.OPENAI, model="m"))
    with pytest.raises(BadConfig, match="MY_KEY"):
        ChatServer(LabelerConfig(source=Source.OPENAI, model="m", base_url="http://127.0.0.1:1", key_variable="MY_KEY"))


def test_a_check_says_what_the_server_lacks_before_anything_is_asked():
    with serving(lambda call, number: letter()) as judge:
        ChatServer(config_for(judge)).check()
        other = LabelerConfig(source=Source.OPENAI, model="other", base_url=judge.url)
        with pytest.raises(BadConfig, match="has no model 'other'; it has judge-1"):
            ChatServer(other).check()
        gone = config_for(judge)

    with pytest.raises(RunFailed, match="no server answers at"):
        ChatServer(gone).check()
    assert judge.calls == []
