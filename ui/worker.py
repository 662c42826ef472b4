"""What takes long: `python -m ui.worker STORE RUN` carries out one run, then starts the next in the queue.

Compute, then write: no transaction is open across a model call. The run's row is the only channel to the pages.
"""

import os
import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import psutil
from sqlalchemy.exc import StatementError

from core import formats
from core.config import EMBEDDED_BACKBONE, Method, TrainConfig, config_from
from core.errors import NotFound, RunFailed, TiebreakError
from core.findings import Finding, by_level
from core.measure import calibration, checks
from core.records import Candidate, Pair, Part, Progress, Reward, RunKind, RunState, SnapshotPair, Step
from db import connect, datasets, labels, pairs, rewards, runs, snapshots, verdicts
from ui import evaluation, show
from ui.actions import checkpoint_of
from ui.files import write_lines
from ui.processes import HEARTBEAT_SECONDS, Store, open_store, tend

if TYPE_CHECKING:
    from core.engine.cache import Cache
    from core.engine.model import Loaded
    from core.engine.preflight import PairTokens
    from core.engine.prepare import Prepared
    from core.engine.tokens import TokenPair

FLUSH_SECONDS = 0.5
BUSY_MILLISECONDS = 600_000
MOST_SAID = 300  # characters of an error that nobody foresaw


@dataclass(kw_only=True)
class Outcome:
    """How a run ended well: finished, or stopped with something usable."""

    state: RunState = RunState.FINISHED
    metrics: dict[str, object] = field(default_factory=dict)
    checkpoint: Path | None = None


class Pulse:
    """Tells the store every two seconds that the worker lives and how far it is, and hears whether a stop was asked."""

    def __init__(self, store: Store, run_id: int) -> None:
        self._store, self._run_id = store, run_id
        self._progress = Progress(what="starting", done=0, total=0)
        self._since = time.monotonic()
        self._over, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def say(self, what: str, done: int, total: int) -> None:
        if what.split(":", maxsplit=1)[0] != self._progress.what.split(":")[0]:
            self._since = time.monotonic()
            print(what, flush=True)  # noqa: T201 - standard output is the run's log
        self._progress = Progress(what=what, done=done, total=total)

    @property
    def stop_asked(self) -> bool:
        return self._stop.is_set()

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while True:
            now = self._progress
            share = now.done / now.total if now.total else None
            spent = time.monotonic() - self._since
            left = spent * (now.total - now.done) / now.done if now.done else None
            try:
                with connect.write(self._store.engine) as conn:
                    asked = runs.heartbeat(conn, self._run_id, progress=share, text=now.what, seconds_left=left)
                if asked:
                    self._stop.set()
            except TiebreakError as error:
                print(error, flush=True)  # noqa: T201 - a busy store may miss one beat; the next one tells
            if self._over.wait(HEARTBEAT_SECONDS):
                return


def main(url: str, run_id: int) -> int:
    """Claim the run and carry it out; 0 if it ended well. A run that another worker took is left alone."""
    # A run of hours must not end because an import or a purge keeps the store for longer than a page would wait.
    store = open_store(url, busy_milliseconds=BUSY_MILLISECONDS)
    run = _claim(store, run_id)
    if run is None:
        return 0
    try:
        outcome, error = _carry_out(store, run), None
        _finish(store, run_id, outcome, error)
    except TiebreakError as mistake:
        outcome, error = Outcome(state=RunState.FAILED), str(mistake)
    except Exception as bug:  # noqa: BLE001 - the one place: whatever it was, the run says so
        traceback.print_exc()
        outcome, error = Outcome(state=RunState.FAILED), sentence_of(bug)
    if error is not None:
        _finish(store, run_id, outcome, error)
    print(error or outcome.state.value, flush=True)  # noqa: T201 - standard output is the run's log
    tend(store)
    return 1 if error else 0


def _carry_out(store: Store, run: runs.Run) -> Outcome:
    began = time.monotonic()
    with Pulse(store, run.id) as pulse:
        outcome = _WORK[run.kind](store, run, pulse)
    outcome.metrics |= {"seconds": time.monotonic() - began, "peak_memory_bytes": _peak_memory()}
    return outcome


