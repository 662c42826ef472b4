"""Preflight: queue it, find the last one again, and tell whether it still holds. Knows neither Streamlit nor torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.config import TrainConfig, config_from
from core.findings import Finding, Level, Slice, by_level
from core.records import RunKind
from db import connect, datasets, labelers, runs, verdicts
from ui import actions
from ui.processes import Store, tend

# The settings that a check reads, beside the backbone.
_READ = ("max_tokens", "overflow", "targets", "ties", "method", "batch_pairs", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The newest preflight of a dataset, a labeler and a backbone.

    Attributes:
        findings: fails first; none while it goes on or where it failed.
        outdated: why it may not hold any more, in words; empty where it holds.
    """

    run: runs.Run
    findings: tuple[Finding, ...]
    outdated: str


def start_preflight(store: Store, *, dataset: str, labeler: str | None, settings: Mapping[str, object]) -> int:
    """Queue a look at a dataset with what `train` would be given; the run's number.

    A dataset without any label is looked at too. It needs no accelerator, so it never waits for one.
    """
    config = config_from(settings)
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        has_labels = bool(labelers.summaries(conn, found.id))
        chosen = labelers.resolve(conn, found.id, labeler) if has_labels or labeler is not None else None
    with connect.write(store.engine) as conn:
        run_id = runs.add(
            conn,
            kind=RunKind.PREFLIGHT,
            dataset_id=found.id,
            labeler=chosen,
            config=actions.settings_of(config),
            device="cpu",
        )
    tend(store)
    return run_id


def last_preflight(
    store: Store, *, dataset: str, labeler: str | None, settings: Mapping[str, object]
) -> Preflight | None:
    """None where there is none of this dataset, labeler and backbone."""
    config = config_from(settings)
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        mine = runs.of_dataset(conn, found.id, kind=RunKind.PREFLIGHT, labeler=labeler)
        run = next((one for one in mine if one.config.get("backbone") == config.backbone), None)
        if run is None:
            return None
        now = {"data_version": found.data_version, "newest_verdict": verdicts.newest_id(conn)}
    return Preflight(run=run, findings=findings_of(run), outdated=_outdated(run, config, now))


def findings_of(run: runs.Run) -> tuple[Finding, ...]:
    """What a finished preflight found, fails first."""
    stored = run.metrics.get("findings") or []
    made = [
        Finding(
            check=one["check"],
            level=Level(one["level"]),
            sentence=one["sentence"],
            what_to_do=one["what_to_do"],
            numbers=one["numbers"],
            slices=tuple(Slice(**inner) for inner in one["slices"]),
        )
        for one in stored
    ]
    return tuple(by_level(made))


def _outdated(run: runs.Run, config: TrainConfig, now: Mapping[str, int]) -> str:
    if not run.metrics.get("findings"):
        return ""
    reasons = []
    if run.metrics.get("data_version") != now["data_version"]:
        reasons.append("pairs or labels were imported since")
    if run.metrics.get("newest_verdict") != now["newest_verdict"]:
        reasons.append("verdicts were given since")
    settings = actions.settings_of(config)
    changed = [key for key in _READ if run.config.get(key) != settings[key]]
    if changed:
        reasons.append(f"it was made with other settings ({', '.join(changed)})")
    return "; ".join(reasons)


def sentence_of_fails(findings: tuple[Finding, ...]) -> str | None:
    """What stands in the way of training, in one sentence; None where nothing does."""
    fails = [one.check for one in findings if one.level is Level.FAIL]
    if not fails:
        return None
    counted, them = ("1 check", "it") if len(fails) == 1 else (f"{len(fails)} checks", "them")
    return f"preflight failed {counted} ({', '.join(fails)}); mend {them} before you train"
