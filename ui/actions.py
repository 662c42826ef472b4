"""What is quick: each verb of the app and the command line, once. Long work becomes a run.

Knows neither Streamlit nor torch. What takes long lives in `ui.worker`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from core import formats
from core.config import EMBEDDED_BACKBONE, Targets, TrainConfig, config_from
from core.errors import BadConfig, BadFile, NotFound, RunFailed, TiebreakError
from core.formats import ReadOptions
from core.measure.compare import compare
from core.measure.triage import rank_by_doubt
from core.records import Bucket, Decision, Kind, Order, Pair, Part, Preference, RunKind, RunState
from db import connect, datasets, imports, labelers, labels, pairs, rewards, runs, search, snapshots, verdicts
from db.names import check_text
from ui import demo_pairs, exchange, machine
from ui.processes import Store, tend

DEMO = "demo"
DEMO_LABELER = "demo-rule"
_UPLOADS = "uploads"
_ABANDONED_SECONDS = 3600.0  # an upload is looked at for minutes; younger ones may be another tab's


@dataclass(frozen=True, slots=True)
class Queue:
    """What a bucket of labels is called where people read, and what it means."""

    title: str
    meaning: str


QUEUES = {
    Bucket.LABEL_ERROR: Queue("Probably wrong", "Models that never saw the prompt clearly contradict these labels."),
    Bucket.CONTESTED: Queue(
        "Contested", "Models lean against these labels, but not clearly enough to call them wrong."
    ),
    Bucket.INCONSISTENT: Queue(
        "Labeler inconsistent", "The labeler contradicts itself: its votes differ, or change with the shown order."
    ),
    Bucket.MODEL_ERROR: Queue(
        "Probably the model's error",
        "Models lean the other way, but the labeler was sure each time: trust the labeler.",
    ),
    Bucket.AMBIGUOUS: Queue("Ambiguous", "Neither the labeler nor the models can tell the two apart: perhaps a tie."),
    Bucket.AGREE: Queue("Model agrees", "Models that never saw the prompt say the same; a few show if they are right."),
    Bucket.UNUSABLE: Queue("Unusable", "There is no usable vote."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Triage:
    """A ranked dataset.

    Attributes:
        frame: one row a pair, most doubtful first: the columns of `core.measure.triage.rank_by_doubt` and
            id, subset, part, swapped.
        run: the crossfit run that the margins are from; None where there is none and doubt is the labeler's evidence.
    """

    frame: pd.DataFrame
    labeler: str
    run: runs.Run | None


def name_of(path: Path) -> str:
    """What a dataset is called where nobody says otherwise: the file's name up to its first dot."""
    return path.name.split(".")[0] or path.name


def layouts() -> tuple[str, ...]:
    return tuple(layout.name for layout in formats.LAYOUTS)


def read_options(*, format_: str | None, mapping: str | Mapping[str, str], labeler: str, kind: Kind) -> ReadOptions:
    """What a user said about a file; a `mapping` that was typed is `name=column` pairs joined by commas."""
    if not isinstance(mapping, str):
        return ReadOptions(format=format_, mapping=dict(mapping), labeler=labeler, kind=kind)
    parts = [part.split("=", 1) for part in mapping.split(",") if part.strip()]
    if any(len(part) != 2 or not part[0].strip() or not part[1].strip() for part in parts):
        raise BadConfig(f"columns are name=column pairs joined by commas (prompt=question,...), got {mapping!r}")
    columns = {name.strip(): column.strip() for name, column in parts}
    labelers.check_name(labeler)
    return ReadOptions(format=format_, mapping=columns, labeler=labeler, kind=kind)


def preview_file(path: Path, options: ReadOptions) -> formats.Preview:
    """The first pairs of a file as an import would read them."""
    check_readable(path)
    return formats.preview(path, options)


def keep_upload(store: Store, name: str, content: bytes) -> Path:
    """An uploaded file's place beside the store until it is imported; the same content is written once."""
    path = store.folder / _UPLOADS / hashlib.sha256(content).hexdigest()[:16] / Path(name).name
    if path.exists():
        return path
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise TiebreakError(f"the uploaded file cannot be kept beside the store: {error.strerror}") from None
    return path