def _finish(store: Store, run_id: int, outcome: Outcome, error: str | None) -> None:
    checkpoint = None if outcome.checkpoint is None else str(outcome.checkpoint)
    with connect.write(store.engine) as conn:
        runs.finish(conn, run_id, state=outcome.state, metrics=outcome.metrics, checkpoint=checkpoint, error=error)


def _claim(store: Store, run_id: int) -> runs.Run | None:
    process = psutil.Process()
    with connect.write(store.engine) as conn:
        run = runs.get(conn, run_id)
        busy = {device for other in runs.running(conn) for device in other.devices}
        # Two processes may have been started for one free device; the first to get here has it.
        if not busy.isdisjoint(run.devices):
            runs.let_wait(conn, run_id)
            return None
        if not runs.claim(conn, run_id, pid=os.getpid(), pid_started=process.create_time(), host=socket.gethostname()):
            return None
        return runs.get(conn, run_id)


def _peak_memory() -> int:
    """Bytes; the kernel counts kibibytes on Linux and bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def sentence_of(bug: Exception) -> str:
    """What a run says of an error that nobody foresaw: one short line. The log has the traceback."""
    if isinstance(bug, OSError) and bug.strerror:
        return f"{bug.strerror}: {bug.filename}" if bug.filename else bug.strerror
    if "out of memory" in str(bug).lower():
        return "the device ran out of memory: use a smaller batch_pairs (with accumulation) or a smaller max_tokens"
    # SQLAlchemy adds the statement and its parameters, which are the user's texts; the driver's own words do.
    said = " ".join(str(bug.orig if isinstance(bug, StatementError) else bug).split())
    said = said if len(said) <= MOST_SAID else said[:MOST_SAID] + "…"
    return f"unexpected {type(bug).__name__}: {said} (a bug in Tiebreak; the traceback is in the log)"


def _train(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from core.engine.proof import Prover  # noqa: PLC0415 - a worker that scores needs none

    config = config_from(run.config)
    # A probe trains in seconds: its prover must get ready beside it, not after it.
    prover = Prover(mean_pooled=config.backbone == EMBEDDED_BACKBONE) if config.method is Method.PROBE else None
    from core.engine import checkpoint, device, model, prepare, probe  # noqa: PLC0415 - seconds of import

    frozen = _freeze(store, run, config, pulse)
    by_part = {part: [pair for pair in frozen if pair.part is part] for part in Part}
    if not by_part[Part.TRAIN]:
        raise RunFailed(f"dataset {_dataset_name(store, run)} has no labeled pair in its train part")
    if config.backbone != EMBEDDED_BACKBONE:  # 22M parameters: there is nothing to refuse, and a probe takes seconds
        _require_fit(config, frozen, run.devices[0], pulse)
    pulse.say(f"loading {config.backbone}", 0, 0)
    loaded = model.load_backbone(config, device.choose_device(run.devices[0]))
    kept = store.run_folder(run.id) / "training.safetensors"
    cache = _tokenized(store, loaded, frozen, pulse)
    tokens = prepare.read_tokens(cache.tokens, [one.pair for one in frozen])
    prepared = prepare.prepare(config, frozen, tokens)
    layout: dict[str, object] = {}
    if config.method is Method.PROBE:
        _compute_features(loaded, cache, tokens, pulse)
        if pulse.stop_asked:  # nothing is trained yet; the features that are done are kept for the next run
            return Outcome(state=RunState.STOPPED)
        steps = probe.train(loaded, config, cache.features, prepared)
    else:
        fit = _fine_tuning(run, config, loaded, prepared, kept, pulse)
        steps, layout = fit.steps, fit.layout
    began = time.monotonic()
    stopped = _pull(store, run, pulse, steps)
    seconds = time.monotonic() - began
    layout |= _how_it_ended(store, run, config.method, stopped=stopped, pulse=pulse)
    prover = prover or Prover(mean_pooled=loaded.rules.pooling == "mean")
    held_out = by_part[Part.VALID] + by_part[Part.TEST]
    scored = _held_out_rewards(loaded, cache if config.method is Method.PROBE else None, held_out, pulse)
    temperature = evaluation.temperature_of(scored, by_part[Part.VALID])
    with connect.write(store.engine) as conn:
        rewards.add(conn, run.id, scored)
    pulse.say("measuring", 0, 0)
    metrics = evaluation.measure_run(store, run, temperature=temperature)
    folder = store.run_folder(run.id) / "checkpoint"
    metrics |= {
        **layout,
        **_facts(store, run, loaded, frozen, pulse),
        "temperature": temperature,
        "train_seconds": seconds,
        "device": device.describe(loaded.device),
        "processes": config.processes,
        **asdict(prepared.counts),
    }
    if loaded.tie_parameter is not None:
        metrics["tie_parameter"] = loaded.tie_parameter
    pulse.say("saving the checkpoint", 0, 0)
    rounding = checkpoint.save(
        loaded,
        config,
        folder,
        temperature=temperature,
        canary_pairs=[pair.pair for pair in (held_out + by_part[Part.TRAIN])[:64]],
        card=evaluation.card(store, run, metrics),
    )
    if rounding:  # what was measured was scored in the run's precision, what is published is float32
        metrics["rounding_of_rewards"] = rounding
    pulse.say("proving that a public library loads the checkpoint", 0, 0)
    prover.prove(folder)
    if not stopped:  # a stopped run can be resumed
        kept.unlink(missing_ok=True)
    return Outcome(state=RunState.STOPPED if stopped else RunState.FINISHED, metrics=metrics, checkpoint=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Steps to pull, and what the run says of how prompts are computed."""

    steps: Iterator[Step]
    layout: dict[str, object]


