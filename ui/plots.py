"""Every figure of the app. One colour means one thing: see the names below."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

MODEL = "#3B5BDB"  # the model, and train
HELD_OUT = "#E8590C"  # held-out pairs, and the labeler
CALIBRATED = "#2B8A3E"  # after the temperature, and people
BASELINE = "#868E96"  # reference lines
HEIGHT = 320
LEAST_LOSS_RANGE = 0.02  # nats
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
    figure.update_yaxes(tickformat=".3f", range=_at_least(smooth, held_out["valid_nll"], width=LEAST_LOSS_RANGE))
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
    figure.add_histogram(x=100 * doubt.dropna(), xbins={"start": 0, "end": 100, "size": 5}, marker_color=HELD_OUT)
    figure.update_layout(bargap=0.05, showlegend=False)
    return figure


def _at_least(*curves: pd.Series, width: float) -> list[float] | None:
    """A range around curves that hardly move, so that rounding does not look like a course; None where they do."""
    values = pd.concat([curve.dropna() for curve in curves])
    if values.empty or values.max() - values.min() >= width:
        return None
    middle = (values.max() + values.min()) / 2
    return [middle - width / 2, middle + width / 2]


def _empty(x: str, y: str | None, *, height: int = HEIGHT) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="closest",
        uirevision="kept",  # a zoom survives the next two seconds' points
    )
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure


def _with_best(figure: go.Figure, steps: pd.DataFrame) -> go.Figure:
    best = steps[steps["is_best"].astype(bool)]
    if len(best):
        figure.add_vline(
            x=int(best["step"].iloc[-1]), line={"color": BASELINE, "dash": "dot", "width": 1}, annotation_text="best"
        )
    return figure
