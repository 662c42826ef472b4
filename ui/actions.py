"""What is quick about runs: start, stop, resume, repeat, compare. Long work becomes a run.

Knows neither Streamlit nor torch. What takes long lives in `ui.worker`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from core.config import EMBEDDED_BACKBONE, TrainConfig, config_from, require_extras
from core.errors import BadFile, NotFound, RunFailed
from core.formats import check_readable
from core.measure.compare import compare
from core.measure.json_ready import json_ready
from core.records import Part, RunKind, RunState
from db import connect, datasets, labelers, labels, rewards, runs, snapshots, verdicts
from db.names import check_text
from ui import machine
from ui.files import check_writable
from ui.processes import Store, tend


def start_training(
    store: Store, *, dataset: str, labeler: str | None, settings: Mapping[str, object], name: str | None = None
) -> int:
    """Queue a training run and start it if its device is free; the run's number."""
    config = config_from(settings)
    require_extras(config)
    if name is not None:
        check_text(name, "a run's name")
    return _start(store, RunKind.TRAIN, dataset=dataset, labeler=labeler, config=config, name=name)


def training_set(store: Store, *, dataset: str, labeler: str) -> snapshots.Contents:
    """How many pairs a run started now would train on."""
    with connect.read(store.engine) as conn:
        return snapshots.count(conn, dataset_id=datasets.get(conn, dataset).id, labeler=labeler)


def retrain(store: Store, *, dataset: str, labeler: str) -> int:
    """Train again as the newest run of this labeler did, on today's verdicts, then rank the labels anew.

    Returns the training run's number; the ranking waits behind it in the queue.
    """
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        last = runs.newest(conn, kind=RunKind.TRAIN, dataset_id=found.id, labeler=labeler)
        decided = len(verdicts.effective(conn, dataset_id=found.id))
    settings = {} if last is None else dict(last.config)
    name = f"after {decided:,} verdict" + ("" if decided == 1 else "s")
    run_id = start_training(store, dataset=dataset, labeler=labeler, settings=settings, name=name)
    start_crossfit(store, dataset=dataset, labeler=labeler)
    return run_id


def repeat(store: Store, run_id: int) -> int:
    """Queue a run with the same settings on the same dataset; its number. It starts as soon as its device is free."""
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        again = runs.add(
            conn,
            kind=run.kind,
            dataset_id=run.dataset_id,
            labeler=run.labeler,
            parent_id=run.parent_id,
            config=run.config,
            device=run.device,
            name=run.name,
        )
    tend(store)
    return again


def start_crossfit(store: Store, *, dataset: str, labeler: str | None, backbone: str = EMBEDDED_BACKBONE) -> int:
    """Queue a run that gives every pair a margin from models that did not train on it."""
    config = TrainConfig(backbone=backbone)
    return _start(store, RunKind.CROSSFIT, dataset=dataset, labeler=labeler, config=config, name=None)


def _start(
    store: Store, kind: RunKind, *, dataset: str, labeler: str | None, config: TrainConfig, name: str | None
) -> int:
    device = ",".join(machine.devices_named(config.device, processes=config.processes, there=machine.devices()))
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        chosen = labelers.resolve(conn, found.id, labeler)
    with connect.write(store.engine) as conn:
        run_id = runs.add(
            conn,
            kind=kind,
            dataset_id=found.id,
            labeler=chosen,
            config=settings_of(config),
            device=device,
            name=name,
        )
    tend(store)
    return run_id


def settings_of(config: TrainConfig) -> dict[str, object]:
    """A config as a run keeps it: what JSON can hold."""
    settings: dict[str, object] = json.loads(json.dumps(dataclasses.asdict(config)))
    return settings


def _check_work(kind: RunKind, settings: Mapping[str, object]) -> None:
    """What a run would say only after it started, said before it is queued."""
    if kind is RunKind.SCORE:
        check_readable(Path(str(settings["file"])))
        check_writable(Path(str(settings["out"])))
    if kind is RunKind.EXPORT:
        folder = Path(str(settings["directory"]))
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadFile(f"{folder} is there and not empty; name a folder that is new or empty")
        check_writable(folder / "file")


def start_work_on(
    store: Store, kind: RunKind, *, parent: int | None, dataset: str | None, settings: Mapping[str, object]
) -> int:
    """Queue a run that works with a checkpoint: score, evaluate, export."""
    _check_work(kind, settings)
    device = machine.device_named(str(settings.get("device", "auto")))
    with connect.read(store.engine) as conn:
        dataset_id = None if dataset is None else datasets.get(conn, dataset).id
        labeler = None if parent is None else checkpoint_of(runs.get(conn, parent)).labeler
    with connect.write(store.engine) as conn:
        run_id = runs.add(
            conn,
            kind=kind,
            dataset_id=dataset_id,
            labeler=labeler,
            parent_id=parent,
            config=dict(settings),
            device=device,
        )
    tend(store)
    return run_id


