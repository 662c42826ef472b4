"""Figures read well at the edges: a flat loss, and on both backgrounds."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest

from ui import plots

THEME = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())["theme"]


def steps(*losses):
    return pd.DataFrame(
        {"step": range(len(losses)), "loss": losses, "valid_nll": float("nan"), "accuracy": 0.5, "is_best": False}
    )


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: (lighter + .05) / (darker + .05) of the relative luminances."""
    light = sorted(luminance(colour) for colour in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_flat_loss_has_an_axis_that_can_be_read():
    axis = plots.loss_curve(steps(0.693147, 0.693147)).layout.yaxis

    assert axis.range == pytest.approx((0.688147, 0.698147))
    assert axis.tickformat == ".3~f"


def test_a_falling_loss_keeps_its_own_range():
    assert plots.loss_curve(steps(0.69, 0.4)).layout.yaxis.range is None


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("colour", [plots.MODEL, plots.HELD_OUT, plots.CALIBRATED, plots.BASELINE])
def test_every_trace_is_seen_on_both_backgrounds(mode: str, colour: str):
    assert contrast(colour, THEME[mode]["backgroundColor"]) >= 3  # WCAG 1.4.11, graphical objects


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_words_on_an_accent_button_can_be_read(mode: str):
    assert contrast("#FFFFFF", THEME[mode]["primaryColor"]) >= 4.5  # WCAG 1.4.3, text


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_links_can_be_read(mode: str):
    colours = THEME[mode]

    assert contrast(colours.get("linkColor", colours["primaryColor"]), colours["backgroundColor"]) >= 4.5