def _fine_tuning(
    run: runs.Run, config: TrainConfig, loaded: "Loaded", prepared: "Prepared", kept: Path, pulse: Pulse
) -> _Fit:
    from core.engine import together, train  # noqa: PLC0415 - seconds of import

    sharing = train.check_sharing(loaded, prepared)
    how = f"each text by itself: {sharing.refused}" if sharing.refused else "each prompt once for its responses"
    beside = f", in {config.processes} processes" if config.processes > 1 else ""
    pulse.say(f"computing {how}{beside}", 0, 0)
    if config.processes > 1:
        steps = together.train(loaded, config, prepared, devices=run.devices, sharing=sharing, state=kept)
    else:
        steps = train.train(loaded, config, prepared, sharing=sharing, state=kept)
    layout: dict[str, object] = {"prompts_shared": sharing.refused is None, "why_not_shared": sharing.refused}
    return _Fit(steps=steps, layout=layout)


def _require_fit(config: TrainConfig, frozen: list[SnapshotPair], on: str, pulse: Pulse) -> None:
    """Refuse, before anything is loaded, what the device has no room for; say what the run will take."""
    from core.engine import device, estimate  # noqa: PLC0415 - seconds of import

    pulse.say("estimating memory and time", 0, 0)
    try:
        needed = estimate.require_fit(config, estimate.workload_of_texts(config, frozen), device.choose_device(on))
    except estimate.NotEstimated as unknown:
        pulse.say(str(unknown), 0, 0)
        return
    pulse.say(f"about {needed.memory.total / 1e9:.1f} GB and {needed.seconds / 60:.0f} min", 0, 0)


def _facts(
    store: Store, run: runs.Run, loaded: "Loaded", frozen: list[SnapshotPair], pulse: Pulse
) -> dict[str, object]:
    """Of the backbone, where the run is one of several to choose from: its estimates take as long as a small probe."""
    if not _is_compared(store, run):
        return {}
    from core.engine import backbone_facts  # noqa: PLC0415 - seconds of import

    pulse.say("estimating what lora and full would take", 0, 0)
    return {"backbone_facts": asdict(backbone_facts.facts_of(loaded, config_from(run.config), frozen))}


def _is_compared(store: Store, run: runs.Run) -> bool:
    """Is it a probe that waited or ran beside a probe of another backbone on the same dataset and labeler?"""
    if run.config["method"] != Method.PROBE:
        return False
    with connect.read(store.engine) as conn:
        beside = runs.of_dataset(conn, _dataset_id(run), kind=RunKind.TRAIN, labeler=run.labeler)
    return any(
        other.config["method"] == Method.PROBE
        and other.config["backbone"] != run.config["backbone"]
        and (other.ended is None or other.ended >= run.created)
        for other in beside
    )