def checkpoint_of(run: runs.Run) -> runs.Run:
    """The run itself if it has a checkpoint to score with; else one sentence why not."""
    if run.checkpoint is None:
        raise RunFailed(f"run {run.id} is a {run.kind} run in state {run.state} and has no checkpoint")
    if not Path(run.checkpoint).is_dir():
        raise NotFound(f"the checkpoint folder of run {run.id} is gone: {run.checkpoint}")
    return run


def stop_run(store: Store, run_id: int) -> runs.Run:
    """Ask a run to stop; a queued one is withdrawn at once, a running one keeps its best checkpoint."""
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        if run.state in {RunState.FINISHED, RunState.STOPPED, RunState.FAILED}:
            raise RunFailed(f"run {run_id} is not running: it is {run.state}")
        runs.ask_stop(conn, run_id)
        return runs.get(conn, run_id)


def resume_run(store: Store, run_id: int) -> runs.Run:
    """Queue a label, training or crossfit run that failed or was stopped again: it goes on from what it kept."""
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        if run.kind not in runs.RESUMABLE or run.state not in {RunState.FAILED, RunState.STOPPED}:
            raise RunFailed(
                f"run {run_id} is a {run.kind} run in state {run.state}; only a label, training or crossfit run that "
                "failed or was stopped can be resumed"
            )
        runs.put_back(conn, run_id)
    tend(store)
    with connect.read(store.engine) as conn:
        return runs.get(conn, run_id)


def move_run(store: Store, run_id: int, *, up: bool) -> None:
    """Change a queued run's place in the queue by one."""
    with connect.write(store.engine) as conn:
        runs.move(conn, run_id, up=up)


def wait_for(store: Store, run_id: int) -> runs.Run:
    """The run as it is now, with dead workers reported and queued runs started."""
    tend(store)
    with connect.read(store.engine) as conn:
        return runs.get(conn, run_id)


def compare_runs(store: Store, first: int, second: int) -> dict[str, object]:
    """Two runs on the test pairs that both scored and neither trained on, against the first one's labeler.

    Not on valid: it chose the checkpoints that are compared.
    """
    with connect.read(store.engine) as conn:
        one, two = runs.get(conn, first), runs.get(conn, second)
        if one.dataset_id is None or one.labeler is None:
            raise RunFailed(f"run {first} is a {one.kind} run and has no rewards to compare")
        mine, other = (held_out(conn, run, one.dataset_id) for run in (one, two))
        mine = mine[mine["part"] == Part.TEST.value]
        scored = mine.merge(other, on="pair_id", suffixes=("_1", "_2"))
        target = labels.frame(conn, labeler=one.labeler, dataset_id=one.dataset_id)[["pair_id", "p_a"]]
    frame = scored.merge(target, on="pair_id")
    if frame.empty:
        raise RunFailed(f"runs {first} and {second} have no test pair in common that {one.labeler} labeled")
    compared = compare(
        frame["margin_1"].to_numpy(),
        frame["margin_2"].to_numpy(),
        frame["p_a"].to_numpy(),
        prompt=frame["prompt_hash_1"].to_numpy(),
    )
    return {
        "runs": [first, second],
        "part": Part.TEST.value,
        "against": one.labeler,
        **json_ready(dataclasses.asdict(compared)),
    }


def compared_with_before(store: Store, run: runs.Run) -> dict[str, object] | None:
    """A training run against the one before it, on the same test pairs; None where there is none to compare."""
    if run.kind is not RunKind.TRAIN or run.checkpoint is None:
        return None
    with connect.read(store.engine) as conn:
        previous = runs.newest(conn, kind=RunKind.TRAIN, dataset_id=run.dataset_id, labeler=run.labeler, before=run.id)
    try:
        return None if previous is None else compare_runs(store, run.id, previous.id)
    except RunFailed:  # they have no test pair in common
        return None


def held_out(conn: connect.Connection, run: runs.Run, dataset_id: int) -> pd.DataFrame:
    """pair_id, part, margin, prompt_hash of the pairs of a dataset that a run scored and did not train on."""
    scored = rewards.frame(conn, run.id, dataset_id=dataset_id)
    frozen = [] if run.snapshot_id is None else snapshots.rows(conn, run.snapshot_id)
    trained = {row.pair_id for row in frozen if row.part is Part.TRAIN}
    kept = scored[~scored["pair_id"].isin(trained)]
    return kept.assign(margin=kept["reward_a"] - kept["reward_b"])[["pair_id", "part", "margin", "prompt_hash"]]
