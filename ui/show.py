"""What the command line prints: results on standard output, everything else on standard error."""

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from core.errors import RunFailed
from core.findings import Finding, Level, Slice
from core.measure.calibration import LEAST_DECIDED
from core.records import RunKind
from db import runs
from db.imports import ImportCounts
from db.search import IndexState
from ui import commands
from ui.actions import wait_for
from ui.processes import Store, is_over
from ui.review import QueueSize, Reviewed

POLL_SECONDS = 0.25
notes = Console(stderr=True, highlight=False)


def as_json(value: object) -> None:
    """One object (or list) on standard output; a number that is absent is null."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str, allow_nan=False) + "\n")


def say(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows under their keys; an empty list says so."""
    console = Console(highlight=False)
    if not rows:
        console.print(f"{title}: none yet", markup=False)
        return
    drawn = Table(title=Text(title), title_justify="left", box=None, header_style="bold", pad_edge=False)
    for key in rows[0]:
        drawn.add_column(key.replace("_", " "))
    for row in rows:
        drawn.add_row(*(Text(cell(value)) for value in row.values()))
    console.print(drawn)


_LEVEL_STYLE = {Level.FAIL: "bold red", Level.WARN: "yellow", Level.PASS: "green"}


def findings(found: Sequence[Finding]) -> None:
    """A line for each, fails first; what to do stands under its sentence."""
    console = Console(highlight=False)
    drawn = Table(box=None, show_header=False, pad_edge=False)
    for one in found:
        words = Text(one.sentence)
        if one.what_to_do:
            words.append(f"\n{one.what_to_do}", style="dim")
        drawn.add_row(Text(one.level.value, style=_LEVEL_STYLE[one.level]), Text(one.check), words)
    console.print(drawn)
    console.print(finding_counts(found), markup=False)


_CHECK_TITLES = {
    "pooled_token": "Pooled token",
    "pad_token": "Padding token",
    "double_bos": "Begin token",
    "template_clock": "Clock in the chat template",
    "same_ending": "Endings in training and scoring",
    "same_tokens": "Sides that are the same",
    "cut_responses": "Cut responses",
    "split": "Prompts on both sides of the split",
    "training_set": "What is left to train on",
    "resources": "Memory and time",
    "file_position": "Position in the file",
    "shown_position": "Always the first",
    "longer": "Always the longer",
}


def check_title(check: str) -> str:
    """What a check is called where people read."""
    return _CHECK_TITLES.get(check, check.replace("_", " ").capitalize())


def slice_rows(slices: Sequence[Slice]) -> list[dict[str, object]]:
    return [{"slice": one.name, "pairs": one.num, "of": one.num_all, "share": percent(one.share)} for one in slices]


def finding_counts(found: Sequence[Finding]) -> str:
    """Such as `1 fail, 2 warnings, 12 passed`."""
    counted_by = Counter(one.level for one in found)
    named = [
        (counted_by[Level.FAIL], counted(counted_by[Level.FAIL], "fail")),
        (counted_by[Level.WARN], counted(counted_by[Level.WARN], "warning")),
        (counted_by[Level.PASS], f"{counted_by[Level.PASS]:,} passed"),
    ]
    return ", ".join(words for number, words in named if number)


def cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def run_object(run: runs.Run) -> dict[str, object]:
    """A run as `show RUN --json` prints it."""
    return {
        "run": run.id,
        "kind": run.kind.value,
        "state": run.state.value,
        "name": run.name,
        "pid": run.pid,
        "config": run.config,
        "snapshot": run.snapshot_id,
        "labeler": run.labeler,
        "device": run.device,
        "processes": len(run.devices),
        "progress": run.progress,
        "progress_text": run.progress_text,
        "seconds_left": run.seconds_left,
        "metrics": run.metrics or {},
        "checkpoint": run.checkpoint,
        "error": run.error,
    }


def run_result(run: runs.Run) -> dict[str, object]:
    """A run as the command that waited for it prints it: its metrics beside its number and state."""
    result: dict[str, object] = {"run": run.id, "state": run.state.value}
    if run.error is not None:
        result["error"] = run.error
    return {**(run.metrics or {}), **result, "checkpoint": run.checkpoint}


