"""Calibration: when the model is 80 % sure, is it right 80 % of the time?"""

import pandas as pd
import streamlit as st

from core.measure import calibration
from core.records import Part, RunKind
from db import connect, evaluations, runs
from ui import plots, show, state, widgets

# Fewer points show where a model is too sure, not how that changes with confidence.
POINTS_OF_A_CURVE = 5
CHART = {"displayModeBar": False}

widgets.begin("Calibration")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    found = [
        run for run in runs.all(conn) if run.kind is RunKind.TRAIN and run.checkpoint and run.dataset_id == here.id
    ]
if not found:
    st.info("No model is trained on this dataset yet. Its calibration is measured on held-out pairs when it is.")
    if st.button("Train a model", key="calibration_train", type="primary"):
        st.switch_page("ui/pages/train.py")
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
    "Labels of",
    [who for where, who in measured if where is part],
    key="calibration_against",
    help="Whose labels decide what is right. The labeler's and people's are never mixed in one plot.",
)
metrics = measured.get((part, against), {})
points = metrics.get("reliability") or []
if not points:
    st.info("Too few decided pairs here to draw a curve.")
    st.stop()
fitted_on = measured.get((Part.VALID, str(by_id[chosen].labeler)), {})

conclusion = show.calibration_words(metrics)
if conclusion:
    st.write(f"**{widgets.plain(conclusion)}**")
band, temperature = metrics.get("ece_null") or {}, metrics.get("temperature")
cards = widgets.cards()
with cards[0]:
    value, under = widgets.accuracy_words(metrics)
    widgets.measure("Accuracy", value, under)
with cards[1]:
    widgets.measure(
        "Calibration error",
        show.percent(metrics.get("ece")),
        f"up to {show.percent(band.get('high'))} is chance",
        help_="Expected calibration error (ECE): mean distance of the points from the line, "
        f"{show.counted(len(points), 'point')} of equal size. So few pairs have one even if the model is perfect.",
    )
with cards[2]:
    widgets.measure(
        "With temperature",
        "-" if temperature is None else show.percent(metrics.get("calibrated_ece")),
        "too few valid pairs to fit"
        if temperature is None
        else "fitted on these very pairs"
        if part is Part.VALID
        else "fitted on valid, not on these pairs",
        help_="The calibration error after all margins are divided by the temperature.",
    )
with cards[3]:
    widgets.measure(
        "Temperature",
        show.number(temperature),
        "too few valid pairs to fit"
        if temperature is None
        else show.temperature_words(fitted_on.get("temperature_here") or {}),
        help_="Margins are divided by it: above 1 the model was too sure, below 1 too modest. "
        "The interval holds the temperatures that the valid pairs do not speak against, 95 %.",
    )

st.plotly_chart(plots.reliability(metrics), key="calibration_plot", config=CHART)
decided = (metrics.get("accuracy") or {}).get("num_decided", 0)
st.caption(
    f"{show.counted(len(points), 'point')} of about {decided // len(points):,} pairs each; bars are 95 % Wilson "
    "intervals. On the line: as right as sure."
    + (
        f" Too few for a curve: {POINTS_OF_A_CURVE} points need {calibration.pairs_for_bins(POINTS_OF_A_CURVE):,} "
        f"decided {part.value} pairs, and there are {decided:,}."
        if len(points) < POINTS_OF_A_CURVE
        else ""
    )
)
with st.expander("The numbers behind it"):
    st.dataframe(pd.DataFrame(points), hide_index=True)
if part is Part.VALID:
    st.caption("The temperature was fitted on these valid pairs, so its curve flatters here. Test is the fair one.")
if metrics.get("subsets"):
    st.subheader("By subset")
    st.plotly_chart(plots.subset_accuracy(metrics["subsets"]), key="calibration_subsets", config=CHART)
    if metrics.get("num_small_subsets"):
        st.caption(show.left_out_words(metrics))
if st.button("Look at the labels it doubts", key="calibration_next", type="primary"):
    st.switch_page("ui/pages/disagreements.py")
