"""The command line: the same verbs as the app. Exit 0 ok, 1 the user's mistake in one sentence, 2 usage."""

# ruff: noqa: FBT002, PLR0917 - typer reads options from the signature; nobody calls these functions by position.

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from core.config import Method, config_from, config_from_toml
from core.errors import BadConfig, NotFound, RunFailed, TiebreakError
from core.formats import check_readable
from core.records import Kind, Part, RunKind, RunState
from db import connect, datasets, labelers, prices, runs
from ui import (
    actions,
    backbones,
    checks,
    commands,
    demo_run,
    doctor,
    files,
    labeling,
    report,
    review,
    show,
    show_labels,
)
from ui.processes import Store, is_over, open_store, tend

INTERRUPTED = 130  # as a shell says of Ctrl-C


class OneSentence(TyperGroup):
    """What the user can mend is one sentence on standard error and exit 1; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TiebreakError as mistake:
            show.notes.print(f"tiebreak: {mistake}", style="red", markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=OneSentence,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a preference model from pairs that an AI has labeled, and find the labels that are wrong.",
)
_store_option: list[str | None] = [None]

RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="A run's number.")]
DatasetOption = Annotated[str, typer.Option("--dataset", help="The dataset's name.")]
LabelerOption = Annotated[str | None, typer.Option("--labeler", help="A labeler's name, or people, or ai.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def choose_store(
    store: Annotated[str | None, typer.Option("--store", help="SQLite path or database URL.")] = None,
) -> None:
    """Every command works on one store: --store, else TIEBREAK_STORE, else .tiebreak/store.db."""
    _store_option[0] = store


def _open() -> Store:
    store = open_store(_store_option[0])
    show.notes.print(f"store: {connect.shown(store.url)}", style="dim", markup=False, soft_wrap=True)
    tend(store)
    return store


@app.command("import")
def import_(  # noqa: PLR0913 - one parameter for each option
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL, JSON, CSV or Parquet; .gz is read as it is.")],
    dataset: Annotated[str | None, typer.Option(help="Its name; left out: the file's.")] = None,
    labeler: Annotated[str, typer.Option(help="Names the labeler of a layout that names none.")] = "imported",
    kind: Annotated[Kind, typer.Option(help="Who that labeler is.")] = Kind.AI,
    format_: Annotated[str | None, typer.Option("--format", help="The layout; left out: detected.")] = None,
    map_: Annotated[str, typer.Option("--map", help="prompt=col,response_chosen=col,...")] = "",
    split: Annotated[Part | None, typer.Option(help="Declare every pair of the file to be of one part.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out and count them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Read a file of pairs into a dataset: all of it or nothing."""
    options = files.read_options(format_=format_, mapping=map_, labeler=labeler, kind=kind)
    store = _open()
    counts = show.counting(
        files.import_file(
            store,
            file,
            dataset=files.name_of(file) if dataset is None else dataset,
            options=options,
            split=split,
            skip_bad=skip_bad,
            dry_run=dry_run,
        )
    )
    show.indexing(files.index_words(store))
    if json:
        show.as_json(show.counts_object(counts))
        return
    show.say(f"{show.counted(counts.read, 'pair')} read. {show.import_words(counts, done=not dry_run)}")


@app.command()
def label(  # noqa: PLR0913 - one parameter for each option
    dataset: DatasetOption,
    labeler: Annotated[
        str, typer.Option(help="source:model, as openai:gpt-4.1-mini, rule:longest, or simulated.", metavar="NAME")
    ],
    constitution: Annotated[Path | None, typer.Option(help="A YAML file of principles; left out: the default.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value of the labeler; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many pairs, the first ones.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Ask nothing more beyond so many US dollars.")] = None,
    in_flight: Annotated[int, typer.Option(help="Requests at a time.")] = labeling.DEFAULT_IN_FLIGHT,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again what ended without a verdict before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show a request and the cost; ask nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait.")] = False,
    json: JsonOption = False,
) -> None:
    """Let an AI label a dataset's pairs under a constitution, each in both orders; go on where it was stopped."""
    wish = labeling.asked(
        dataset=dataset,
        labeler=labeler,
        constitution=constitution,
        settings=_settings(set_ or []),
        limit=limit,
        max_cost=max_cost,
        in_flight=in_flight,
        retry=retry,
    )
    store = _open()
    if dry_run:
        foreseen = labeling.forecast(store, wish)
        show.as_json(show_labels.forecast_object(foreseen)) if json else show_labels.forecast(foreseen)
        return
    run_id = labeling.start_labels(store, wish)
    if detach:
        run = actions.wait_for(store, run_id)
        show.as_json(show.run_result(run)) if json else show.say(f"run {run_id} is {run.state}")
        return
    run = _finished(store, run_id, json=json)
    if not json:
        show.say(show_labels.labeled_words(run))