def _bars(*columns: ProgressColumn) -> Progress:
    # Without a terminal a transient bar would leave nothing but empty lines.
    return Progress(SpinnerColumn(), *columns, console=notes, transient=True, disable=not notes.is_terminal)


def counting(counts: Iterator[ImportCounts]) -> ImportCounts:
    """Follow an import to its end with a live count."""
    last: ImportCounts | None = None
    try:
        with _bars(TextColumn("{task.description}", markup=False), TimeElapsedColumn()) as bars:
            task = bars.add_task("reading")
            for last in counts:
                bars.update(task, description=f"read {last.read:,} pairs, {last.added:,} new")
    except KeyboardInterrupt:
        notes.print("tiebreak: interrupted; nothing was imported", style="red")
        raise
    if last is None:
        raise RunFailed("the import ended without a count")
    return last


def indexing(states: Iterator[IndexState]) -> None:
    """Follow the search index to its end; an interrupted one goes on at the next import."""
    with _bars(TextColumn("indexing words"), BarColumn(), TimeElapsedColumn()) as bars:
        task = bars.add_task("indexing", total=None)
        for state in states:
            bars.update(task, completed=state.done, total=state.total)


def follow(store: Store, run_id: int) -> runs.Run:
    """Wait for a run with its progress on standard error. Ctrl-C leaves it going."""
    try:
        return _follow(store, run_id)
    except KeyboardInterrupt:
        shown, stopped = (commands.command(store, verb, str(run_id)) for verb in ("show", "stop"))
        notes.print(f"run {run_id} goes on in the background: `{shown}`, `{stopped}`", markup=False, soft_wrap=True)
        raise


def _follow(store: Store, run_id: int) -> runs.Run:
    with _bars(TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[left]}")) as bars:
        task = bars.add_task(f"run {run_id}", total=None, left="")
        while True:
            run = wait_for(store, run_id)
            if is_over(run.state):
                return run
            total = None if run.progress is None else 1.0
            left = "" if run.seconds_left is None else f"{duration(run.seconds_left)} left"
            words = run.progress_text or run.state.value
            bars.update(task, description=f"run {run_id}: {words}", total=total, completed=run.progress or 0, left=left)
            time.sleep(POLL_SECONDS)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def where_words(run: runs.Run) -> str:
    """Where a run computes, such as `cuda:0` or `2 processes on cuda:0, cuda:1`."""
    places = ", ".join(dict.fromkeys(run.devices))
    return places if len(run.devices) == 1 else f"{len(run.devices)} processes on {places}"


def run_title(run: runs.Run) -> str:
    """A run in one line of a list."""
    value = (run.metrics.get("accuracy") or {}).get("value") if isinstance(run.metrics.get("accuracy"), dict) else None
    words = [run.kind.value, str(run.config.get("method") or "") if run.kind is RunKind.TRAIN else "", run.name or ""]
    end = run.state.value if value is None else percent(value)
    return f"{run.id} · {' '.join(word for word in words if word)} · {end}"


