"""A run is a row plus a process. Starts the process, notices its death, starts the next in the queue."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import Engine

from core.records import RunState
from db import connect, imports, runs

HEARTBEAT_SECONDS = 2.0
# A worker on another machine cannot be looked up by its pid; its silence is all there is to go by.
SILENCE_SECONDS = 60.0
# Kept so that a worker that ended is reaped; the run's own row is what watches it.
_started: list[subprocess.Popen[bytes]] = []
# Threads that wait by spinning starve each other where a core is shared: ten times slower was measured.
_WORKER_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
_BAR = re.compile(r"\d+%\|")
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Store:
    """An open store: its URL, its engine, and the folder beside it for checkpoints, logs and cached features."""

    url: str
    engine: Engine
    folder: Path

    def run_folder(self, run_id: int) -> Path:
        return self.folder / "runs" / str(run_id)

    def log_path(self, run_id: int) -> Path:
        return self.run_folder(run_id) / "log.txt"

    @property
    def feature_folder(self) -> Path:
        return self.folder / "features"


def open_store(option: str | None = None, *, busy_milliseconds: int | None = None) -> Store:
    """Open (and where needed make or migrate) the store that `--store` or TIEBREAK_STORE names."""
    url = connect.resolve_url(option)
    engine = connect.open_store(url, busy_milliseconds=busy_milliseconds)
    imports.remove_unpublished(engine, older_than=imports.STALE_IMPORT_SECONDS)
    return Store(url, engine, connect.run_folder(url))


def tend(store: Store) -> None:
    """Report dead workers as failed, then start the first queued run of every free device."""
    _started[:] = [process for process in _started if process.poll() is None]
    with connect.read(store.engine) as conn:
        going, queued = runs.running(conn), runs.queued(conn)
    launched = [run for run in queued if run.pid is not None]
    dead = [run for run in (*going, *launched) if not _is_alive(run)]
    for run in dead:
        with connect.write(store.engine) as conn:
            runs.fail_dead(conn, run, _obituary(store, run))
    gone = {run.id for run in dead}
    for run_id in free_to_start(
        [run for run in going if run.id not in gone], [run for run in queued if run.id not in gone]
    ):
        start_process(store, run_id)


def free_to_start(going: Sequence[runs.Run], queued: Sequence[runs.Run]) -> list[int]:
    """The queued runs without a process that find all their devices free.

    A run that waits keeps its devices from those behind it: one on several devices would else be overtaken for ever.
    """
    taken = {device for run in (*going, *(one for one in queued if one.pid is not None)) for device in run.devices}
    found = []
    for run in queued:
        if run.pid is None and taken.isdisjoint(run.devices):
            found.append(run.id)
        taken.update(run.devices)
    return found


def _obituary(store: Store, run: runs.Run) -> str:
    way_on = f"`tiebreak resume {run.id}` goes on from what it kept. " if run.kind in runs.RESUMABLE else ""
    return f"the worker died without a word of its own. {way_on}The end of its log: {last_words(store, run.id)}"


def start_process(store: Store, run_id: int) -> None:
    """Start the worker detached: closing the tab, the app or the terminal does not touch it."""
    log = store.log_path(run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = os.environ.get("PYTHONPATH")
    path = str(_REPOSITORY) if not inherited else f"{_REPOSITORY}{os.pathsep}{inherited}"
    # Looking and starting are one transaction: of two processes that tend the same queue, one starts the worker.
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        if run.state is not RunState.QUEUED or run.pid is not None:
            return
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "ui.worker", store.url, str(run_id)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_WORKER_ENVIRONMENT | os.environ | {"PYTHONPATH": path},
            )
        _started.append(process)
        started = psutil.Process(process.pid).create_time()
        runs.launch(conn, run_id, pid=process.pid, pid_started=started, host=socket.gethostname())


def log_of(store: Store, run_id: int, *, most: int = 20_000) -> str:
    """The end of a run's log, as a terminal would show it; empty if it has none."""
    try:
        written = store.log_path(run_id).read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return _OVERWRITTEN.sub("", written)[-most:]


def last_words(store: Store, run_id: int, *, most: int = 3) -> str:
    """The end of a run's log, on one line, without progress bars."""
    lines = (line.strip() for line in log_of(store, run_id).splitlines())
    kept = [line for line in lines if line and not _BAR.search(line)]
    return " / ".join(kept[-most:]) or "(no log)"


def _is_alive(run: runs.Run) -> bool:
    if run.host != socket.gethostname():
        return time.time() - (run.heartbeat or run.created) < SILENCE_SECONDS
    if run.pid is None:
        return False
    try:
        process = psutil.Process(run.pid)
        # A reused pid belongs to a process that started at another time.
        same = run.pid_started is None or abs(process.create_time() - run.pid_started) < 2.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_over(state: RunState) -> bool:
    return state in {RunState.FINISHED, RunState.STOPPED, RunState.FAILED}
