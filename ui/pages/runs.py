"""Runs: what is going, what came out, why something failed."""

import streamlit as st

from core.records import RunKind, RunState
from db import connect, datasets, runs
from ui import actions, plots, processes, show, state, widgets

CHART = {"displayModeBar": False}

widgets.begin("Runs")
with connect.read(state.store().engine) as conn:
    found = runs.all(conn, limit=200)
if not found:
    st.info("No run yet. A run trains a model, ranks labels, scores a file or exports a checkpoint.")
    st.page_link("ui/pages/train.py", label="Train a model", icon=":material/model_training:")
    st.stop()

ids = [run.id for run in found]
opened = st.session_state.pop("open_run", None)
if opened in ids:
    st.session_state["run"] = opened
by_id = {run.id: run for run in found}
# What is going comes first, then the newest model: a ranking or an export is seldom what one comes here for.
going = [run.id for run in found if not processes.is_over(run.state)]
models = [run.id for run in found if run.kind is RunKind.TRAIN]
first = next(iter([*going, *models, *ids]))
chosen = st.selectbox(
    "Run",
    ids,
    index=ids.index(first),
    key="run",
    bind="query-params",
    format_func=lambda number: show.run_title(by_id[number]),
)
with connect.read(state.store().engine) as conn:
    run = runs.get(conn, chosen)
    steps = runs.steps_of(conn, run.id)
    queue = [one.id for one in runs.queued(conn)]
    name = None if run.dataset_id is None else datasets.named(conn, run.dataset_id)

with st.container(horizontal=True, vertical_alignment="center"):
    widgets.badge(run)
    about = [run.kind.value, str(run.config.get("method") or ""), name or "", run.labeler or "", run.device]
    st.caption(widgets.plain(" · ".join(word for word in about if word)))
if run.state is RunState.FAILED:
    st.error(widgets.plain(run.error or "no reason was given"))
if run.state is RunState.QUEUED:
    st.info(
        f"Number {queue.index(run.id) + 1} of {len(queue)} in the queue of {run.device}: one run at a time per device."
    )
    with st.container(horizontal=True):
        if st.button("Earlier", key="run_earlier", disabled=queue[0] == run.id):
            actions.move_run(state.store(), run.id, up=True)
            st.rerun()
        if st.button("Later", key="run_later", disabled=queue[-1] == run.id):
            actions.move_run(state.store(), run.id, up=False)
            st.rerun()
        widgets.stop_button(run, key="run_withdraw")
if not processes.is_over(run.state) and run.state is not RunState.QUEUED:
    widgets.live_run(run.id)
    widgets.stop_button(run, key="run_stop")
elif len(steps) > 1:
    widgets.curves(run.id, is_probe=run.config.get("method") == "probe")

metrics = dict(run.metrics)
if metrics.get("accuracy"):
    st.subheader(widgets.plain(f"On {metrics.get('part', 'test')} pairs, against {metrics.get('against')}"))
    value, under = widgets.accuracy_words(metrics)
    cards = st.columns(4)
    with cards[0]:
        widgets.measure("Accuracy", value, under)
    with cards[1]:
        widgets.measure("Log loss", show.number(metrics.get("nll")), "nats a pair; 0.693 is a coin", help_="Mean NLL.")
    with cards[2]:
        band = metrics.get("ece_null") or {}
        widgets.measure(
            "Calibration error",
            show.percent(metrics.get("ece")),
            f"up to {show.percent(band.get('high'))} is chance",
            help_="Mean distance between how sure the model is and how often it is right (ECE).",
        )
    with cards[3]:
        widgets.measure(
            "Temperature", show.number(metrics.get("temperature")), "1 is calibrated; above 1, too sure of itself"
        )
    if metrics.get("subsets"):
        st.subheader("Accuracy by subset")
        st.plotly_chart(plots.subset_accuracy(metrics["subsets"]), key="run_subsets", config=CHART)
    others = metrics.get("also_against") or {}
    for who, other in others.items():
        measured, below = widgets.accuracy_words(other)
        st.caption(widgets.plain(f"Against {who}: {measured} ({below})"))

with st.expander("Settings and files"):
    widgets.details(
        {**run.config, "checkpoint": run.checkpoint, "snapshot": run.snapshot_id, "device": metrics.get("device")}
    )
kept = ("num_train", "num_valid", "num_test", "ties", "ties_left_out", "leaking", "repeated_responses", "trimmed")
counted = {key: metrics[key] for key in (*kept, "dropped", "same_after_trimming") if key in metrics}
if counted:
    with st.expander("What became of the pairs"):
        widgets.details(counted)
with st.expander("Log"):
    st.code(processes.log_of(state.store(), run.id) or "empty", language=None, height=240)
if run.kind is RunKind.CROSSFIT and run.state is RunState.FINISHED:
    st.write(f"{metrics.get('num_pairs', 0):,} pairs were judged by models that never saw their prompts.")
    st.page_link("ui/pages/disagreements.py", label="See the ranked labels", icon=":material/balance:")
if run.kind is RunKind.TRAIN and run.checkpoint:
    with st.container(horizontal=True):
        st.page_link("ui/pages/calibration.py", label="See its calibration", icon=":material/speed:")
        st.page_link("ui/pages/disagreements.py", label="See the labels it doubts", icon=":material/balance:")
