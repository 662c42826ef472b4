"""Every measure of one set of rewards against one set of labels, bundled for a page or a JSON object."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.measure.accuracy import Accuracy, accuracy, always_the_first, always_the_longer
from core.measure.calibration import (
    Band,
    Bin,
    brier,
    ece,
    ece_null_band,
    nll,
    reliability,
    temperature_interval,
    too_sure_by,
)
from core.measure.json_ready import json_ready

LEAST_SUBSET = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    name: str
    accuracy: Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Measures with their uncertainty and baselines. Those named `calibrated_` are after the temperature.

    Attributes:
        temperature: fitted on other pairs.
        temperature_here: the temperatures that these pairs do not speak against; around 1 where calibration is right.
        gap: mean confidence less the share that is right; above 0: too sure.
        subsets: those with at least `LEAST_SUBSET` decided pairs; num_small_subsets counts the others.
    """

    num_pairs: int
    accuracy: Accuracy
    longer: Accuracy
    first: Accuracy
    nll: float
    brier: float
    ece: float
    ece_null: Band
    gap: float
    temperature: float
    temperature_here: Band
    calibrated_nll: float
    calibrated_ece: float
    reliability: tuple[Bin, ...]
    calibrated_reliability: tuple[Bin, ...]
    subsets: tuple[Subset, ...]
    num_small_subsets: int

    def to_dict(self) -> dict[str, object]:
        """JSON-ready; an absent number is None."""
        made = json_ready(dataclasses.asdict(self))
        assert isinstance(made, dict)  # a dataclass gives a dict
        return made


def evaluate(frame: pd.DataFrame, *, temperature: float | None) -> Evaluation:
    """Measure rewards against labels.

    Args:
        frame: columns margin, p_a, prompt, length_a, length_b, a_first (1, 0 or nan), subset (or None); one row a pair.
        temperature: fitted on other pairs; None where there were too few.
    """
    margin, p_a = frame["margin"].to_numpy(np.float64), frame["p_a"].to_numpy(np.float64)
    prompt = frame["prompt"].to_numpy()
    known = temperature is not None and math.isfinite(temperature)
    scale = float(temperature) if known and temperature is not None else 1.0
    bins = reliability(margin, p_a)
    subsets = _subsets(frame)
    first = pd.to_numeric(frame["a_first"], errors="coerce").to_numpy(np.float64)
    return Evaluation(
        num_pairs=len(frame),
        accuracy=accuracy(margin, p_a, prompt=prompt),
        longer=always_the_longer(frame["length_a"].to_numpy(), frame["length_b"].to_numpy(), p_a, prompt=prompt),
        first=always_the_first(first, p_a, prompt=prompt),
        nll=nll(margin, p_a),
        brier=brier(margin, p_a),
        ece=ece(margin, p_a),
        ece_null=ece_null_band(margin, p_a),
        gap=too_sure_by(bins),
        temperature=scale if known else float("nan"),
        temperature_here=temperature_interval(margin, p_a),
        calibrated_nll=nll(margin, p_a, temperature=scale) if known else float("nan"),
        calibrated_ece=ece(margin, p_a, temperature=scale) if known else float("nan"),
        reliability=tuple(bins),
        calibrated_reliability=tuple(reliability(margin, p_a, temperature=scale)) if known else (),
        subsets=subsets,
        num_small_subsets=int(frame["subset"].nunique()) - len(subsets),
    )


def _subsets(frame: pd.DataFrame) -> tuple[Subset, ...]:
    named = frame[frame["subset"].notna()]
    found = []
    for name, rows in named.groupby("subset", sort=True):
        measured = accuracy(
            rows["margin"].to_numpy(np.float64), rows["p_a"].to_numpy(np.float64), prompt=rows["prompt"].to_numpy()
        )
        if measured.num_decided >= LEAST_SUBSET:
            found.append(Subset(name=str(name), accuracy=measured))
    return tuple(found)
