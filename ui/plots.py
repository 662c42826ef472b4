"""Every figure of the app. One colour means one thing: see the names below."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from core.measure.agreement import Agreement, Estimate
from core.measure.report_card import LengthBin

MODEL = "#4C6EF5"  # the model, and train; 4.1 : 1 and more on the light and on the dark background
HELD_OUT = "#E8590C"  # held-out pairs, and the labeler
CALIBRATED = "#2B8A3E"  # after the temperature, and people
BASELINE = "#868E96"  # reference lines
HEIGHT = 320
LEAST_LOSS_RANGE = 0.01  # nats
_FADED = 0.25
_SMOOTHING = 0.9


def loss_curve(steps: pd.DataFrame) -> go.Figure:
    """Loss of each step with its running mean, NLL on held-out pairs, and the best step."""
    figure = _empty("step", "loss, nats")
    raw = steps[steps["loss"].notna()]
    figure.add_scatter(
        x=raw["step"], y=raw["loss"], mode="lines", opacity=_FADED, line_color=MODEL, showlegend=False, name="each step"
    )
    smooth = raw["loss"].ewm(alpha=1 - _SMOOTHING).mean()
    figure.add_scatter(x=raw["step"], y=smooth, mode="lines", line_color=MODEL, name="train")
    held_out = steps[steps["valid_nll"].notna()]
    figure.add_scatter(
        x=held_out["step"],
        y=held_out["valid_nll"],
        mode="lines+markers",
        line={"color": HELD_OUT, "dash": "dash"},
        name="held out",
    )
    figure.update_yaxes(tickformat=".3~f", range=_with_room(pd.concat([raw["loss"], held_out["valid_nll"]])))
    return _with_best(figure, steps)


def accuracy_curve(steps: pd.DataFrame) -> go.Figure:
    """Accuracy of each step with its running mean, and on held-out pairs."""
    figure = _empty("step", "accuracy, %")
    raw = steps[steps["accuracy"].notna()]
    smooth = 100 * raw["accuracy"].ewm(alpha=1 - _SMOOTHING).mean()
    figure.add_scatter(x=raw["step"], y=smooth, mode="lines", line_color=MODEL, name="train")
    held_out = steps[steps["valid_accuracy"].notna()]
    figure.add_scatter(
        x=held_out["step"],
        y=100 * held_out["valid_accuracy"],
        mode="lines+markers",
        line={"color": HELD_OUT, "dash": "dash"},
        name="held out",
    )
    figure.add_hline(y=50, line={"color": BASELINE, "dash": "dot", "width": 1})
    return _with_best(figure, steps)


def reliability(measured: Mapping[str, Any]) -> go.Figure:
    """Share right against confidence, with Wilson intervals, before and after the temperature."""
    figure = _empty("confidence of the model, %", "share right, %")
    figure.add_scatter(
        x=[50, 100],
        y=[50, 100],
        mode="lines",
        line={"color": BASELINE, "dash": "dot"},
        name="perfect",
        hoverinfo="skip",
    )
    temperature = measured.get("temperature")
    after = f"temperature {temperature:.2f}" if isinstance(temperature, float) else "calibrated"
    curves = (
        ("reliability", HELD_OUT, "circle", "as trained"),
        ("calibrated_reliability", CALIBRATED, "diamond", after),
    )
    for key, colour, symbol, name in curves:
        bins = measured.get(key) or []
        figure.add_scatter(
            x=[100 * one["confidence"] for one in bins],
            y=[100 * one["accuracy"] for one in bins],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * (one["high"] - one["accuracy"]) for one in bins],
                "arrayminus": [100 * (one["accuracy"] - one["low"]) for one in bins],
                "thickness": 1.2,
                "width": 4,
            },
            mode="lines+markers",
            marker={"symbol": symbol, "size": 8},
            line_color=colour,
            name=name,
            customdata=[one["count"] for one in bins],
            hovertemplate="%{customdata} pairs: %{x:.0f} % sure, %{y:.0f} % right",
            visible=bool(bins),
        )
    return figure


def subset_accuracy(subsets: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Accuracy of each subset with its interval, the worst on top."""
    ordered = sorted(subsets, key=lambda one: one["accuracy"]["value"], reverse=True)
    values = [100 * one["accuracy"]["value"] for one in ordered]
    figure = _empty("accuracy on held-out pairs, %", None, height=90 + 26 * len(ordered))
    figure.add_scatter(
        x=values,
        y=[f"{one['name']} ({one['accuracy']['num_decided']:,})" for one in ordered],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * one["accuracy"]["high"] - v for one, v in zip(ordered, values, strict=True)],
            "arrayminus": [v - 100 * one["accuracy"]["low"] for one, v in zip(ordered, values, strict=True)],
            "thickness": 1.2,
            "width": 4,
        },
        mode="markers",
        marker={"color": MODEL, "size": 8},
        showlegend=False,
    )
    figure.add_vline(x=50, line={"color": BASELINE, "dash": "dot", "width": 1})
    figure.update_xaxes(range=[0, 102])
    return figure