def comparison_words(compared: Mapping[str, Any]) -> str:
    """What a run is better or worse by than another, in a sentence; empty where no common pair is decided."""
    _, previous = compared["runs"]
    change, low, high = (compared[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
    if change is None:
        return ""
    points = f"{abs(100 * change):.1f} points {'more' if change > 0 else 'less'} accurate than run {previous}"
    if change == 0:
        points = f"exactly as accurate as run {previous}"
    within = "" if low is None else f" (95 % {100 * low:+.1f} to {100 * high:+.1f})"
    is_clear = low is not None and (low > 0 or high < 0)
    verdict = "" if is_clear or change == 0 else ": too few pairs to call it a difference"
    return f"On the same {counted(compared['num_pairs'], 'test pair')} {points}{within}{verdict}."


def compared_in_full(compared: Mapping[str, Any]) -> str:
    """The sentence of two runs, and under it what it rests on."""
    said = comparison_words(compared)
    first, second = compared["runs"]
    if not said:
        return f"Runs {first} and {second} have no test pair in common whose label by {compared['against']} is decided."
    low, high, p_value = (compared[key] for key in ("nll_low", "nll_high", "p_value"))
    within = "" if low is None else f" (95 % {low:+.3f} to {high:+.3f}; below 0, run {first} is better)"
    return (
        f"Run {first}, against {compared['against']}: {said}\n"
        f"  only run {first} is right on {compared['only_first']:,}, only run {second} on {compared['only_second']:,}"
        f"{'' if p_value is None else f' (McNemar p {p_value:.3f})'}; log loss {compared['nll']:+.3f}{within}"
    )


def runs_table(found: Sequence[runs.Run], names: Mapping[int, str]) -> list[dict[str, object]]:
    """Runs as a table for reading, in the given order; `names` of datasets by number."""
    return [
        {
            "run": run.id,
            "what": " ".join(
                filter(None, [run.kind.value, _method(run) if run.kind is RunKind.TRAIN else "", run.name])
            ),
            "state": run.state.value,
            "dataset": "" if run.dataset_id is None else names.get(run.dataset_id, ""),
            "accuracy": _accuracy(run),
            "begun": ago(run.started or run.created),
        }
        for run in found
    ]


def _method(run: runs.Run) -> str:
    return str(run.config.get("method") or "")


def _accuracy(run: runs.Run) -> str:
    found = run.metrics.get("accuracy")
    value = found.get("value") if isinstance(found, dict) else None
    return "" if value is None else percent(value)


def review_words(size: QueueSize, reviewed: Reviewed) -> str:
    """How far a reviewer is in a queue, and what their verdicts did so far."""
    done = f"{size.num_all - size.num_open:,} of {size.num_all:,} decided"
    if not reviewed.num_against_label:
        return done
    share = 100 * reviewed.num_changed / reviewed.num_against_label
    return f"{done} · you changed {share:.0f} % of the {counted(reviewed.num_against_label, 'label')} you judged"


def counted(count: int, noun: str) -> str:
    """Such as `1 verdict`, `2,000 verdicts`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def import_words(counts: ImportCounts, *, done: bool) -> str:
    """What an import did, or would do, in sentences; what there is none of is not said."""
    added = f"{counted(counts.added, 'pair')} {'added' if done else 'would be added'} to {counts.dataset}."
    said = [
        (counts.relabeled, f"{counts.relabeled:,} already there {'got' if done else 'would get'} another label."),
        (counts.duplicates, f"{counts.duplicates:,} already there, with the same label, change nothing."),
        (counts.identical, f"{counts.identical:,} with identical responses left out."),
        (counts.conflicts, f"On {counted(counts.conflicts, 'pair')} a labeler contradicts itself."),
        (counts.skipped, f"{counted(counts.skipped, 'row')} {'left out as unreadable' if done else 'cannot be used'}."),
    ]
    return " ".join([added, *(words for number, words in said if number)])


def refused_rows(counts: ImportCounts) -> list[dict[str, object]]:
    """The first row of each reason, and how many there are of it."""
    return [
        {"line": bad.first.line, "why it cannot be used": bad.first.reason, "rows of this kind": bad.count}
        for bad in counts.bad
    ]


def ago(when: float) -> str:
    seconds = time.time() - when
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return f"{counted(int(seconds // size), unit)} ago"
    return "just now"


def size(count: float) -> str:
    """Bytes as people read them: `812.0 KiB`, `3.4 GiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def number(value: object) -> str:
    return "-" if not isinstance(value, int | float) else f"{value:.3f}"


def percent(value: object) -> str:
    return "absent" if not isinstance(value, int | float) else f"{100 * value:.1f} %"


def measured(metrics: Mapping[str, object]) -> None:
    """The numbers of a run in four lines; an absent one is said to be absent."""
    accuracy = metrics.get("accuracy")
    if not isinstance(accuracy, dict):
        return
    longer = metrics.get("longer")
    longer_value = longer.get("value") if isinstance(longer, dict) else None
    where = f"accuracy on {metrics.get('part', 'test')} against {metrics.get('against')}"
    if not accuracy.get("num_decided"):
        say(f"{where}: absent, as no pair there has a decided label")
        return
    interval = f"95 % {percent(accuracy.get('low'))} to {percent(accuracy.get('high'))}"
    say(
        f"{where}: {percent(accuracy.get('value'))} "
        f"({interval if accuracy.get('low') is not None else 'no interval'}, {accuracy.get('num_decided')} pairs); "
        f"always the longer: {percent(longer_value)}"
    )
    others = metrics.get("also_against")
    for name, other in others.items() if isinstance(others, dict) else ():
        value = other.get("accuracy", {})
        say(f"  against {name}: {percent(value.get('value'))} ({value.get('num_decided')} pairs)")
    numbers = ((key, metrics.get(key)) for key in ("nll", "brier", "ece", "temperature"))
    say("  " + ", ".join(f"{key} {value:.3f}" for key, value in numbers if isinstance(value, int | float)))


def calibration_words(metrics: Mapping[str, Any]) -> str:
    """What a run's calibration on some pairs says, in one sentence; empty where nothing was measured."""
    gap, error, band = metrics.get("gap"), metrics.get("ece"), metrics.get("ece_null") or {}
    decided = (metrics.get("accuracy") or {}).get("num_decided", 0)
    if gap is None or error is None or band.get("high") is None:
        return ""
    if error <= band["high"]:
        return f"As far as {counted(decided, 'pair')} can tell, it is right as often as it is sure."
    if abs(gap) < error / 2:
        return "It is too sure of some pairs and too modest about others: see where the curve leaves the line."
    right = metrics["accuracy"]["value"]
    verdict = "too sure" if gap > 0 else "too modest"
    return f"It is {verdict}: on average it is {percent(right + gap)} sure and right on {percent(right)}."


def temperature_words(interval: Mapping[str, Any]) -> str:
    """What the interval of a temperature says about a model."""
    low, high = interval.get("low"), interval.get("high")
    if low is None or high is None:
        return "how certain it is, is not known"
    verdict = "it is too sure" if low > 1 else "it is too modest" if high < 1 else "1 would do as well"
    return f"{verdict}: {low:.2f} to {high:.2f}"


def temperature_note(metrics: Mapping[str, Any]) -> str:
    """What stands under a temperature: how to read it, or why there is none."""
    if metrics.get("temperature") is not None:
        return "1 is calibrated; above 1, too sure of itself"
    decided = ((metrics.get("valid") or {}).get("accuracy") or {}).get("num_decided")
    if decided is None:
        return "not fitted here"
    if decided < LEAST_DECIDED:
        return f"{counted(decided, 'decided valid pair')}; {LEAST_DECIDED} are needed to fit one"
    return "all rewards on valid are equal"


def speed_words(steps: pd.DataFrame) -> str:
    """How fast the last steps were and what became of their tokens; nothing where no step says so."""
    last = steps.dropna(subset=["pairs_per_second"]).tail(20)
    if last.empty:
        return ""
    words = [f" · {last['pairs_per_second'].mean():,.1f} pairs a second"]
    if last["tokens_per_second"].notna().any():
        words.append(f"{last['tokens_per_second'].mean():,.0f} tokens a second")
        words.append(f"{percent(last['shared'].mean())} of all tokens saved by sharing prompts")
        words.append(f"{percent(last['padding'].mean())} padding")
    return " · ".join(words)


def early_words(metrics: Mapping[str, Any]) -> str:
    """Where a training run stopped early and what it kept; empty where it did not."""
    if metrics.get("stopped_early_at") is None:
        return ""
    at, best = metrics["stopped_early_at"], metrics["best_step"]
    return f"Stopped early at step {at:,}: held-out NLL was lowest at step {best:,}, whose weights were kept."


def left_out_words(metrics: Mapping[str, Any]) -> str:
    """How many subsets are too small to be drawn; empty where none is, or nobody counted."""
    small = metrics.get("num_small_subsets") or 0
    return f"{counted(small, 'more subset')} with fewer than 5 decided pairs left out." if small else ""


def counts_object(counts: ImportCounts) -> dict[str, object]:
    return dataclasses.asdict(counts)
