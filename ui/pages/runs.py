"""Runs: what is going, what came out, why something failed."""

import json

import streamlit as st

from core.records import RunKind, RunState
from db import connect, datasets, runs
from ui import actions, checks, evaluation, findings, plots, processes, show, state, widgets

CHART = {"displayModeBar": False}

widgets.begin("Runs", with_runs=False)
widgets.needs_dataset()
store = state.store()
with connect.read(store.engine) as conn:
    found = runs.all(conn, limit=200)
    held = {run.dataset_id for run in found if run.dataset_id is not None}
    names = {number: datasets.named(conn, number) for number in held}
if not found:
    st.info("No run yet. A run trains a model, ranks labels, scores a file or exports a checkpoint.")
    if st.button("Train a model", key="next_step", type="primary"):
        st.switch_page("ui/pages/train.py")
    st.stop()

# The URL says which run is shown, by its number. Else what runs comes first, then what waits, then the newest model:
# a ranking or an export is seldom what one comes here for.
ids = [run.id for run in found]
if (opened := st.session_state.pop("open_run", None)) in ids:
    st.query_params["run"] = str(opened)
running = [run.id for run in found if run.state in {RunState.RUNNING, RunState.STOPPING}]
waiting = [run.id for run in found if run.state is RunState.QUEUED]
models = [run.id for run in found if run.kind is RunKind.TRAIN]
asked = st.query_params.get("run", "")
chosen = next(iter([*(number for number in ids if str(number) == asked), *running, *waiting, *models, *ids]))
if asked and str(chosen) != asked:
    st.warning(widgets.plain(f"There is no run {asked} in this store."))
st.query_params["run"] = str(chosen)
with connect.read(store.engine) as conn:
    run = runs.get(conn, chosen)
    steps = runs.steps_of(conn, run.id)
    queue = [one.id for one in runs.queued(conn)]
widgets.runs_going(besides=run.id)
widgets.runs_table(found, names, shown=run.id)

about = [run.kind.value, str(run.config.get("method") or ""), run.name or ""]
st.subheader(widgets.plain(f"Run {run.id}: {' '.join(word for word in about if word)}"))
with st.container(horizontal=True, vertical_alignment="center"):
    widgets.badge(run)
    where = [names.get(run.dataset_id or 0, ""), run.labeler or "", show.where_words(run)]
    st.caption(widgets.plain(" · ".join(word for word in where if word)))
if run.state is RunState.FAILED:
    st.error("This run failed. What it said:")
    st.code(widgets.visible(run.error or "no reason was given"), language=None, wrap_lines=True)
if run.state in {RunState.FAILED, RunState.STOPPED}:
    with st.container(horizontal=True):
        resumable = run.kind in runs.RESUMABLE
        resumed = resumable and st.button(
            "Resume",
            key="run_resume",
            type="primary",
            help="Goes on from what the run kept, with the pairs it began with.",
        )
        again = st.button(
            "Start anew",
            key="run_again",
            type="secondary" if resumable else "primary",
            help="Queues a run with the same settings on today's labels and verdicts.",
        )
        with st.popover("Copy the settings", icon=":material/content_copy:"):
            st.code(json.dumps(dict(run.config), indent=1), language="json", wrap_lines=True)
    if resumed:
        actions.resume_run(store, run.id)
        st.rerun()
    if again:
        st.session_state["open_run"] = actions.repeat(store, run.id)
        st.rerun()
if run.state is RunState.QUEUED:
    widgets.queued_run(run.id)
    if run.pid is None:
        with st.container(horizontal=True):
            if st.button("Earlier", key="run_earlier", disabled=queue[0] == run.id):
                actions.move_run(store, run.id, up=True)
                st.rerun()
            if st.button("Later", key="run_later", disabled=queue[-1] == run.id):
                actions.move_run(store, run.id, up=False)
                st.rerun()
            widgets.stop_button(run, key="run_withdraw")
elif not processes.is_over(run.state):
    widgets.live_run(run.id)
    widgets.stop_button(run, key="run_stop")
elif len(steps) > 1:
    widgets.curves(run.id, is_probe=run.config.get("method") == "probe")
    if early := show.early_words(run.metrics):
        st.caption(early)
    with st.expander("The numbers behind the curves"):
        st.dataframe(steps, key="run_steps", hide_index=True, width="stretch")

metrics = dict(run.metrics)
if metrics.get("accuracy"):
    st.subheader(widgets.plain(f"On {metrics.get('part', 'test')} pairs, against {metrics.get('against')}"))
    value, under = widgets.accuracy_words(metrics)
    cards = widgets.cards()
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
        widgets.measure("Temperature", show.number(metrics.get("temperature")), show.temperature_note(metrics))
    if compared := state.compared_with_before(run):
        st.markdown(f"**Before and after.** {widgets.plain(show.comparison_words(compared))}")
    if metrics.get("subsets"):
        st.subheader("Accuracy by subset")
        st.plotly_chart(plots.subset_accuracy(metrics["subsets"]), key="run_subsets", config=CHART)
        if metrics.get("num_small_subsets"):
            st.caption(show.left_out_words(metrics))
    others = metrics.get("also_against") or {}
    for who, other in others.items():
        measured, below = widgets.accuracy_words(other)
        st.caption(widgets.plain(f"Against {who}: {measured} ({below})"))

if checked := checks.findings_of(run):
    st.subheader("What the check found")
    findings.rows(checked)

with st.expander("Settings and files"):
    widgets.details(
        {**run.config, "checkpoint": run.checkpoint, "snapshot": run.snapshot_id, "device": metrics.get("device")}
    )
counted = {key: metrics[key] for key in evaluation.COUNTED if key in metrics}
if counted:
    with st.expander("What became of the pairs"):
        widgets.details(counted)
with st.expander("Log"):
    st.code(processes.log_of(state.store(), run.id) or "empty", language=None, height=240)
if run.kind is RunKind.CROSSFIT and run.state is RunState.FINISHED:
    st.write(f"{metrics.get('num_pairs', 0):,} pairs were judged by models that never saw their prompts.")
    if st.button("See the ranked labels", key="next_step", type="primary"):
        st.switch_page("ui/pages/disagreements.py")
if run.kind is RunKind.TRAIN and run.state is RunState.FINISHED and run.checkpoint:
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("See the labels it doubts", key="next_step", type="primary"):
            st.switch_page("ui/pages/disagreements.py")
        st.page_link("ui/pages/calibration.py", label="See its calibration", icon=":material/speed:")
