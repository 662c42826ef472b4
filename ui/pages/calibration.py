"""Calibration: when the model is 80 % sure, is it right 80 % of the time?"""

import pandas as pd
import streamlit as st

from core.records import Part, RunKind
from db import connect, evaluations, runs
from ui import plots, show, state, widgets

widgets.begin("Calibration")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    found = [
        run for run in runs.all(conn) if run.kind is RunKind.TRAIN and run.checkpoint and run.dataset_id == here.id
    ]
if not found:
    st.info("No model is trained on this dataset yet. Its calibration is measured on held-out pairs when it is.")
    st.page_link("ui/pages/train.py", label="Train a model", icon=":material/model_training:")
    st.stop()

by_id = {run.id: run for run in found}
columns = st.columns([2, 1, 1])
chosen = columns[0].selectbox(
    "Run", list(by_id), key="calibration_run", format_func=lambda number: show.run_title(by_id[number])
)
with connect.read(state.store().engine) as conn:
    measured = {(one.part, one.against): one.metrics for one in evaluations.of_run(conn, chosen)}
parts = sorted(
    {part for part, _ in measured if part is not None and part is not Part.TRAIN}, key=lambda part: part.value
)
if not parts:
    st.info("This run has no held-out pair to measure on. Import more pairs: 1 prompt in 10 is kept for the test.")
    st.stop()
part = columns[1].selectbox("Part", parts, key="calibration_part", format_func=lambda one: one.value)
against = columns[2].selectbox(
    "Against the labels of",
    [who for where, who in measured if where is part],
    key="calibration_against",
    help="The labeler's and people's labels are never mixed in one plot.",
)
metrics = measured.get((part, against), {})
if not metrics.get("reliability"):
    st.info("Too few decided pairs here to draw a curve.")
    st.stop()

band, temperature = metrics.get("ece_null") or {}, metrics.get("temperature")
cards = st.columns(4)
with cards[0]:
    value, under = widgets.accuracy_words(metrics)
    widgets.measure("Accuracy", value, under)
with cards[1]:
    chance = f"a perfect model of this size: {show.percent(band.get('low'))} to {show.percent(band.get('high'))}"
    widgets.measure(
        "Calibration error",
        show.percent(metrics.get("ece")),
        chance,
        help_="Expected calibration error (ECE), 10 bins.",
    )
with cards[2]:
    widgets.measure(
        "…with temperature", show.percent(metrics.get("calibrated_ece")), "fitted on valid, not on these pairs"
    )
with cards[3]:
    sure = (
        "too few valid pairs to fit"
        if temperature is None
        else "it is too sure"
        if temperature > 1
        else "it is too modest"
    )
    widgets.measure(
        "Temperature", show.number(temperature), sure, help_="Margins are divided by it. 1 changes nothing."
    )

st.plotly_chart(plots.reliability(metrics), key="calibration_plot", config={"displayModeBar": False})
st.caption(
    "Each point holds about as many pairs as the next; bars are 95 % Wilson intervals. On the line: as right as sure."
)
with st.expander("The numbers behind it"):
    st.dataframe(pd.DataFrame(metrics["reliability"]), hide_index=True)
if part is Part.VALID:
    st.caption("The temperature was fitted on these valid pairs, so its curve flatters here. Test is the fair one.")