@app.command("prices")
def prices_(
    model: Annotated[str | None, typer.Argument(help="Left out: all that are known.")] = None,
    in_: Annotated[float | None, typer.Option("--in", help="US dollars for a million tokens that go in.")] = None,
    out: Annotated[float | None, typer.Option("--out", help="The same for those that come out.")] = None,
    cached: Annotated[float | None, typer.Option(help="For cached ones; left out: as --in.")] = None,
    json: JsonOption = False,
) -> None:
    """What a model's calls cost. Tiebreak ships no prices: look yours up, and it keeps the day."""
    store = _open()
    if model is not None:
        if in_ is None or out is None:
            raise BadConfig(f"the price of {model} needs --in and --out, US dollars for a million tokens")
        labeling.set_price(store, model, tokens_in=in_, tokens_out=out, tokens_cached=cached)
    with connect.read(store.engine) as conn:
        rows = [dataclasses.asdict(price) for price in prices.all(conn)]
    show.as_json(rows) if json else show.table("prices, US dollars for a million tokens", rows)


@app.command()
def preflight(  # noqa: PLR0913 - one parameter for each option
    dataset: DatasetOption,
    labeler: LabelerOption = None,
    backbone: Annotated[str | None, typer.Option(help="minilm (default), a hub id or a local folder.")] = None,
    method: Annotated[Method | None, typer.Option(help="probe (default), lora or full.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longer pairs are trimmed.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated.")] = None,
    json: JsonOption = False,
) -> None:
    """Look for what would go wrong in training: tokens, template, trimming, labels, split. Exit 1 if a check fails."""
    settings = training_settings(config, backbone=backbone, method=method, texts=set_ or [])
    settings |= {} if max_tokens is None else {"max_tokens": max_tokens}
    config_from(settings)  # a wrong key is said before a store is opened
    store = _open()
    run_id = checks.start_preflight(store, dataset=dataset, labeler=labeler, settings=settings)
    run = _finished(store, run_id, json=json)
    found = checks.findings_of(run)
    if not json:
        show.findings(found)
    if fails := checks.sentence_of_fails(found):
        raise RunFailed(fails)


