import socket

import pytest

from core.records import RunKind, RunState
from db import connect, runs
from ui.processes import last_words, log_of, open_store, tend

NO_PROCESS = 2**22 + 7  # above the highest pid that Linux gives
LOG = "\n".join(
    [
        "freezing the training set",
        "loading minilm",
        "\rLoading weights:   0%|          | 0/103 [00:00<?, ?it/s]\rLoading weights: 100%|████| 103/103 [00:00<00:00]",
        "tokens",
        "training",
        "\rBatches: 50%|█████     | 1/2 [00:00<00:00,  9.1it/s]",
    ]
)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store.db"))


def killed(store, kind):
    """A run whose process was killed after it had written its log; as the store has it, and as it is then tended."""
    with connect.write(store.engine) as conn:
        run_id = runs.add(conn, kind=kind, config={}, device="cpu")
        runs.claim(conn, run_id, pid=NO_PROCESS, pid_started=1.0, host=socket.gethostname())
    store.log_path(run_id).parent.mkdir(parents=True)
    store.log_path(run_id).write_text(LOG)
    tend(store)
    with connect.read(store.engine) as conn:
        return runs.get(conn, run_id)


def test_last_words_are_what_a_run_said_and_not_its_progress_bars(store):
    run = killed(store, RunKind.TRAIN)

    assert last_words(store, run.id) == "loading minilm / tokens / training"
    assert "The end of its log: loading minilm / tokens / training" in run.error


def test_a_log_is_read_as_a_terminal_shows_it(store):
    run = killed(store, RunKind.TRAIN)

    assert "Loading weights: 100%" in log_of(store, run.id)
    assert "Loading weights:   0%" not in log_of(store, run.id)


@pytest.mark.parametrize("kind", [RunKind.TRAIN, RunKind.CROSSFIT])
def test_a_killed_run_that_can_go_on_says_how(store, kind):
    run = killed(store, kind)

    assert run.state is RunState.FAILED
    assert f"`tiebreak resume {run.id}`" in run.error


def test_a_killed_run_that_cannot_go_on_does_not_say_so(store):
    assert "resume" not in killed(store, RunKind.EXPORT).error
