"""Which backbone? One probe each on the same pairs, and what it would take to train it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.config import Method, config_from
from core.errors import BadConfig
from core.records import RunState
from db import connect, runs
from ui import actions, show
from ui.processes import Store

_UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}


def policy_size(text: str) -> int:
    """Parameters of a policy, of words such as 600M, 1.5B or 8B."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MBT])", text.strip(), re.ASCII | re.IGNORECASE)
    size = round(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not 0 < size <= 100 * _UNITS["T"]:
        raise BadConfig(f"--policy-size must be a number of parameters such as 600M, 1.5B or 8B, got {text!r}")
    return size


def settings_for_each(settings: Mapping[str, object], backbones: Sequence[str]) -> list[Mapping[str, object]]:
    """The settings of one probe per backbone, each backbone once; `settings` are the user's other ones."""
    each: list[Mapping[str, object]] = [{**settings, "backbone": backbone} for backbone in dict.fromkeys(backbones)]
    for config in map(config_from, each):
        if config.method is not Method.PROBE:
            raise BadConfig(
                f"several backbones are compared by method probe, got {config.method}; for that, name one --backbone"
            )
    return each


def start(
    store: Store, *, dataset: str, labeler: str | None, each: Sequence[Mapping[str, object]], name: str | None
) -> list[int]:
    """Queue all of them before the first can end: a probe that has one beside it also says what training would take."""
    return [
        actions.start_training(store, dataset=dataset, labeler=labeler, settings=settings, name=name)
        for settings in each
    ]


def compared(store: Store, run_ids: Sequence[int], *, policy: int | None) -> dict[str, object]:
    """What `train` with several backbones prints with --json, the most accurate first."""
    with connect.read(store.engine) as conn:
        rows = [_row(runs.get(conn, run_id), policy=policy) for run_id in run_ids]
    rows.sort(key=lambda row: -1.0 if row["accuracy"] is None else row["accuracy"]["value"], reverse=True)
    return {"backbones": rows, "policy_size": policy}


def _row(run: runs.Run, *, policy: int | None) -> dict[str, Any]:
    facts = run.metrics.get("backbone_facts") or dict.fromkeys(("parameters", "context", "licence", "lora", "full"))
    accuracy = run.metrics.get("accuracy") or {}
    return {
        "backbone": run.config["backbone"],
        "run": run.id,
        "state": run.state.value,
        "snapshot": run.snapshot_id,
        "accuracy": None if accuracy.get("value") is None else accuracy,
        **facts,
        "share_of_policy": facts["parameters"] / policy if policy and facts["parameters"] else None,
        "error": run.error,
    }


def table(found: Mapping[str, Any]) -> list[dict[str, object]]:
    """The same for reading."""
    policy = found["policy_size"]
    return [
        {
            "backbone": row["backbone"],
            "run": row["run"],
            "state": row["state"],
            "accuracy": _interval(row["accuracy"]),
            "parameters": _short(row["parameters"]),
            **({"of policy": _share(row["share_of_policy"])} if policy else {}),
            "context": row["context"],
            "licence": row["licence"],
            "lora": _cost(row["lora"]),
            "full": _cost(row["full"]),
        }
        for row in found["backbones"]
    ]


def title(found: Mapping[str, Any]) -> str:
    policy = found["policy_size"]
    return "backbones, the most accurate first" + ("" if policy is None else f", beside a policy of {_short(policy)}")


def snapshots_words(found: Mapping[str, Any]) -> str:
    """Which pairs the accuracies are of, and whether they are the same ones."""
    numbers = sorted({row["snapshot"] for row in found["backbones"] if row["snapshot"] is not None})
    if len(numbers) < 2:
        return "".join(f"all on snapshot {number}" for number in numbers)
    listed = ", ".join(map(str, numbers))
    return f"snapshots {listed} differ, as labels or verdicts changed meanwhile: the accuracies are of other pairs"


def all_failed(found: Mapping[str, Any]) -> bool:
    return all(row["state"] == RunState.FAILED for row in found["backbones"])


def _interval(accuracy: Mapping[str, Any] | None) -> str | None:
    if accuracy is None:
        return None
    low, high = accuracy.get("low"), accuracy.get("high")
    within = "" if low is None or high is None else f"\n{100 * low:.1f} to {100 * high:.1f}"
    return show.percent(accuracy["value"]) + within


def _short(parameters: int | None) -> str | None:
    """Such as 22.7M or 8B."""
    if parameters is None:
        return None
    unit = next((unit for unit in ("T", "B", "M") if parameters >= _UNITS[unit]), None)
    return f"{parameters:,}" if unit is None else f"{parameters / _UNITS[unit]:.3g}{unit}"


def _share(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.2g} %"


def _cost(cost: Mapping[str, float] | None) -> str | None:
    if cost is None:
        return None
    minutes = "under 1" if cost["minutes"] < 1 else f"{cost['minutes']:,.0f}"
    return f"{minutes} min\n{show.size(cost['memory'])}"
