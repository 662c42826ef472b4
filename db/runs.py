"""Runs: a row each, with their steps. Progress is rows; the store is the channel between worker and pages."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection, case, delete, func, insert, select, update

from core.errors import NotFound
from core.records import RunKind, RunState, Step
from db.schema import runs, steps

_LARGEST_NUMBER = 2**31 - 1  # of an Integer column on every server
_GOING = (RunState.RUNNING.value, RunState.STOPPING.value)
_OVER = {"progress_text": None, "seconds_left": None}  # what is only true of a run that is going
RESUMABLE = frozenset({RunKind.LABEL, RunKind.TRAIN, RunKind.CROSSFIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as the store has it. Times in seconds since the epoch."""

    id: int
    kind: RunKind
    state: RunState
    name: str | None
    dataset_id: int | None
    labeler: str | None
    snapshot_id: int | None
    parent_id: int | None
    config: Mapping[str, object]
    device: str  # of each of its processes, with commas between
    created: float
    started: float | None
    ended: float | None
    heartbeat: float | None
    pid: int | None
    pid_started: float | None
    host: str | None
    stop_asked: bool
    progress: float | None
    progress_text: str | None
    seconds_left: float | None
    metrics: Mapping[str, Any]
    checkpoint: str | None
    error: str | None
    unreproducible: bool

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(self.device.split(","))


def add(  # noqa: PLR0913 - a run has this many facts
    conn: Connection,
    *,
    kind: RunKind,
    config: Mapping[str, object],
    device: str,
    dataset_id: int | None = None,
    labeler: str | None = None,
    parent_id: int | None = None,
    name: str | None = None,
) -> int:
    """Queue a run at the end; its number."""
    last = conn.execute(select(func.max(runs.c.place))).scalar()
    row = {
        "kind": kind.value,
        "state": RunState.QUEUED.value,
        "name": name,
        "dataset_id": dataset_id,
        "labeler": labeler,
        "parent_id": parent_id,
        "config": json.dumps(config),
        "device": device,
        "place": (last or 0.0) + 1.0,
        "created": time.time(),
    }
    return int(conn.execute(insert(runs).values(**row).returning(runs.c.id)).scalar_one())


def get(conn: Connection, run_id: int) -> Run:
    row = None
    if 0 < run_id <= _LARGEST_NUMBER:
        row = conn.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        newest = conn.execute(select(func.max(runs.c.id))).scalar()
        there = "there are none yet" if newest is None else f"the newest is {newest}"
        raise NotFound(f"no run {run_id} in the store; {there}")
    return _run(row)


def all(  # noqa: A001 - reads as runs.all
    conn: Connection, *, limit: int | None = None, kind: RunKind | None = None, dataset_id: int | None = None
) -> list[Run]:
    """The newest first; every one without a limit, a kind or a dataset."""
    wanted = select(runs).order_by(runs.c.id.desc()).limit(limit)
    if kind is not None:
        wanted = wanted.where(runs.c.kind == kind.value)
    if dataset_id is not None:
        wanted = wanted.where(runs.c.dataset_id == dataset_id)
    return [_run(row) for row in conn.execute(wanted)]


def running(conn: Connection) -> list[Run]:
    return [_run(row) for row in conn.execute(select(runs).where(runs.c.state.in_(_GOING)))]


def queued(conn: Connection) -> list[Run]:
    """In the order in which they will start."""
    waiting = select(runs).where(runs.c.state == RunState.QUEUED.value).order_by(runs.c.place, runs.c.id)
    return [_run(row) for row in conn.execute(waiting)]


def newest(
    conn: Connection,
    *,
    kind: RunKind,
    dataset_id: int | None = None,
    labeler: str | None = None,
    before: int | None = None,
) -> Run | None:
    """The newest run of a kind that ended with a result; the newest `before` a run's number, where one is given."""
    done = (RunState.FINISHED.value, RunState.STOPPED.value) if kind is RunKind.TRAIN else (RunState.FINISHED.value,)
    statement = select(runs).where(runs.c.kind == kind.value, runs.c.state.in_(done))
    if kind is RunKind.TRAIN:
        statement = statement.where(runs.c.checkpoint.is_not(None))
    if dataset_id is not None:
        statement = statement.where(runs.c.dataset_id == dataset_id)
    if labeler is not None:
        statement = statement.where(runs.c.labeler == labeler)
    if before is not None:
        statement = statement.where(runs.c.id < before)
    row = conn.execute(statement.order_by(runs.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _run(row)


def of_dataset(conn: Connection, dataset_id: int, *, kind: RunKind, labeler: str | None) -> list[Run]:
    """Runs of a kind on a dataset and a labeler (or on none), whatever their state, the newest first."""
    mine = (runs.c.dataset_id == dataset_id) & (runs.c.kind == kind.value)
    whose = runs.c.labeler.is_(None) if labeler is None else runs.c.labeler == labeler
    return [_run(row) for row in conn.execute(select(runs).where(mine, whose).order_by(runs.c.id.desc()))]


def launch(conn: Connection, run_id: int, *, pid: int, pid_started: float, host: str) -> None:
    """Note the process that was started for a queued run, so that no second one is."""
    conn.execute(update(runs).where(runs.c.id == run_id).values(pid=pid, pid_started=pid_started, host=host))


def let_wait(conn: Connection, run_id: int) -> None:
    """A queued run's process found its device taken and ended; another one starts it later."""
    waiting = update(runs).where(runs.c.id == run_id, runs.c.state == RunState.QUEUED.value)
    conn.execute(waiting.values(pid=None, pid_started=None, host=None))


def claim(conn: Connection, run_id: int, *, pid: int, pid_started: float, host: str) -> bool:
    """Take a queued run; False if another process was quicker or it was withdrawn."""
    now = time.time()
    taken = conn.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state == RunState.QUEUED.value)
        .values(state=RunState.RUNNING.value, pid=pid, pid_started=pid_started, host=host, started=now, heartbeat=now)
    )
    return taken.rowcount == 1


