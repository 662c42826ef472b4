"""Stores in the states that a page can meet; real runs made them."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from core.formats import ReadOptions
from core.records import RunKind, RunState
from db import connect, datasets, runs
from ui import actions, files
from ui.processes import Store, is_over, open_store

THINGS = [
    "apple",
    "bread",
    "castle",
    "desert",
    "engine",
    "forest",
    "garden",
    "hammer",
    "island",
    "jungle",
    "kettle",
    "ladder",
]
ASPECTS = ("used", "made", "found", "sold", "kept", "moved", "drawn")


def write_pairs(path: Path) -> Path:
    """Pairs whose better response is about the prompt; every tenth label is wrong."""
    lines = []
    for number, (thing, aspect) in enumerate((thing, aspect) for thing in THINGS for aspect in ASPECTS):
        other = THINGS[(THINGS.index(thing) + 5) % len(THINGS)]
        right, wrong = (f"A {word} is {aspect} where people need a {word}." for word in (thing, other))
        chosen, rejected = (wrong, right) if number % 10 == 3 else (right, wrong)
        prompt = f"How is a {thing} {aspect}?"
        lines.append({"id": f"q{number}", "prompt": prompt, "response_chosen": chosen, "response_rejected": rejected})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def finished(store: Store, run_id: int) -> runs.Run:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        run = actions.wait_for(store, run_id)
        if is_over(run.state):
            assert run.state is RunState.FINISHED, run.error
            return run
        time.sleep(0.1)
    pytest.fail(f"run {run_id} did not end")


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A store with `things`, a trained probe and its ranked labels."""
    folder = tmp_path_factory.mktemp("made")
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    for _ in files.import_file(store, write_pairs(folder / "things.jsonl"), dataset="things", options=ReadOptions()):
        pass
    for _ in files.index_words(store):
        pass
    finished(store, actions.start_training(store, dataset="things", labeler=None, settings={"device": "cpu"}))
    finished(store, actions.start_crossfit(store, dataset="things", labeler=None))
    store.engine.dispose()
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Store:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    monkeypatch.setenv("TIEBREAK_STORE", url)
    return open_store(url)


@pytest.fixture
def trained(made, tmp_path, monkeypatch) -> Store:
    # Not a copy of the file: what was written last may still stand in the write-ahead log.
    with closing(sqlite3.connect(made / "store.db")) as source, closing(sqlite3.connect(tmp_path / "store.db")) as copy:
        source.backup(copy)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("TIEBREAK_STORE", url)
    return open_store(url)


@pytest.fixture
def going(trained) -> Store:
    """A run is going: its worker is this very process, which lives."""
    run_id = add_run(trained)
    claim_for_this_process(trained, run_id)
    with connect.write(trained.engine) as conn:
        runs.heartbeat(conn, run_id, progress=0.25, text="training: step 5 of 20", seconds_left=90.0)
    return trained


@pytest.fixture
def failed(trained) -> Store:
    """The newest run failed, with words that Markdown would change."""
    run_id = add_run(trained)
    words = "the loss became nan; use a *smaller* learning_rate :material/home: ![x](http://example.org/x.png)"
    with connect.write(trained.engine) as conn:
        runs.finish(conn, run_id, state=RunState.FAILED, metrics={}, checkpoint=None, error=words)
    return trained


def claim_for_this_process(store: Store, run_id: int) -> None:
    started = psutil.Process().create_time()
    with connect.write(store.engine) as conn:
        runs.claim(conn, run_id, pid=os.getpid(), pid_started=started, host=os.uname().nodename)


def add_run(store: Store) -> int:
    with connect.write(store.engine) as conn:
        dataset = datasets.get(conn, "things")
        return runs.add(
            conn,
            kind=RunKind.TRAIN,
            config={"method": "lora"},
            device="cpu",
            dataset_id=dataset.id,
            labeler="imported",
            name="another",
        )
