"""A run's held-out rewards against what labelers and people said: joins the store and `core.measure`, once."""

import time

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from core.measure import calibration
from core.measure.evaluation import evaluate
from core.records import Decision, Kind, Part, Reward, SnapshotPair
from db import connect, datasets, evaluations, labelers, labels, rewards, runs, verdicts
from ui.processes import Store

# What became of a snapshot's pairs (`core.engine.prepare.Counts`), as the model card and the Runs page list it.
COUNTED = (
    "num_train",
    "num_valid",
    "num_test",
    "ties",
    "ties_left_out",
    "leaking",
    "repeated_responses",
    "trimmed",
    "dropped",
    "same_after_trimming",
)
_P_A = {Decision.A: 1.0, Decision.B: 0.0, Decision.TIE: 0.5}


def temperature_of(scored: list[Reward], valid: list[SnapshotPair]) -> float | None:
    """The temperature that minimises NLL on valid; None with too few decided pairs to tell."""
    margins = {reward.pair_id: reward.margin for reward in scored}
    kept = [pair for pair in valid if pair.pair_id in margins]
    margin = np.array([margins[pair.pair_id] for pair in kept], dtype=np.float64)
    fitted = calibration.fit_temperature(margin, np.array([pair.p_a for pair in kept], dtype=np.float64))
    return None if np.isnan(fitted) else float(fitted)


def measure_run(store: Store, run: runs.Run, *, temperature: float | None) -> dict[str, object]:
    """Valid and test against the run's labeler, people's labels and verdicts; test's own numbers on top."""
    if run.dataset_id is None:
        return {}
    own = str(run.labeler)
    valid = _measure_all(store, run, run.dataset_id, Part.VALID, own, temperature)
    test = _measure_all(store, run, run.dataset_id, Part.TEST, own, temperature)
    top = test.pop(own, {})
    return {**top, "part": Part.TEST.value, "against": own, "valid": valid.get(own, {}), "also_against": test}


def measure_part(
    store: Store, run: runs.Run, *, dataset_id: int, part: Part | None, against: str | None
) -> dict[str, object]:
    """One part (or all pairs) of a dataset against a labeler; by default the one that the run trained on."""
    own = against or str(run.labeler)
    stored = (run.metrics or {}).get("temperature")
    temperature = float(stored) if isinstance(stored, int | float) else None
    measured = _measure_all(store, run, dataset_id, part, own, temperature)
    top = measured.pop(own, {})
    return {**top, "part": "all" if part is None else part.value, "against": own, "also_against": measured}


def _measure_all(
    store: Store, run: runs.Run, dataset_id: int, part: Part | None, own: str, temperature: float | None
) -> dict[str, dict[str, object]]:
    with connect.read(store.engine) as conn:
        scored = rewards.frame(conn, run.id, dataset_id=dataset_id, part=part)
        targets = {own: labels.frame(conn, labeler=own, dataset_id=dataset_id)[["pair_id", "p_a"]]}
        kinds = {labeler.kind for labeler in labelers.summaries(conn, dataset_id)}
        if own != labelers.PEOPLE and Kind.HUMAN in kinds:
            targets[labelers.PEOPLE] = labels.frame(conn, labeler=labelers.PEOPLE, dataset_id=dataset_id)[
                ["pair_id", "p_a"]
            ]
        targets[labelers.VERDICTS] = _verdict_targets(conn, dataset_id)
    measured = {}
    for name, target in targets.items():
        frame = scored.merge(target, on="pair_id")
        if frame.empty and name != own:
            continue
        measured[name] = evaluate(_as_measured(frame), temperature=temperature).to_dict()
    with connect.write(store.engine) as conn:
        for name, metrics in measured.items():
            stored = evaluations.StoredEvaluation(
                run_id=run.id, dataset_id=dataset_id, part=part, against=name, metrics=metrics, created=time.time()
            )
            evaluations.add(conn, stored)
    return measured


def _as_measured(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pair_id": frame["pair_id"],
            "margin": frame["reward_a"] - frame["reward_b"],
            "p_a": frame["p_a"],
            "prompt": frame["prompt_hash"],
            "length_a": frame["length_a"],
            "length_b": frame["length_b"],
            "a_first": None,  # imported votes seldom say what stood first; the report card of a labeler does
            "subset": frame["subset"],
        }
    )


def _verdict_targets(conn: Connection, dataset_id: int) -> pd.DataFrame:
    decided = verdicts.effective(conn, dataset_id=dataset_id)
    rows = [(pair_id, _P_A[decision]) for pair_id, decision in decided.items() if decision in _P_A]
    return pd.DataFrame(rows, columns=["pair_id", "p_a"])


def card(store: Store, run: runs.Run, metrics: dict[str, object]) -> str:
    """The model card's text: what it was trained on, how, and how far to trust it."""
    with connect.read(store.engine) as conn:
        name = "?" if run.dataset_id is None else datasets.named(conn, run.dataset_id)
    accuracy = metrics.get("accuracy")
    lines = [
        "# Preference model",
        "",
        f"Trained by Tiebreak (run {run.id}) on dataset `{name}`, labeler `{run.labeler}`.",
        "The reward is a logit without unit: only differences between responses to one prompt mean anything.",
        "",
        f"Held-out test accuracy: {_percent(accuracy, 'value')} "
        f"(95 % interval {_percent(accuracy, 'low')} to {_percent(accuracy, 'high')}), "
        f"always the longer: {_percent(metrics.get('longer'), 'value')}.",
        "",
        "Pairs:",
        "",
        *(f"- {name.removeprefix('num_').replace('_', ' ')}: {metrics[name]:,}" for name in COUNTED if name in metrics),
        "",
        "Settings:",
        "",
        *(f"- {key}: {value}" for key, value in sorted(run.config.items())),
        "",
    ]
    return "\n".join(lines)


def _percent(measured: object, key: str) -> str:
    value = measured.get(key) if isinstance(measured, dict) else None
    return "absent" if value is None else f"{100 * float(value):.1f} %"