def doubts(doubt: pd.Series) -> go.Figure:
    """How many labels have how much doubt."""
    figure = _empty("doubt, %", "labels", height=220)
    # Counted here: a million numbers would travel to the browser at every rerun.
    counts = pd.cut(100 * doubt.dropna(), range(0, 101, 5), include_lowest=True).value_counts(sort=False)
    figure.add_bar(x=[bin_.mid for bin_ in counts.index], y=counts, width=5, marker_color=HELD_OUT)
    figure.update_layout(bargap=0.05, showlegend=False)
    return figure


def longer_wins(bins: Sequence[LengthBin]) -> go.Figure:
    """How often the longer response was preferred, by how much longer it is."""
    figure = _empty("longer by, characters", "the longer one wins, %")
    names = [f"{one.least:,} to {one.most:,}" for one in bins]
    figure.add_scatter(
        x=names,
        y=[100 * one.prefers_longer.value for one in bins],
        error_y=_interval_bars([one.prefers_longer for one in bins]),
        mode="markers",
        marker={"color": HELD_OUT, "size": 9},
        customdata=[one.num_pairs for one in bins],
        hovertemplate="%{y:.1f} % of %{customdata:,} pairs<extra></extra>",
        showlegend=False,
    )
    figure.add_hline(y=50, line={"color": BASELINE, "dash": "dot", "width": 1})
    figure.update_yaxes(range=[0, 100])
    return figure


def agreement(others: Mapping[str, Agreement], rules: Mapping[str, Agreement]) -> go.Figure:
    """Share of pairs on which a labeler and each other one name the same side, rules at the bottom."""
    figure = _empty("the same side, %", "")
    named = {f"always the {name}": one for name, one in rules.items()}
    kinds = ((named, BASELINE), ({name: others[name] for name in reversed(list(others))}, HELD_OUT))
    for shown, colour in kinds:
        known = {name: one for name, one in shown.items() if math.isfinite(one.share_decided.value)}
        figure.add_scatter(
            x=[100 * one.share_decided.value for one in known.values()],
            y=[_shortened(name) for name in known],
            error_x=_interval_bars([one.share_decided for one in known.values()]),
            mode="markers",
            marker={"color": colour, "size": 9},
            customdata=[one.num_pairs for one in known.values()],
            hovertemplate="%{x:.1f} % of %{customdata:,} pairs<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=50, line={"color": BASELINE, "dash": "dot", "width": 1})
    figure.update_xaxes(range=[0, 100])
    figure.update_layout(height=max(HEIGHT, 120 + 28 * (len(others) + len(rules))))
    return figure


def _interval_bars(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Error bars, percent; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * max(0.0, one.high - one.value) for one in estimates],
        "arrayminus": [100 * max(0.0, one.value - one.low) for one in estimates],
        "thickness": 1.5,
    }


def _shortened(name: str, most: int = 40) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _empty(x: str, y: str | None, *, height: int = HEIGHT) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},  # it pushes the plot down where it wraps
        hovermode="closest",
        uirevision="kept",  # a zoom survives the next two seconds' points
    )
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure


def _with_room(values: pd.Series) -> list[float] | None:
    """A range around values that hardly differ: without one the axis shows their last bits. None: it fits as it is."""
    low, high = float(values.min()), float(values.max())
    if not high - low < LEAST_LOSS_RANGE:
        return None
    middle = (low + high) / 2
    return [middle - LEAST_LOSS_RANGE / 2, middle + LEAST_LOSS_RANGE / 2]


def _with_best(figure: go.Figure, steps: pd.DataFrame) -> go.Figure:
    best = steps[steps["is_best"].astype(bool)]
    if len(best):
        figure.add_vline(
            x=int(best["step"].iloc[-1]), line={"color": BASELINE, "dash": "dot", "width": 1}, annotation_text="best"
        )
    return figure