def _crossfit(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from core.engine import crossfit, device, features, model, prepare  # noqa: PLC0415 - seconds of import

    config = config_from(run.config)
    frozen = _freeze(store, run, config, pulse)
    pulse.say(f"loading {config.backbone}", 0, 0)
    loaded = model.load_backbone(config, device.choose_device(run.device))
    cache = _tokenized(store, loaded, frozen, pulse)
    tokens = prepare.read_tokens(cache.tokens, [one.pair for one in frozen])
    _compute_features(loaded, cache, tokens, pulse)
    if pulse.stop_asked:
        return Outcome(state=RunState.STOPPED)
    pulse.say("fitting 5 folds", 0, 0)
    margins = crossfit.crossfit(features.load(cache.features, tokens), frozen, seed=config.seed)
    with connect.write(store.engine) as conn:
        rewards.add_margins(conn, run.id, margins)
    return Outcome(metrics={"num_pairs": len({margin.pair_id for margin in margins}), "num_margins": len(margins)})


def _evaluate(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    parent = _parent(store, run)
    with connect.read(store.engine) as conn:
        part = None if run.config["part"] == "all" else Part(str(run.config["part"]))
        members = pairs.members(conn, _dataset_id(run), part=part)
        known = set(rewards.frame(conn, parent.id, dataset_id=_dataset_id(run))["pair_id"])
        missing = [member.pair_id for member in members if member.pair_id not in known]
        texts = list(pairs.texts(conn, missing))
    loaded = _load(parent, run, pulse) if texts else None
    if loaded is not None:
        _score_into(store, parent.id, loaded, texts, pulse)
    against = run.config.get("against")
    metrics = evaluation.measure_part(
        store, parent, dataset_id=_dataset_id(run), part=part, against=None if against is None else str(against)
    )
    return Outcome(metrics=metrics)


def _score(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from core.engine import score  # noqa: PLC0415 - seconds of import

    parent = _parent(store, run)
    rows = list(formats.read_for_scoring(Path(str(run.config["file"]))))
    loaded = _load(parent, run, pulse)
    items = [(row.prompt, response) for row in rows for response in row.responses]
    values: list[float] = []
    for start in range(0, len(items), 256):
        if pulse.stop_asked:
            return Outcome(state=RunState.STOPPED)
        values += score.score_texts(loaded, items[start : start + 256])
        pulse.say(f"scoring: {len(values):,} of {len(items):,} responses", len(values), len(items))
    temperature = float(str((parent.metrics or {}).get("temperature") or 1.0))
    count = write_lines(Path(str(run.config["out"])), _score_lines(rows, values, temperature))
    return Outcome(metrics={"rows": count, "out": str(run.config["out"])})


def _score_lines(
    rows: Iterable[formats.ScoreRow], values: list[float], temperature: float
) -> Iterator[dict[str, object]]:
    remaining = iter(values)
    for row in rows:
        got = [next(remaining) for _ in row.responses]
        if len(got) == 1:
            yield {"id": row.id, "reward": got[0]}
            continue
        p_a = calibration.p_better(got[0] - got[1], temperature=temperature)
        yield {"id": row.id, "reward_a": got[0], "reward_b": got[1], "p_a": p_a}


def _preflight(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from core.engine import device, preflight, reader, tokenizer_checks  # noqa: PLC0415 - seconds of import

    config, dataset_id = config_from(run.config), _dataset_id(run)
    pulse.say("collecting pairs and labels", 0, 0)
    with connect.read(store.engine) as conn:
        facts = {"data_version": datasets.version(conn, dataset_id), "newest_verdict": verdicts.newest_id(conn)}
        candidates = snapshots.candidates(conn, dataset_id=dataset_id, labeler=run.labeler, targets=config.targets)
    if not candidates:
        raise RunFailed(f"dataset {_dataset_name(store, run)} has no pair to look at")
    pulse.say(f"loading the tokenizer of {config.backbone}", 0, 0)
    reads = reader.load_reader(config)
    every = [one.pair for one in candidates]
    refused = tokenizer_checks.refused_turns(reads, every)
    findings = [tokenizer_checks.turns(reads, every, refused, slices=[checks.slice_names(one) for one in candidates])]
    kept = [one for one in candidates if tuple(turn.role for turn in one.pair.prompt) not in refused]
    read: list[PairTokens] = []
    for start in range(0, len(kept), preflight.CHUNK_PAIRS):
        read += preflight.read_pairs(reads, [one.pair for one in kept[start : start + preflight.CHUNK_PAIRS]])
        pulse.say(f"tokenizing pairs: {len(read):,} of {len(kept):,}", len(read), len(kept))
        if pulse.stop_asked:
            return Outcome(state=RunState.STOPPED)
    pulse.say("checking", 0, 0)
    if kept:
        findings += tokenizer_checks.examine_tokenizer(reads, [one.pair for one in kept])
        slices = [checks.slice_names(one) for one in kept]
        findings += preflight.examine_tokens(reads, config, kept, read, slices=slices)
    if run.labeler is not None:
        findings.append(preflight.training_set(config, kept, read))
        if any(one.part is Part.TRAIN for one in kept):
            pulse.say("estimating memory and time", 0, 0)
            findings.append(preflight.resources(config, kept, device.choose_device(run.devices[0])))
    findings += _label_findings(store, run, candidates)
    return Outcome(
        metrics={**facts, "num_pairs": len(candidates), "findings": [asdict(one) for one in by_level(findings)]}
    )


def _label_findings(store: Store, run: runs.Run, candidates: list[Candidate]) -> list[Finding]:
    if run.labeler is None:
        return [checks.labels([], num_unlabeled=len(candidates))]
    with connect.read(store.engine) as conn:
        votes = labels.shown_votes(conn, labeler=run.labeler, dataset_id=_dataset_id(run))
        contents = snapshots.count(conn, dataset_id=_dataset_id(run), labeler=run.labeler)
    return checks.examine_pairs(candidates, votes, num_unlabeled=contents.num_without_label)


def _export(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from core.engine import export  # noqa: PLC0415 - seconds of import

    folder = Path(str(run.config["directory"]))
    pulse.say(f"exporting to {folder}", 0, 0)
    merge = bool(run.config.get("merge"))
    merged = export.export(Path(str(_parent(store, run).checkpoint)), folder, merge=merge)
    return Outcome(metrics={"directory": str(folder), "merged": merged})


def _label(store: Store, run: runs.Run, pulse: Pulse) -> Outcome:
    from ui.label_run import Labeling  # noqa: PLC0415 - the client of a server takes a second to import

    labeling = Labeling(store=store, run=run)
    for progress in labeling.steps():
        pulse.say(progress.what, progress.done, progress.total)
        if pulse.stop_asked:
            labeling.stop("a stop was asked")
    is_over = labeling.why_stopped is None
    return Outcome(state=RunState.FINISHED if is_over else RunState.STOPPED, metrics=labeling.metrics())


_WORK: dict[RunKind, Callable[[Store, runs.Run, Pulse], Outcome]] = {
    RunKind.LABEL: _label,
    RunKind.TRAIN: _train,
    RunKind.CROSSFIT: _crossfit,
    RunKind.EVALUATE: _evaluate,
    RunKind.SCORE: _score,
    RunKind.PREFLIGHT: _preflight,
    RunKind.EXPORT: _export,
}


def _freeze(store: Store, run: runs.Run, config: TrainConfig, pulse: Pulse) -> list[SnapshotPair]:
    snapshot_id = run.snapshot_id  # of a resumed run: it goes on with what it began with
    if snapshot_id is None:
        pulse.say("freezing the training set", 0, 0)
        dataset_id, labeler = _dataset_id(run), str(run.labeler)
        with connect.write(store.engine) as conn:
            snapshot_id = snapshots.freeze(conn, dataset_id=dataset_id, labeler=labeler, targets=config.targets).id
            runs.set_snapshot(conn, run.id, snapshot_id)
    with connect.read(store.engine) as conn:
        frozen = snapshots.pairs(conn, snapshot_id)
    if not frozen:
        raise RunFailed(f"labeler {run.labeler} has no usable label in dataset {_dataset_name(store, run)}")
    return frozen


def _tokenized(store: Store, loaded: "Loaded", frozen: list[SnapshotPair], pulse: Pulse) -> "Cache":
    """The cache of this backbone, with the tokens of every pair in it."""
    from core.engine import cache, prepare  # noqa: PLC0415 - seconds of import

    found = cache.cache_for(loaded, store.feature_folder)
    for progress in prepare.tokenize(loaded, found.tokens, [one.pair for one in frozen]):
        pulse.say(f"{progress.what}: {progress.done:,} of {progress.total:,}", progress.done, progress.total)
    return found


def _compute_features(loaded: "Loaded", cache: "Cache", tokens: "list[TokenPair]", pulse: Pulse) -> None:
    from core.engine import features  # noqa: PLC0415 - seconds of import

    for progress in features.compute(loaded, cache.features, tokens):
        pulse.say(f"{progress.what}: {progress.done:,} of {progress.total:,}", progress.done, progress.total)
        if pulse.stop_asked:
            break


def _pull(store: Store, run: runs.Run, pulse: Pulse, steps: Iterator[Step]) -> bool:
    """Store steps as they come; True if a stop was asked: the worker just stops pulling."""
    waiting: list[Step] = []
    flushed = time.monotonic()
    for step in steps:
        waiting.append(step)
        pulse.say(f"training: step {step.step} of {step.num_steps}", step.step, step.num_steps)
        if time.monotonic() - flushed >= FLUSH_SECONDS:
            with connect.write(store.engine) as conn:
                runs.add_steps(conn, run.id, waiting)
            waiting, flushed = [], time.monotonic()
        if pulse.stop_asked:
            break
    with connect.write(store.engine) as conn:
        runs.add_steps(conn, run.id, waiting)
    steps.close()  # type: ignore[attr-defined]  # a generator: closing restores the best weights
    return pulse.stop_asked


def _how_it_ended(store: Store, run: runs.Run, method: Method, *, stopped: bool, pulse: Pulse) -> dict[str, object]:
    """Of which step the weights are, and where a run ended that nobody stopped, if before its last step."""
    if method is Method.PROBE:  # its steps are strengths of regularisation
        return {}
    with connect.read(store.engine) as conn:  # the steps from before a resume are there alone
        steps = runs.steps_of(conn, run.id)
    best, last = steps.loc[steps["is_best"].astype(bool), "step"], steps.iloc[-1]
    is_early = not stopped and last["step"] < last["num_steps"]
    ended: dict[str, object] = {
        "best_step": None if best.empty else int(best.iloc[-1]),
        "stopped_early_at": int(last["step"]) if is_early else None,
    }
    if words := show.early_words(ended):
        pulse.say(words, 0, 0)
    return ended


def _held_out_rewards(
    loaded: "Loaded", cache: "Cache | None", held_out: list[SnapshotPair], pulse: Pulse
) -> list[Reward]:
    from core.engine import prepare, probe, score  # noqa: PLC0415 - seconds of import

    texts = [(pair.pair_id, pair.pair) for pair in held_out]
    if cache is not None:
        tokens = prepare.read_tokens(cache.tokens, [pair for _, pair in texts])
        return probe.rewards(loaded, cache.features, [pair_id for pair_id, _ in texts], tokens)
    scored: list[Reward] = []
    for reward in score.score(loaded, texts):
        scored.append(reward)
        pulse.say(f"scoring held-out pairs: {len(scored):,} of {len(texts):,}", len(scored), len(texts))
    return scored


def _score_into(store: Store, run_id: int, loaded: "Loaded", texts: list[tuple[int, Pair]], pulse: Pulse) -> None:
    from core.engine import score  # noqa: PLC0415 - seconds of import

    waiting: list[Reward] = []
    for done, reward in enumerate(score.score(loaded, texts), start=1):
        waiting.append(reward)
        pulse.say(f"scoring: {done:,} of {len(texts):,} pairs", done, len(texts))
        if len(waiting) >= 1000 or done == len(texts):
            with connect.write(store.engine) as conn:
                rewards.add(conn, run_id, waiting)
            waiting = []


def _load(parent: runs.Run, run: runs.Run, pulse: Pulse) -> "Loaded":
    from core.engine import checkpoint, device  # noqa: PLC0415 - seconds of import

    pulse.say(f"loading the checkpoint of run {parent.id}", 0, 0)
    return checkpoint.load(Path(str(parent.checkpoint)), device.choose_device(run.device))


def _parent(store: Store, run: runs.Run) -> runs.Run:
    if run.parent_id is None:
        raise NotFound(f"run {run.id} names no run whose checkpoint to use")
    with connect.read(store.engine) as conn:
        return checkpoint_of(runs.get(conn, run.parent_id))


def _dataset_id(run: runs.Run) -> int:
    if run.dataset_id is None:
        raise NotFound(f"run {run.id} names no dataset")
    return run.dataset_id


def _dataset_name(store: Store, run: runs.Run) -> str:
    with connect.read(store.engine) as conn:
        return datasets.named(conn, _dataset_id(run))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