def forget_upload(store: Store, path: Path) -> None:
    """Remove an upload that was imported, refused or replaced; a file that lies elsewhere is the user's and stays."""
    if path.parent.parent == store.folder / _UPLOADS:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # gone already, or the same content under another name is still there
            path.parent.rmdir()


def forget_abandoned_uploads(store: Store) -> None:
    """Remove what tabs that were closed before an import left behind."""
    for folder in (store.folder / _UPLOADS).glob("*"):
        if folder.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def import_file(  # noqa: PLR0913 - one keyword for each option of the command
    store: Store,
    path: Path,
    *,
    dataset: str,
    options: ReadOptions,
    split: Part | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Iterator[imports.ImportCounts]:
    """Yield running counts while a file is imported; the last are final and published."""
    check_text(dataset, "a dataset's name")
    # A file's name may hold bytes that are no text; a store keeps only text.
    file = os.fsencode(path.name).decode(errors="replace")
    returning = exchange.Returning(file)
    rows = returning.rows(formats.read(path, options))
    yield from imports.import_rows(
        store.engine, rows, dataset=dataset, file=file, split=split, skip_bad=skip_bad, dry_run=dry_run
    )
    if dry_run or not (returning.parts or returning.spoken):
        return
    with connect.write(store.engine) as conn:
        if split is None and returning.parts:
            datasets.declare_parts(conn, dataset, returning.parts)
        verdicts.bring_back(conn, returning.spoken)


def command(store: Store, *words: str) -> str:
    """A call of the command line that does what a page does, to be pasted into a shell anywhere."""
    path = connect.store_path(store.url)
    # The URL of another store may hold a password: there TIEBREAK_STORE says which store is meant.
    return shlex.join(["tiebreak", *(() if path is None else ("--store", str(path))), *words])


def import_command(
    store: Store, path: Path, *, dataset: str, options: ReadOptions, split: Part | None = None, skip_bad: bool = False
) -> str:
    """`import_file` with the same arguments, as a command."""
    columns = ",".join(f"{name}={column}" for name, column in options.mapping.items() if name != column)
    words = ["import", str(path), "--dataset", dataset, "--labeler", options.labeler, "--kind", options.kind.value]
    words += [] if options.format is None else ["--format", options.format]
    words += ["--map", columns] if columns else []
    words += [] if split is None else ["--split", split.value]
    return command(store, *words, *(["--skip-bad"] if skip_bad else []))


def train_command(
    store: Store, *, dataset: str, labeler: str, settings: Mapping[str, object], name: str | None = None
) -> str:
    """`start_training` with the same arguments, as a command; settings at their default are left out."""
    defaults = TrainConfig()
    named = {"backbone", "method"}
    words = ["train", "--dataset", dataset, "--labeler", labeler]
    for key in sorted(named & settings.keys()):
        words += [f"--{key}", str(settings[key])]
    for key, value in settings.items():
        if key not in named and value != getattr(defaults, key):
            words += ["--set", f"{key}={value}"]
    return command(store, *words, *(["--name", name] if name else []))


def index_words(store: Store) -> Iterator[search.IndexState]:
    """Bring the search index up to the last pair, in short transactions; yields how far it is."""
    state = None
    while state is None or not state.is_complete:
        with connect.write(store.engine) as conn:
            state = search.index_more(conn)
        yield state


def load_demo(store: Store) -> Iterator[imports.ImportCounts]:
    """Import the shipped demo pairs; a second time adds nothing."""
    rows = formats.from_dicts(demo_pairs.rows(), ReadOptions())
    yield from imports.import_rows(store.engine, rows, dataset=DEMO, file="demo pairs")


def check_readable(path: Path) -> None:
    """BadFile in one sentence if a file is missing, a folder or empty; a run would say it late."""
    if path.is_dir():
        raise BadFile(f"{path} is a directory; a file of pairs is needed")
    if not path.exists():
        raise BadFile(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise BadFile(f"{path} is empty")


def check_writable(path: Path) -> None:
    """BadFile in one sentence if a file cannot be written there; a run would say it late."""
    if path.is_dir():
        raise BadFile(f"{path} is a directory; name a file to write")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise BadFile(f"cannot write {path}: {above} is not a directory")
    if not os.access(above, os.W_OK):
        raise BadFile(f"cannot write {path}: {above} may not be written to")


def start_training(
    store: Store, *, dataset: str, labeler: str | None, settings: Mapping[str, object], name: str | None = None
) -> int:
    """Queue a training run and start it if its device is free; the run's number."""
    config = config_from(settings)
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
    device = machine.device_named(config.device)
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
    if kind is RunKind.PREFLIGHT:
        config_from({key: value for key, value in settings.items() if key in {"backbone", "max_tokens"}})
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
    """Queue a run that works with a checkpoint: score, evaluate, export; or a preflight."""
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
    """Queue a training or crossfit run that failed or was stopped again: it goes on from what it kept."""
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        if run.kind not in {RunKind.TRAIN, RunKind.CROSSFIT} or run.state not in {RunState.FAILED, RunState.STOPPED}:
            raise RunFailed(
                f"run {run_id} is a {run.kind} run in state {run.state}; only a training or crossfit run that failed "
                "or was stopped can be resumed"
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


def decide(  # noqa: PLR0913 - a verdict has this many facts
    store: Store,
    *,
    pair_id: int,
    reviewer: str,
    decision: Decision,
    shown: Order,
    labeler: str | None,
    label_side: Preference | None,
    reason: str | None = None,
    blind: bool = False,
    seen: int | None = None,
) -> int:
    """Write a verdict: absolute (a, b, tie, drop in the stored order), whatever words the page used.

    `seen` is the store's newest verdict when the pair was drawn: refused if the reviewer decided the pair since.
    """
    with connect.write(store.engine) as conn:
        standing = [] if seen is None else verdicts.of_pair(conn, pair_id)
        if any(one.reviewer == reviewer and one.id > (seen or 0) for one in standing):
            raise TiebreakError(f"{reviewer} has decided this pair elsewhere meanwhile; that verdict stands")
        return verdicts.decide(
            conn,
            pair_id=pair_id,
            reviewer=reviewer,
            decision=decision,
            reason=reason,
            shown=shown,
            blind=blind,
            labeler=labeler,
            label_side=label_side,
        )


def undo(store: Store, *, reviewer: str, dataset: str) -> pairs.StoredPair | None:
    """Undo the reviewer's last verdict on a dataset's pairs by a row that names it; the pair, None if there is none."""
    with connect.write(store.engine) as conn:
        undone = verdicts.undo(conn, reviewer=reviewer, dataset_id=datasets.get(conn, dataset).id)
        return None if undone is None else pairs.get(conn, undone.pair_id)


def triage(store: Store, *, dataset: str, labeler: str | None, run_id: int | None = None) -> Triage:
    """Rank a dataset by doubt, from the newest crossfit run of it (or `run_id`'s held-out margins)."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        chosen = labelers.resolve(conn, found.id, labeler)
        run = _margin_run(conn, found.id, chosen, run_id)
        members = pairs.members_frame(conn, found.id)
        evidence = labels.frame(conn, labeler=chosen, dataset_id=found.id)
        margins = _margins(conn, run, found.id)
    if run_id is not None and margins.empty:
        raise RunFailed(
            f"run {run_id} (a {run and run.kind} run) has no margin on a pair of {dataset} that it did not train on; "
            "name a train or crossfit run of it, or leave --run out"
        )
    frame = members.merge(evidence, on="pair_id", how="left").merge(margins, on="pair_id", how="left")
    frame["usable"] = frame["num_votes"].fillna(0) > 0
    # As categories, a million of them compare and count in milliseconds.
    ranked = rank_by_doubt(frame).astype({"part": "category", "bucket": "category"})
    return Triage(frame=ranked, labeler=chosen, run=run)


def _margin_run(conn: connect.Connection, dataset_id: int, labeler: str, run_id: int | None) -> runs.Run | None:
    if run_id is not None:
        return runs.get(conn, run_id)
    return runs.newest(conn, dataset_id=dataset_id, labeler=labeler, kind=RunKind.CROSSFIT)


def _margins(conn: connect.Connection, run: runs.Run | None, dataset_id: int) -> pd.DataFrame:
    """pair_id, margin, margin_agree, fold: only of models that did not train on the pair."""
    columns = ["pair_id", "margin", "margin_agree", "fold"]
    if run is None:
        return pd.DataFrame(columns=columns)
    if run.kind is RunKind.CROSSFIT:
        repeats = rewards.margins_of(conn, run.id)
        grouped = repeats.groupby("pair_id")["margin"]
        mean = grouped.mean()
        agree = repeats.assign(sign=repeats["margin"].gt(0) == repeats["pair_id"].map(mean).gt(0))
        share = agree.groupby("pair_id")["sign"].mean()
        fold = repeats.groupby("pair_id")["fold"].first()
        return pd.DataFrame({"margin": mean, "margin_agree": share, "fold": fold}).reset_index()
    held_out = _held_out(conn, run, dataset_id)
    return held_out[["pair_id", "margin"]].assign(margin_agree=1.0, fold=0)


def crossfit_is_stale(store: Store, *, dataset: str, labeler: str | None) -> bool:
    """Whether no finished crossfit run stands on what a snapshot taken now would hold."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        chosen = labelers.resolve(conn, found.id, labeler)
        run = runs.newest(conn, dataset_id=found.id, labeler=chosen, kind=RunKind.CROSSFIT)
        if run is None or run.snapshot_id is None:
            return True
        targets = Targets(str(run.config["targets"]))
        now = snapshots.would_be(conn, dataset_id=found.id, labeler=chosen, targets=targets)
        return now != snapshots.hash_of(conn, run.snapshot_id)


def changed_since(store: Store, *, dataset: str, when: float) -> bool:
    """Whether labels were imported or verdicts given after a moment: quick, and true of an undone verdict too."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        return imports.any_since(conn, when=when) or verdicts.any_since(conn, dataset_id=found.id, when=when)


def compare_runs(store: Store, first: int, second: int) -> dict[str, object]:
    """Two runs on the held-out pairs that both scored, against the first one's labeler."""
    with connect.read(store.engine) as conn:
        one, two = runs.get(conn, first), runs.get(conn, second)
        if one.dataset_id is None or one.labeler is None:
            raise RunFailed(f"run {first} is a {one.kind} run and has no rewards to compare")
        mine, other = (_held_out(conn, run, one.dataset_id) for run in (one, two))
        scored = mine.merge(other, on="pair_id", suffixes=("_1", "_2"))
        target = labels.frame(conn, labeler=one.labeler, dataset_id=one.dataset_id)[["pair_id", "p_a"]]
    frame = scored.merge(target, on="pair_id")
    if frame.empty:
        raise RunFailed(f"runs {first} and {second} have no held-out pair in common that {one.labeler} labeled")
    compared = compare(
        frame["margin_1"].to_numpy(),
        frame["margin_2"].to_numpy(),
        frame["p_a"].to_numpy(),
        prompt=frame["prompt_hash_1"].to_numpy(),
    )
    return {"runs": [first, second], "against": one.labeler, **_absent_as_none(dataclasses.asdict(compared))}


def compared_with_before(store: Store, run: runs.Run) -> dict[str, object] | None:
    """A training run against the one before it, on the same held-out pairs; None where there is none to compare."""
    if run.kind is not RunKind.TRAIN or run.checkpoint is None:
        return None
    with connect.read(store.engine) as conn:
        previous = runs.newest(conn, kind=RunKind.TRAIN, dataset_id=run.dataset_id, labeler=run.labeler, before=run.id)
    try:
        return None if previous is None else compare_runs(store, run.id, previous.id)
    except RunFailed:  # they have no held-out pair in common
        return None


def _held_out(conn: connect.Connection, run: runs.Run, dataset_id: int) -> pd.DataFrame:
    scored = rewards.frame(conn, run.id, dataset_id=dataset_id)
    frozen = [] if run.snapshot_id is None else snapshots.rows(conn, run.snapshot_id)
    trained = {row.pair_id for row in frozen if row.part is Part.TRAIN}
    kept = scored[~scored["pair_id"].isin(trained)]
    return kept.assign(margin=kept["reward_a"] - kept["reward_b"])[["pair_id", "margin", "prompt_hash"]]


def _absent_as_none(values: Mapping[str, Any]) -> dict[str, object]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}


def count_purge(store: Store, dataset: str) -> int:
    """How many pairs a purge would erase the text of."""
    with connect.read(store.engine) as conn:
        return datasets.purge_count(conn, dataset)


def remove_dataset(store: Store, dataset: str, *, purge: bool = False) -> None:
    """Hide a dataset; with `purge`, erase the text that no other dataset holds."""
    with connect.write(store.engine) as conn:
        if purge:
            datasets.purge(conn, dataset)
        datasets.remove(conn, dataset)


def restore_dataset(store: Store, dataset: str) -> None:
    """Undo a removal."""
    with connect.write(store.engine) as conn:
        datasets.restore(conn, dataset)


def export_data(store: Store, *, dataset: str, path: Path) -> int:
    """Write a dataset with every vote and its verdicts in the layout of pairs; the number of pairs."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        return write_lines(path, exchange.lines(conn, found.id))


def open_labels(store: Store, ranked: Triage, *, dataset: str, reviewer: str | None = None) -> pd.DataFrame:
    """pair_id and bucket of ranked labels that wait for a verdict, by their place in the ranking.

    Without test pairs, and without pairs that people (or this reviewer) decided.
    """
    with connect.read(store.engine) as conn:
        here = datasets.get(conn, dataset).id
        done = set(verdicts.effective(conn, dataset_id=here))
        if reviewer is not None:  # where reviewers differ nothing is effective, yet nobody is asked twice
            done |= {one.pair_id for one in verdicts.latest(conn, reviewer=reviewer, dataset_id=here, limit=None)}
    frame = ranked.frame
    # Two columns: all of a million rows' would be copied at every rerun of a page.
    return frame.loc[(frame["part"] != Part.TEST.value) & ~frame["pair_id"].isin(list(done)), ["pair_id", "bucket"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSize:
    """How many labels of a bucket wait for a verdict, and how many there are with those that do not any more."""

    num_open: int
    num_all: int

    @property
    def share_done(self) -> float:
        return 1.0 - self.num_open / self.num_all


def queue_sizes(ranked: Triage, waiting: pd.DataFrame) -> dict[Bucket, QueueSize]:
    """The queues that hold anything, in the order of QUEUES; `waiting` is what `open_labels` gave."""
    reviewable = ranked.frame["bucket"][ranked.frame["part"] != Part.TEST.value].value_counts()
    still = waiting["bucket"].value_counts()
    return {
        bucket: QueueSize(num_open=int(still.get(bucket.value, 0)), num_all=int(reviewable[bucket.value]))
        for bucket in QUEUES
        if bucket is not Bucket.UNUSABLE and reviewable.get(bucket.value, 0) > 0
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What a reviewer did on a dataset: verdicts, and how many were given against a label and changed it."""

    num_verdicts: int
    num_against_label: int
    num_changed: int


def reviewed(given: Sequence[verdicts.Verdict]) -> Reviewed:
    """Count verdicts; one changed its label if it says anything else, be it a tie or to drop the pair."""
    against = [one for one in given if one.label_side is not None]
    changed = sum(one.decision.value != one.label_side for one in against)
    return Reviewed(num_verdicts=len(given), num_against_label=len(against), num_changed=changed)


def history(store: Store, given: Sequence[verdicts.Verdict]) -> pd.DataFrame:
    """Verdicts as a table for reading: the prompt's first words, and sides as they were shown."""
    with connect.read(store.engine) as conn:
        texts = dict(pairs.texts(conn, [one.pair_id for one in given]))
    rows = [
        (
            _first_words(texts[one.pair_id]) if one.pair_id in texts else "(erased)",
            _as_shown(one.decision.value, one.shown),
            "-" if one.label_side is None else _as_shown(one.label_side.value, one.shown),
        )
        for one in given
    ]
    return pd.DataFrame(rows, columns=["prompt", "you said", "the label said"])


def _first_words(pair: Pair, *, most: int = 60) -> str:
    words = " ".join(pair.prompt[-1].content[: 2 * most].split())
    return words if len(words) <= most else words[: most - 1] + "…"


def _as_shown(said: str, order: Order) -> str:
    return {"a": "Left", "b": "Right"}.get(said if order is Order.AB else {"a": "b", "b": "a"}.get(said, said), said)


def browse_table(
    conn: connect.Connection, rows: Sequence[pairs.BrowseRow], *, dataset_id: int, labeler: str | None
) -> list[dict[str, object]]:
    """Rows of a list of pairs with a labeler's label and people's verdict, in the stored order."""
    ids = [row.pair_id for row in rows]
    given = {} if labeler is None else labels.for_pairs(conn, labeler, ids, dataset_id=dataset_id)
    decided = verdicts.effective(conn, pair_ids=ids)
    return [
        {
            "id": row.row_id,
            "label": said(given[row.pair_id].side) if row.pair_id in given else "",
            "verdict": said(decided[row.pair_id]) if row.pair_id in decided else "",
            "prompt": row.prompt,
            "A": row.response_a,
            "B": row.response_b,
            "subset": row.subset or "",
            "part": row.part.value,
        }
        for row in rows
    ]


def said(side: Preference | Decision | None) -> str:
    """What a label or a verdict says, in letters of the stored order; a label without a side is a tie."""
    if side is None:
        return "tie"
    return side.value.upper() if side.value in {"a", "b"} else side.value


def triage_rows(ranked: Triage, *, limit: int | None = None) -> Iterator[dict[str, object]]:
    """The lines that `triage -o` writes, the first `limit` of them, in the orientation of the user's file."""
    for row in ranked.frame.head(min(limit or len(ranked.frame), len(ranked.frame))).to_dict("records"):
        sign = -1.0 if row["swapped"] else 1.0
        side, p_a = row["side"], row["p_a"]
        if row["swapped"] and isinstance(side, str):
            side = {"a": "b", "b": "a"}[side]
        yield {
            "id": row["row_id"],
            "rank": int(row["rank"]),
            "doubt": _number(row["doubt"]),
            "bucket": row["bucket"],
            "side": side if isinstance(side, str) else None,
            "margin": _number(row["margin"] * sign),
            "label_p_a": _number(1.0 - p_a if row["swapped"] else p_a),
            "components": {name: _number(row[name]) for name in ("p_model", "prior", "temperature")},
        }


def triage_lines(ranked: Triage) -> str:
    """The same as JSON lines in one text."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in triage_rows(ranked))


def short_list(store: Store, ranked: Triage, *, limit: int) -> pd.DataFrame:
    """The most doubtful labels as a table for reading; doubt and the model's probability in percent."""
    first = ranked.frame[ranked.frame["doubt"].notna()].head(limit)
    with connect.read(store.engine) as conn:
        texts = dict(pairs.texts(conn, first["pair_id"].tolist()))
    found = [texts.get(number) for number in first["pair_id"].tolist()]
    preferred = [
        "(erased)" if pair is None else " ".join((pair.response_a if side == "a" else pair.response_b)[:120].split())
        for pair, side in zip(found, first["side"], strict=True)
    ]
    return pd.DataFrame(
        {
            "rank": first["rank"],
            "id": first["row_id"],
            "prompt": ["(erased)" if pair is None else _first_words(pair) for pair in found],
            "the label prefers": preferred,
            "doubt, %": (100 * first["doubt"]).round(1),
            "the model agrees, %": (100 * first["p_model"]).round(1),
            "queue": [QUEUES[Bucket(bucket)].title for bucket in first["bucket"]],
        }
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write JSON lines beside the target, then rename; the number of lines."""
    beside = path.with_name(path.name + ".partial")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as out:
            for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
                out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # where the folder itself is what is wrong, nothing can be removed either
            beside.unlink(missing_ok=True)
        raise TiebreakError(f"cannot write {path}: {error.strerror}") from None
    return count