def heartbeat(conn: Connection, run_id: int, *, progress: float | None, text: str, seconds_left: float | None) -> bool:
    """Say that the worker lives and how far it is; whether a stop was asked."""
    conn.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(heartbeat=time.time(), progress=progress, progress_text=text, seconds_left=seconds_left)
    )
    return bool(conn.execute(select(runs.c.stop_asked).where(runs.c.id == run_id)).scalar())


def set_snapshot(conn: Connection, run_id: int, snapshot_id: int) -> None:
    conn.execute(update(runs).where(runs.c.id == run_id).values(snapshot_id=snapshot_id))


def ask_stop(conn: Connection, run_id: int) -> None:
    """A running run stops at its next step; a queued one is withdrawn at once."""
    now = time.time()
    is_queued = runs.c.state == RunState.QUEUED.value
    conn.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.state.in_((RunState.QUEUED.value, *_GOING)))
        .values(
            stop_asked=True,
            state=case((is_queued, RunState.STOPPED.value), else_=RunState.STOPPING.value),
            ended=case((is_queued, now), else_=None),
        )
    )


def finish(
    conn: Connection,
    run_id: int,
    *,
    state: RunState,
    metrics: Mapping[str, object],
    checkpoint: str | None,
    error: str | None,
) -> None:
    values: dict[str, object] = {
        "state": state.value,
        "ended": time.time(),
        "metrics": json.dumps(metrics, allow_nan=False),
        "checkpoint": checkpoint,
        "error": error,
        **_OVER,
    }
    if state is RunState.FINISHED:
        values["progress"] = 1.0
    conn.execute(update(runs).where(runs.c.id == run_id).values(**values))


def put_back(conn: Connection, run_id: int) -> None:
    """Queue a run that ended without being finished again, at the end; what it froze and kept stays."""
    fresh = dict.fromkeys(("pid", "pid_started", "host", "started", "ended", "heartbeat", "error", "seconds_left"))
    last = select(func.coalesce(func.max(runs.c.place), 0.0) + 1).scalar_subquery()
    values = {**fresh, "state": RunState.QUEUED.value, "stop_asked": False, "progress": None, "progress_text": None}
    conn.execute(update(runs).where(runs.c.id == run_id).values(place=last, **values))


def fail_dead(conn: Connection, seen: Run, words: str) -> None:
    """Report a run whose worker is gone, as it was `seen`; one that ended or was resumed since is left alone."""
    launched = (runs.c.state == RunState.QUEUED.value) & runs.c.pid.is_not(None)
    same = runs.c.pid.is_not_distinct_from(seen.pid) & runs.c.pid_started.is_not_distinct_from(seen.pid_started)
    dead = update(runs).where(runs.c.id == seen.id, same, runs.c.state.in_(_GOING) | launched)
    conn.execute(dead.values(**_OVER, state=RunState.FAILED.value, ended=time.time(), error=words))


def move(conn: Connection, run_id: int, *, up: bool) -> None:
    """Swap a queued run with its neighbour in the queue; at the end of the queue nothing changes."""
    order = [(run.id, place) for run, place in _queued_places(conn)]
    places = [place for _, place in order]
    ids = [queued_id for queued_id, _ in order]
    if run_id not in ids:
        raise NotFound(f"run {run_id} is not in the queue")
    here = ids.index(run_id)
    there = here - 1 if up else here + 1
    if 0 <= there < len(ids):
        conn.execute(update(runs).where(runs.c.id == run_id).values(place=places[there]))
        conn.execute(update(runs).where(runs.c.id == ids[there]).values(place=places[here]))


def add_steps(conn: Connection, run_id: int, new: Sequence[Step]) -> None:
    if not new:
        return
    now = time.time()
    conn.execute(delete(steps).where(steps.c.run_id == run_id, steps.c.step.in_([step.step for step in new])))
    conn.execute(insert(steps), [{**asdict(step), "run_id": run_id, "created": now} for step in new])


def steps_of(conn: Connection, run_id: int) -> pd.DataFrame:
    """One row a step, in order; columns as in `core.records.Step`, absent values NaN."""
    statement = select(steps).where(steps.c.run_id == run_id).order_by(steps.c.step)
    found = conn.execute(statement)
    return pd.DataFrame(found.all(), columns=list(found.keys())).drop(columns=["run_id"])


def _queued_places(conn: Connection) -> list[tuple[Run, float]]:
    waiting = select(runs).where(runs.c.state == RunState.QUEUED.value).order_by(runs.c.place, runs.c.id)
    return [(_run(row), float(row.place)) for row in conn.execute(waiting)]


def _run(row: object) -> Run:
    values = dict(row._mapping)  # type: ignore[attr-defined]
    values.pop("place")
    values["kind"], values["state"] = RunKind(values["kind"]), RunState(values["state"])
    values["config"] = json.loads(values["config"])
    values["metrics"] = json.loads(values["metrics"]) if values["metrics"] else {}
    return Run(**values)
