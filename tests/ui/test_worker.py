"""Runs as rows plus processes: real workers on a real store, with the embedded backbone."""

import json
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from core.errors import RunFailed
from core.formats import ReadOptions
from core.records import RunKind, RunState
from db import connect, rewards, runs
from db.schema import datasets
from tests.core.engine import tiny
from ui import actions, files, review, show, worker
from ui.processes import Store, is_over, log_of, open_store, tend

pytestmark = pytest.mark.slow

GOOD, BAD = "Here is a clear and careful answer about {}.", "I do not care about {} and will not say."


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rows = [
        {"prompt": f"Tell me about thing {i}.", "chosen": GOOD.format(i), "rejected": BAD.format(i)} for i in range(80)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    for _ in files.import_file(opened, file, dataset="things", options=ReadOptions()):
        pass
    return opened


def wait_until(store: Store, run_id: int, *, running: bool = False, seconds: float = 120) -> runs.Run:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run = actions.wait_for(store, run_id)
        if is_over(run.state) or (running and run.state is RunState.RUNNING and (run.progress or 0) > 0):
            return run
        time.sleep(0.1)
    pytest.fail(f"run {run_id} is still {run.state} ({run.progress_text}) after {seconds} s")


def train(store: Store, **settings: object) -> int:
    return actions.start_training(store, dataset="things", labeler=None, settings=settings)


def test_a_probe_run_publishes_a_checkpoint_that_tells_good_from_bad(store):
    run = wait_until(store, train(store, method="probe"))

    assert run.state is RunState.FINISHED, run.error
    assert run.metrics["accuracy"]["value"] > 0.9
    assert (Path(run.checkpoint) / "canaries.jsonl").exists()
    with connect.read(store.engine) as conn:
        assert len(runs.steps_of(conn, run.id)) > 1
        assert set(rewards.frame(conn, run.id, dataset_id=run.dataset_id)["part"]) <= {"valid", "test"}


def test_a_stopped_run_leaves_a_usable_checkpoint(store):
    run_id = train(store, method="lora", epochs=200, patience=0, batch_pairs=4)
    wait_until(store, run_id, running=True)

    actions.stop_run(store, run_id)
    run = wait_until(store, run_id)

    assert run.state is RunState.STOPPED, run.error
    assert (Path(run.checkpoint) / "canaries.jsonl").exists()


def test_a_run_that_overfits_says_where_it_stopped_and_what_it_kept(store, tmp_path):
    backbone = tiny.save_decoder(tmp_path / "decoder")
    # At this rate the weights are thrown about: the NLL is lowest early on.
    settings = {"method": "full", "backbone": backbone, "epochs": 20, "batch_pairs": 16, "patience": 1, "device": "cpu"}

    run = wait_until(store, train(store, learning_rate=0.3, **settings))

    assert run.state is RunState.FINISHED, run.error
    with connect.read(store.engine) as conn:
        steps = runs.steps_of(conn, run.id)
    evaluated = steps.dropna(subset=["valid_nll"])
    assert run.metrics["stopped_early_at"] == steps["step"].iloc[-1] < steps["num_steps"].iloc[-1]
    assert run.metrics["best_step"] == evaluated["step"][evaluated["valid_nll"].idxmin()]
    assert show.early_words(run.metrics) in log_of(store, run.id)


def test_a_killed_worker_is_reported_and_the_next_in_the_queue_starts(store):
    first = train(store, method="lora", epochs=200, patience=0, batch_pairs=4)
    running = wait_until(store, first, running=True)
    second = train(store, method="probe")
    third = train(store, method="probe")
    with connect.read(store.engine) as conn:
        assert runs.get(conn, second).state is RunState.QUEUED
    actions.stop_run(store, third)  # queued: withdrawn at once

    os.kill(running.pid, signal.SIGKILL)
    time.sleep(0.2)
    tend(store)

    with connect.read(store.engine) as conn:
        died = runs.get(conn, first)
        withdrawn = runs.get(conn, third)
    assert died.state is RunState.FAILED
    assert "log" in died.error
    assert withdrawn.state is RunState.STOPPED
    assert wait_until(store, second).state is RunState.FINISHED


def test_a_killed_run_is_resumed_to_the_checkpoint_of_an_uninterrupted_one(store):
    settings = {"method": "lora", "epochs": 3, "batch_pairs": 4, "device": "cpu"}
    whole = wait_until(store, train(store, **settings))
    run_id = train(store, **settings)
    kept = store.run_folder(run_id) / "training.safetensors"
    deadline = time.monotonic() + 120
    while not kept.exists() and time.monotonic() < deadline:
        running = actions.wait_for(store, run_id)
        time.sleep(0.02)

    os.kill(running.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert actions.wait_for(store, run_id).state is RunState.FAILED
    actions.resume_run(store, run_id)
    resumed = wait_until(store, run_id)

    assert resumed.state is RunState.FINISHED, resumed.error
    assert canaries(resumed) == canaries(whole)
    assert resumed.snapshot_id == whole.snapshot_id
    assert not kept.exists()
    with pytest.raises(RunFailed, match="only a label, training or crossfit run that failed or was stopped"):
        actions.resume_run(store, run_id)


def test_two_processes_train_one_run_and_die_with_its_worker(store, tmp_path):
    backbone = tiny.save_decoder(tmp_path / "decoder")
    settings = {"method": "full", "backbone": backbone, "epochs": 6, "batch_pairs": 4, "device": "cpu", "processes": 2}
    whole = wait_until(store, train(store, **settings))
    run_id = train(store, **settings)
    kept = store.run_folder(run_id) / "training.safetensors"
    deadline = time.monotonic() + 120
    while not kept.exists() and time.monotonic() < deadline:
        running = actions.wait_for(store, run_id)
        time.sleep(0.02)
    below = psutil.Process(running.pid).children(recursive=True)

    os.kill(running.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert actions.wait_for(store, run_id).state is RunState.FAILED
    actions.resume_run(store, run_id)
    resumed = wait_until(store, run_id)

    assert len(below) >= 3  # torchrun and its two
    assert not alive
    assert whole.state is RunState.FINISHED, whole.error
    assert whole.device == "cpu,cpu"
    assert whole.metrics["processes"] == 2
    assert resumed.state is RunState.FINISHED, resumed.error
    assert canaries(resumed) == canaries(whole)
    assert "computing each prompt once for its responses, in 2 processes" in log_of(store, run_id)


def canaries(run: runs.Run) -> list[float]:
    lines = (Path(run.checkpoint) / "canaries.jsonl").read_text().splitlines()
    return [json.loads(line)["reward"] for line in lines]


def test_a_crossfit_gives_every_pair_a_margin_of_models_that_did_not_train_on_it(store):
    run = wait_until(store, actions.start_crossfit(store, dataset="things", labeler=None))

    ranked = review.triage(store, dataset="things", labeler=None)

    assert run.state is RunState.FINISHED, run.error
    assert ranked.run.id == run.id
    assert ranked.frame["margin"].notna().all()
    assert ranked.frame["doubt"].is_monotonic_decreasing


def test_a_run_that_cannot_go_on_says_why_in_one_sentence(store):
    run = wait_until(store, train(store, method="lora", backbone="no-such/model"))

    assert run.state is RunState.FAILED
    assert "no-such/model" in run.error
    assert "\n" not in run.error


def test_a_store_that_is_busy_for_longer_than_a_page_waits_ends_no_run(store, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_MILLISECONDS", 1)
    with connect.write(store.engine) as conn:
        run_id = runs.add(conn, kind=RunKind.EXPORT, config={"directory": "nowhere"}, device="cpu")
    other = sqlite3.connect(connect.store_path(store.url), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    release.start()

    worker.main(store.url, run_id)

    release.join()
    other.close()
    with connect.read(store.engine) as conn:
        ended = runs.get(conn, run_id)
    assert (ended.state, ended.error) == (RunState.FAILED, f"run {run_id} names no run whose checkpoint to use")


def test_an_error_of_the_database_is_said_without_the_statement_and_its_texts(store):
    with pytest.raises(IntegrityError) as raised, connect.write(store.engine) as conn:
        conn.execute(insert(datasets).values(name="things", created=0.0))

    said = worker.sentence_of(raised.value)

    assert said.startswith("unexpected IntegrityError: UNIQUE constraint failed")
    assert "INSERT" not in said
    assert "[" not in said
