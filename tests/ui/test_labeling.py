"""Letting a labeler label: wishes that are refused, what a run would cost, and runs against a real server."""

import json
import os
import random
import signal
from pathlib import Path

import pytest

from core.errors import BadConfig
from core.formats import ReadOptions
from core.judging import Mode
from core.records import RunKind
from db import connect, datasets, labelers, labels, requests, runs
from tests.core.labelers.judge_server import MODEL, Reply, error, letter, serving
from ui import actions, files, labeling
from ui.label_run import Labeling
from ui.processes import Store, open_store

NUM_PAIRS = 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = [{"prompt": f"Question {i}?", "response_a": f"one {i}", "response_b": f"two {i}"} for i in range(NUM_PAIRS)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    for _ in files.import_file(opened, file, dataset="d", options=ReadOptions()):
        pass
    return opened


def wish(labeler="simulated", *, settings=(), **more):
    return labeling.asked(dataset="d", labeler=labeler, settings=dict(settings), **more)


def begin(store, asked):
    """A run as its worker gets it, in this process: another run has its queue, so that no worker is started."""
    with connect.write(store.engine) as conn:
        other = runs.add(conn, kind=RunKind.LABEL, config={}, device=f"labeler {asked.config.name}")
        assert runs.claim(conn, other, pid=1, pid_started=0.0, host="elsewhere")
    run_id = labeling.start_labels(store, asked)
    with connect.write(store.engine) as conn:
        assert runs.claim(conn, run_id, pid=1, pid_started=0.0, host="elsewhere")
        run = runs.get(conn, run_id)
    return Labeling(store=store, run=run)


def label(store, asked, *, stop_after=None):
    begun = begin(store, asked)
    for done, _ in enumerate(begun.steps(), start=1):
        if done == stop_after:
            begun.stop("a stop was asked")
    metrics = begun.metrics()
    with connect.write(store.engine) as conn:
        runs.fail_dead(conn, runs.get(conn, begun.run.id), "over")  # it no longer counts as running
    return metrics


def frame(store, labeler):
    with connect.read(store.engine) as conn:
        return labels.frame(conn, labeler=labeler, dataset_id=datasets.get(conn, "d").id)


def test_every_pair_gets_a_label_from_both_orders(store):
    metrics = label(store, wish("rule:first"))

    found = frame(store, "rule:first")
    assert metrics["answers"] == {"ok": 2 * NUM_PAIRS}
    assert len(found) == NUM_PAIRS
    assert set(found["consistency"]) == {"order-flipped"}  # whatever is shown first is better
    assert set(found["p_a"]) == {0.5}


def test_a_stopped_run_goes_on_without_asking_twice(store):
    first = label(store, wish("rule:longest"), stop_after=11)
    second = label(store, wish("rule:longest"))

    assert (first["num_attempts"], first["why_stopped"]) == (11, "a stop was asked")
    assert second["num_attempts"] == 2 * NUM_PAIRS - 11
    assert second["num_answered_before"] == 11
    assert len(frame(store, "rule:longest")) == NUM_PAIRS


def test_a_failure_makes_no_label_and_is_counted(store):
    metrics = label(store, wish(settings={"failure_rate": 0.5}))

    found = frame(store, "simulated")
    num_votes = int(found["num_votes"].sum())
    assert metrics["answers"] == {"ok": num_votes, "unparsed": 2 * NUM_PAIRS - num_votes}
    assert len(found) < NUM_PAIRS


def test_what_had_no_verdict_is_asked_again_only_when_that_is_wanted(store):
    settings = {"failure_rate": 0.5}
    first = label(store, wish(settings=settings))
    again = label(store, wish(settings=settings))
    retried = label(store, wish(settings=settings, retry=True))

    assert again["num_attempts"] == 0
    assert again["num_failed_before"] == first["answers"]["unparsed"]
    assert retried["num_attempts"] == first["answers"]["unparsed"]


def test_only_the_first_pairs_are_asked_about_under_a_limit(store):
    label(store, wish("rule:longest", limit=4))

    assert len(frame(store, "rule:longest")) == 4


def test_a_budget_is_never_exceeded(store):
    labeling.set_price(store, MODEL, tokens_in=10_000 / 2, tokens_out=0)  # 200 tokens in: one dollar a call
    with serving(lambda call, number: letter()) as judge:
        asked = wish(f"openai:{MODEL}", settings={"base_url": judge.url}, max_cost=9.5, in_flight=4)
        metrics = label(store, asked)

    assert len(judge.calls) == metrics["num_attempts"]
    assert metrics["cost"] <= 9.5
    assert metrics["num_attempts"] >= 5
    assert "budget" in metrics["why_stopped"]


def test_a_budget_holds_before_the_first_price_is_known(store):
    labeling.set_price(store, MODEL, tokens_in=5000, tokens_out=0)  # a dollar a call, several at once
    with serving(lambda call, number: Reply(**{**letter().__dict__, "seconds": 0.05})) as judge:
        asked = wish(f"openai:{MODEL}", settings={"base_url": judge.url}, max_cost=3.0, in_flight=16)
        metrics = label(store, asked)

    assert metrics["cost"] <= 3.0
    assert len(judge.calls) == metrics["num_attempts"] >= 1


def test_totals_are_exact_with_retries_among_them(store):
    labeling.set_price(store, MODEL, tokens_in=1, tokens_out=2)
    with serving(lambda call, number: error(429, "slow", Retry_After="0") if number % 3 == 0 else letter()) as judge:
        metrics = label(store, wish(f"openai:{MODEL}", settings={"base_url": judge.url}, in_flight=3))

    answered = 2 * NUM_PAIRS
    assert metrics["answers"] == {"ok": answered}
    assert metrics["num_attempts"] == len(judge.calls) > answered
    assert (metrics["tokens_in"], metrics["tokens_out"]) == (200 * answered, 5 * answered)
    assert metrics["cost"] == pytest.approx(answered * (200 * 1 + 5 * 2) / 1e6)
    assert metrics["num_unpriced"] == 0


def test_the_judge_reads_the_constitution_that_the_run_kept(store, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("principles: [{id: odd, text: Prefer odd numbers.}]")
    with serving(lambda call, number: letter()) as judge:
        asked = wish(f"openai:{MODEL}", settings={"base_url": judge.url}, constitution=file, limit=1)
        file.unlink()
        label(store, asked)

    assert all("1. [odd] Prefer odd numbers." in call["messages"][0]["content"] for call in judge.calls)
    with connect.read(store.engine) as conn:
        (summary,) = labelers.summaries(conn, datasets.get(conn, "d").id)
    assert (summary.name, summary.config["mode"]) == (f"openai:{MODEL}", Mode.LOG_PROB)


def test_a_forecast_shows_a_request_and_counts_what_is_left(store):
    settings = {"base_url": "http://127.0.0.1:1/v1"}
    before = labeling.forecast(store, wish(f"openai:{MODEL}", settings=settings))
    labeling.set_price(store, MODEL, tokens_in=1000, tokens_out=0)
    priced = labeling.forecast(store, wish(f"openai:{MODEL}", settings=settings))

    assert (before.num_requests, before.num_answered, before.cost_at_least) == (2 * NUM_PAIRS, 0, None)
    assert "Question 0?" in before.sample[-1].content
    assert priced.cost_at_least == pytest.approx(before.tokens_in / 1000)
    with connect.read(store.engine) as conn:
        assert runs.all(conn) == []


def test_a_forecast_counts_what_was_answered_before(store):
    label(store, wish("rule:longest", limit=3))

    assert labeling.forecast(store, wish("rule:longest")).num_answered == 6


@pytest.mark.parametrize(
    ("labeler", "more", "words"),
    [
        ("judge", {}, "source:model"),
        ("openai", {}, "needs a model"),
        ("rule:best", {}, "rule must be one of"),
        ("simulated", {"settings": {"accuracy": 0.2}}, "accuracy"),
        ("simulated", {"settings": {"colour": "red"}}, "unknown config key 'colour'"),
        ("simulated", {"max_cost": 0.0}, "--max-cost must be above 0"),
        ("simulated", {"limit": 0}, "--limit must be at least 1"),
        ("simulated", {"in_flight": 0}, "in_flight must be from 1"),
        ("rule:longest", {"constitution": Path("x.yaml")}, "follows no constitution"),
        ("openai:m", {"settings": {"base_url": "localhost"}}, "base_url must begin with http"),
        ("openai:m", {}, "OPENAI_API_KEY"),
        (
            "openai:m",
            {"settings": {"base_url": "http://127.0.0.1:1"}, "max_cost": 1.0},
            "price of m, which is not known",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is(store, monkeypatch, labeler, more, words):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(BadConfig, match=words):
        labeling.start_labels(store, wish(labeler, **more))

    with connect.read(store.engine) as conn:
        assert runs.all(conn) == []


def test_answers_of_a_killed_run_become_labels_in_the_next(store):
    begun = begin(store, wish("rule:longest"))
    going = begun.steps()
    for _ in range(7):
        next(going)
    # Its process is gone without a word: nothing after the seventh answer happens.
    with connect.write(store.engine) as conn:
        runs.fail_dead(conn, runs.get(conn, begun.run.id), "killed")
        kept = requests.spent(conn, begun.run.id)

    metrics = label(store, wish("rule:longest"))

    assert kept.num_attempts == 7
    assert metrics["num_attempts"] == 2 * NUM_PAIRS - 7
    assert len(frame(store, "rule:longest")) == NUM_PAIRS
    going.close()


@pytest.mark.slow
def test_a_worker_labels_from_the_command_line(store):
    run_id = labeling.start_labels(store, wish("rule:shortest"))
    run = actions.wait_for(store, run_id)
    while run.state in {"queued", "running"}:
        run = actions.wait_for(store, run_id)

    assert (run.kind, run.state, run.error) == (RunKind.LABEL, "finished", None)
    assert len(frame(store, "rule:shortest")) == NUM_PAIRS


@pytest.mark.slow
def test_killed_five_times_nothing_is_lost_and_no_answer_is_asked_for_twice(store):
    in_flight, kills = 4, 5
    moments = random.Random(7)
    with serving(lambda call, number: Reply(**{**letter().__dict__, "seconds": 0.02})) as judge:
        asked = wish(f"openai:{MODEL}", settings={"base_url": judge.url, "repeats": "3"}, in_flight=in_flight)
        total = 2 * 3 * NUM_PAIRS
        for kill in range(kills):
            run = actions.wait_for(store, labeling.start_labels(store, asked))
            enough = total * (kill + moments.random()) / kills
            while votes_in(store) < enough and run.state not in {"finished", "failed"}:
                run = actions.wait_for(store, run.id)
            os.kill(run.pid, signal.SIGKILL)
            while run.state != "failed":
                run = actions.wait_for(store, run.id)
        last = actions.wait_for(store, labeling.start_labels(store, asked))
        while last.state not in {"finished", "failed"}:
            last = actions.wait_for(store, last.id)

    assert (last.state, last.error) == ("finished", None)
    assert votes_in(store) == total  # each request has one vote: none lost, none double
    assert total <= len(judge.calls) <= total + kills * in_flight  # only what was in flight was asked again
    assert len(frame(store, f"openai:{MODEL}")) == NUM_PAIRS


def votes_in(store):
    with connect.read(store.engine) as conn:
        return conn.exec_driver_sql("SELECT count(*) FROM votes").scalar_one()