@app.command()
def train(  # noqa: PLR0913 - one parameter for each option
    dataset: DatasetOption,
    labeler: LabelerOption = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="minilm (default), a hub id or a local folder; repeated: a probe of each, compared."),
    ] = None,
    policy_size: Annotated[
        str | None, typer.Option(help="Parameters of your policy, such as 8B, beside several backbones.")
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="probe (default): seconds; lora and full: train the backbone.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a preference model, evaluate it on valid and test, publish a proven checkpoint."""
    named = list(dict.fromkeys(backbone or []))
    policy = None if policy_size is None else backbones.policy_size(policy_size)
    settings = training_settings(config, backbone=named[0] if named else None, method=method, texts=set_ or [])
    if len(named) > 1:
        if settings["backbone"] != named[0]:
            raise BadConfig("--set backbone=... and several --backbone contradict each other; leave one of them out")
        each = backbones.settings_for_each(settings, named)
        store = _open()
        run_ids = backbones.start(store, dataset=dataset, labeler=labeler, each=each, name=name)
        _compare_backbones(store, run_ids, policy=policy, detach=detach, json=json)
        return
    if policy is not None:
        raise BadConfig("--policy-size stands beside several backbones; name at least two, each with --backbone")
    config_from(settings)  # a wrong key is said before a store is opened
    store = _open()
    run_id = actions.start_training(store, dataset=dataset, labeler=labeler, settings=settings, name=name)
    if detach:
        run = actions.wait_for(store, run_id)
        show.as_json(show.run_result(run)) if json else show.say(f"run {run_id} is {run.state}")
        return
    run = _finished(store, run_id, json=json)
    if not json:
        show.say(f"run {run_id} {run.state}: checkpoint {run.checkpoint}")
        if early := show.early_words(run.metrics):
            show.say(early)
        show.measured(run.metrics or {})


def _compare_backbones(store: Store, run_ids: Sequence[int], *, policy: int | None, detach: bool, json: bool) -> None:
    """Wait for all, whatever becomes of each; exit 1 if none has an answer."""
    for run_id in run_ids:
        run = actions.wait_for(store, run_id) if detach else show.follow(store, run_id)
        if run.state is RunState.FAILED:
            _say_failed(run)
    found = backbones.compared(store, run_ids, policy=policy)
    if json:
        show.as_json(found)
    else:
        show.table(backbones.title(found), backbones.table(found))
    if said := backbones.snapshots_words(found):
        show.notes.print(said, markup=False, soft_wrap=True)
    if backbones.all_failed(found):
        raise typer.Exit(1)


def _say_failed(run: runs.Run) -> None:
    show.notes.print(f"tiebreak: run {run.id} failed: {run.error}", style="red", markup=False, soft_wrap=True)


def training_settings(
    file: Path | None, *, backbone: str | None, method: Method | None, texts: Sequence[str]
) -> dict[str, object]:
    """What a user set, unchecked: the file's settings under the options given, under `--set`."""
    settings: dict[str, object] = {} if file is None else config_from_toml(file)
    given = {"backbone": backbone, "method": None if method is None else method.value}
    return settings | {key: value for key, value in given.items() if value is not None} | _settings(texts)


def _settings(texts: Sequence[str]) -> dict[str, object]:
    for text in texts:
        if "=" not in text:
            raise BadConfig(f"--set takes key=value, got {text!r}")
    return {key.strip(): value.strip() for key, value in (text.split("=", 1) for text in texts)}


def _finished(store: Store, run_id: int, *, json: bool) -> runs.Run:
    """Wait; a failed run is exit 1 with its sentence (and its object on standard output under --json)."""
    run = show.follow(store, run_id)
    if json:
        show.as_json(show.run_result(run))
    if run.state is RunState.FAILED:
        _say_failed(run)
        raise typer.Exit(1)
    return run


@app.command()
def evaluate(
    run: RunArgument,
    dataset: Annotated[str | None, typer.Option(help="Left out: the one trained on.")] = None,
    split: Annotated[str, typer.Option(help="train, valid, test or all.")] = "test",
    against: Annotated[str | None, typer.Option(help="A labeler; left out: the one trained on.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure a run on pairs: accuracy, calibration, baselines, each with its uncertainty."""
    if split not in {*Part, "all"}:
        raise BadConfig(f"--split must be train, valid, test or all, got {split!r}")
    store = _open()
    with connect.read(store.engine) as conn:
        parent = actions.checkpoint_of(runs.get(conn, run))
        chosen = dataset or next((d.name for d in datasets.all(conn) if d.id == parent.dataset_id), None)
        if chosen is None:
            raise NotFound(f"the dataset that run {run} trained on is removed; name one with --dataset")
        against = labelers.resolve(conn, datasets.get(conn, chosen).id, against or parent.labeler)
    settings = {"part": split, "against": against}
    run_id = actions.start_work_on(store, RunKind.EVALUATE, parent=run, dataset=chosen, settings=settings)
    finished = _finished(store, run_id, json=json)
    if not json:
        show.measured(finished.metrics or {})


@app.command()
def score(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Pairs, or {id, prompt, response} lines.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The JSONL file to write.")],
    json: JsonOption = False,
) -> None:
    """Write the rewards of a file's responses, in its order, under its ids."""
    check_readable(file)
    store = _open()
    settings = {"file": str(file.resolve()), "out": str(out.resolve())}
    run_id = actions.start_work_on(store, RunKind.SCORE, parent=run, dataset=None, settings=settings)
    finished = _finished(store, run_id, json=json)
    if not json:
        show.say(f"{(finished.metrics or {}).get('rows'):,} rows written to {out}")


@app.command()
def triage(
    dataset: DatasetOption,
    labeler: LabelerOption = None,
    run: Annotated[int | None, typer.Option(help="Margins of this run; left out: the newest crossfit.")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only the most doubtful.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The JSONL file to write.")] = None,
    json: JsonOption = False,
) -> None:
    """Rank the labels by doubt, the most doubtful first."""
    if out is not None:
        files.check_writable(out)
    store = _open()
    if run is None and review.crossfit_is_stale(store, dataset=dataset, labeler=labeler):
        fitted = show.follow(store, actions.start_crossfit(store, dataset=dataset, labeler=labeler))
        if fitted.state is RunState.FAILED:
            raise TiebreakError(f"run {fitted.id} failed: {fitted.error}")
    ranked = review.triage(store, dataset=dataset, labeler=labeler, run_id=run)
    rows = list(review.triage_rows(ranked, limit=top))
    if out is not None:
        files.write_lines(out, rows)
    if json:
        show.as_json(
            {"dataset": dataset, "labeler": ranked.labeler, "run": ranked.run and ranked.run.id, "pairs": rows}
        )
        return
    shown = [{key: row[key] for key in ("rank", "id", "doubt", "bucket", "side", "margin")} for row in rows[:20]]
    show.table(f"most doubtful of {len(ranked.frame):,} labels by {ranked.labeler}", [_rounded(row) for row in shown])
    if out is not None:
        show.say(f"{len(rows):,} pairs written to {out}")


def _rounded(row: Mapping[str, object]) -> dict[str, object]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


@app.command()
def compare(first: RunArgument, second: RunArgument, json: JsonOption = False) -> None:
    """Two runs on the test pairs that both scored and neither trained on."""
    compared = actions.compare_runs(_open(), first, second)
    if json:
        show.as_json(compared)
        return
    show.say(show.compared_in_full(compared))


@app.command("runs")
def runs_(json: JsonOption = False) -> None:
    """All runs, the newest first."""
    store = _open()
    with connect.read(store.engine) as conn:
        found = runs.all(conn)
    if json:
        show.as_json([show.run_object(run) for run in found])
        return
    show.table("runs", [_run_line(run) for run in found])


def _run_line(run: runs.Run) -> dict[str, object]:
    accuracy = (run.metrics or {}).get("accuracy")
    value = accuracy.get("value") if isinstance(accuracy, dict) else None
    return {
        "run": run.id,
        "kind": run.kind.value,
        "state": run.state.value,
        "name": run.name,
        "labeler": run.labeler,
        "method": run.config.get("method") if run.kind is RunKind.TRAIN else None,
        "accuracy": None if value is None else show.percent(value),
        "error": run.error,
    }


@app.command("show")
def show_(run: RunArgument, json: JsonOption = False) -> None:
    """One run: its state, progress, numbers, checkpoint or error."""
    store = _open()
    found = actions.wait_for(store, run)
    if json:
        show.as_json(show.run_object(found))
        return
    shown = {key: value for key, value in show.run_object(found).items() if key not in {"config", "metrics"}}
    show.table(f"run {run}", [{"what": key, "value": value} for key, value in shown.items() if value is not None])
    show.measured(found.metrics or {})


@app.command()
def stop(run: RunArgument, json: JsonOption = False) -> None:
    """Stop a run and keep its best checkpoint; a queued run is withdrawn."""
    stopped = actions.stop_run(_open(), run)
    if json:
        show.as_json(show.run_object(stopped))
        return
    show.say(f"run {run} is {stopped.state}" + ("" if is_over(stopped.state) else "; it keeps its best checkpoint"))


@app.command()
def resume(
    run: RunArgument,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait.")] = False,
    json: JsonOption = False,
) -> None:
    """Go on with a training run that was killed or stopped, from what it kept."""
    store = _open()
    queued = actions.resume_run(store, run)
    if detach:
        show.as_json(show.run_result(queued)) if json else show.say(f"run {run} is {queued.state}")
        return
    finished = _finished(store, run, json=json)
    if not json:
        show.say(f"run {run} {finished.state}: checkpoint {finished.checkpoint}")
        show.measured(finished.metrics or {})


@app.command("datasets")
def datasets_(json: JsonOption = False) -> None:
    """What is in the store."""
    store = _open()
    with connect.read(store.engine) as conn:
        rows = [{"name": d.name, "pairs": d.num_pairs} for d in datasets.all(conn)]
    show.as_json(rows) if json else show.table("datasets", rows)


@app.command("labelers")
def labelers_(
    dataset: Annotated[str | None, typer.Option(help="Only those of one dataset.")] = None, json: JsonOption = False
) -> None:
    """Who labeled how many pairs, the most frequent first."""
    store = _open()
    with connect.read(store.engine) as conn:
        dataset_id = None if dataset is None else datasets.get(conn, dataset).id
        rows: list[dict[str, object]] = [
            {"name": found.name, "kind": found.kind.value, "version": found.version, "labels": found.num_labels}
            for found in labelers.summaries(conn, dataset_id)
        ]
    show.as_json(rows) if json else show.table("labelers", rows)


@app.command("report")
def report_(dataset: DatasetOption, labeler: LabelerOption = None, json: JsonOption = False) -> None:
    """How far to trust a labeler: what the shown order does, what it prefers, whether others agree."""
    found = report.report(_open(), dataset=dataset, labeler=labeler)
    show.as_json(found.to_dict()) if json else show_labels.report(found)


@app.command()
def remove(
    dataset: DatasetOption,
    purge: Annotated[bool, typer.Option("--purge", help="Erase text that no other dataset holds.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Bring a removed dataset back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Hide a dataset; snapshots and runs keep what they froze. --undo shows it, --purge erases its text for good."""
    if undo and purge:
        raise BadConfig("--undo cannot go with --purge: what is purged is gone; give one of them")
    store = _open()
    if undo:
        files.restore_dataset(store, dataset)
        show.as_json({"dataset": dataset, "removed": False}) if json else show.say(f"{dataset} is back")
        return
    erased = files.count_purge(store, dataset) if purge else 0
    if purge and not yes:
        typer.confirm(f"Erase the text of {erased:,} pairs that no other dataset holds?", abort=True, err=True)
    files.remove_dataset(store, dataset, purge=purge)
    if json:
        show.as_json({"dataset": dataset, "purged": erased})
        return
    back = f"`{commands.command(store, 'remove', '--dataset', dataset, '--undo')}` brings it back"
    end = f"text of {erased:,} pairs erased" if purge else back
    show.say(f"{dataset} removed; {end}")


@app.command()
def export(
    run: RunArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge an adapter, in float32: needs no backbone.")] = False,
    json: JsonOption = False,
) -> None:
    """Copy a proven checkpoint to a folder that a public library loads."""
    store = _open()
    settings = {"directory": str(directory.resolve()), "merge": merge}
    run_id = actions.start_work_on(store, RunKind.EXPORT, parent=run, dataset=None, settings=settings)
    exported = _finished(store, run_id, json=json)
    if not json:
        show.say(f"exported to {directory}{_what_merging_did(exported)}")


def _what_merging_did(exported: runs.Run) -> str:
    if not exported.config["merge"]:
        return ""
    return ", its adapter merged" if (exported.metrics or {})["merged"] else "; its weights were merged already"


@app.command("export-data")
def export_data(
    dataset: DatasetOption,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSONL file to write.")],
    json: JsonOption = False,
) -> None:
    """Write a dataset with its labels and verdicts in the layout of pairs."""
    count = files.export_data(_open(), dataset=dataset, path=file)
    show.as_json({"dataset": dataset, "rows": count}) if json else show.say(f"{count:,} pairs written to {file}")


@app.command("clear-cache")
def clear_cache(json: JsonOption = False) -> None:
    """Remove cached tokens and features; the next run computes them again."""
    freed = files.clear_cache(_open())
    show.as_json({"freed_bytes": freed}) if json else show.say(f"{show.size(freed)} removed")


@app.command("app")
def app_(
    port: Annotated[int, typer.Option(help="The port to listen on, on this machine only.")] = 8501,
) -> None:
    """Open the app in a browser."""
    store = _open()
    raise typer.Exit(demo_run.open_app(store, port=port))


@app.command()
def demo(
    no_app: Annotated[bool, typer.Option("--no-app", help="Stop before the app.")] = False,
    port: Annotated[int, typer.Option(help="The app's port.")] = 8501,
) -> None:
    """The whole loop on the shipped demo pairs: import, train, evaluate, triage, open the app."""
    store = _open()
    demo_run.run_loop(store)
    if not no_app:
        raise typer.Exit(demo_run.open_app(store, port=port))


@app.command("doctor")
def doctor_(json: JsonOption = False) -> None:
    """Look at versions, devices, the store, the backbone and the disk."""
    checks = doctor.examine(_store_option[0])
    if json:
        show.as_json({check.name: {"ok": check.ok, "value": check.value} for check in checks})
    else:
        show.table("doctor", [{"check": c.name, "ok": "yes" if c.ok else "NO", "value": c.value} for c in checks])
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line. `--store` may stand anywhere, before or after the command."""
    app(_store_first(sys.argv[1:]), prog_name="tiebreak")


def _store_first(arguments: Sequence[str]) -> list[str]:
    """Move `--store X` to the front, where the option is declared."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--store":
            front += [argument, *[value for value in [next(waiting, None)] if value is not None]]
        elif argument.startswith("--store="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


if __name__ == "__main__":
    main()
