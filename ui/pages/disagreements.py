"""Disagreements: the most doubtful labels first; keep, flip, tie or drop each with one key."""

import streamlit as st

from core.measure.triage import describe
from core.records import Bucket, Order, Part, RunKind
from db import connect, labelers, pairs, runs, verdicts
from ui import actions, plots, processes, show, state, widgets

QUEUES = {
    Bucket.LABEL_ERROR: "Probably wrong",
    Bucket.CONTESTED: "Contested",
    Bucket.INCONSISTENT: "Labeler inconsistent",
    Bucket.MODEL_ERROR: "Probably the model's error",
    Bucket.AMBIGUOUS: "Ambiguous",
    Bucket.AGREE: "Model agrees",
}

widgets.begin("Disagreements")
widgets.needs_dataset()

here, store, reviewer = state.dataset(), state.store(), state.reviewer()
with connect.read(store.engine) as conn:
    names = list(dict.fromkeys(one.name for one in labelers.summaries(conn, here.id)))
if not names:
    st.info("These pairs have no labels yet, so there is nothing to doubt.")
    st.page_link("ui/pages/import.py", label="Import labels", icon=":material/note_add:")
    st.stop()
labeler = names[0] if len(names) == 1 else st.selectbox("Labels of", names, key="triage_labeler")
with connect.read(store.engine) as conn:
    going = [run for run in (*runs.running(conn), *runs.queued(conn)) if run.kind is RunKind.CROSSFIT]
    crossfit = runs.newest(conn, kind=RunKind.CROSSFIT, dataset_id=here.id, labeler=labeler)
going = [run for run in going if run.dataset_id == here.id and run.labeler == labeler]
if going:
    st.write("Models are being fitted that each leave out a fifth of the prompts; the list appears when they are done.")
    widgets.run_until_done(going[0])
    st.stop()
if crossfit is None:
    with st.container(border=True):
        st.subheader("Which labels are wrong?")
        st.write(
            "Five small models are trained, each without a fifth of the prompts, and judge the prompts they never saw. "
            "Where they clearly contradict a label, it is worth a look. Takes about as long as reading the texts once; "
            "later times are quick."
        )
        with st.container(horizontal=True):
            if st.button("Rank the labels by doubt", key="triage_start", type="primary"):
                actions.start_crossfit(store, dataset=here.name, labeler=labeler)
                st.rerun()
            widgets.twin(f"tiebreak triage --dataset {here.name} --labeler {labeler}")
    st.stop()

ranked = state.ranked(labeler, crossfit.id)
with connect.read(store.engine) as conn:
    decided = verdicts.effective(conn, dataset_id=here.id)
    history = [] if reviewer is None else verdicts.latest(conn, reviewer=reviewer, dataset_id=here.id, limit=8)
    seen = verdicts.newest_id(conn)
is_open = (ranked.frame["part"] != Part.TEST.value) & ~ranked.frame["pair_id"].isin(list(decided))
sizes = ranked.frame["bucket"][is_open].value_counts()
queue = st.segmented_control(
    "Queue",
    list(QUEUES),
    default=Bucket.LABEL_ERROR,
    key="triage_queue",
    format_func=lambda bucket: f"{QUEUES[bucket]} {sizes.get(bucket.value, 0):,}",
    label_visibility="collapsed",
)
skipped = st.session_state.setdefault("triage_skipped", [])
is_waiting = is_open & (ranked.frame["bucket"] == (queue or Bucket.LABEL_ERROR).value)
waiting = ranked.frame.index[is_waiting & ~ranked.frame["pair_id"].isin(skipped)]
flipped = sum(
    1 for one in history if one.label_side and one.decision.value in "ab" and one.decision.value != one.label_side.value
)
st.caption(
    widgets.plain(
        f"{labeler} · out-of-fold margins of run {crossfit.id} · {len(decided):,} pairs decided by people"
        + (f"; of your last {len(history)} verdicts {flipped} changed the label" if history else "")
    )
)

current = ""
if len(waiting) == 0:
    st.success("Nothing is left in this queue." + (" Skipped pairs come back below." if skipped else ""))
    if skipped and st.button("Show the skipped pairs again", key="triage_unskip"):
        st.session_state["triage_skipped"] = []
        st.rerun()
elif reviewer is None:
    widgets.ask_reviewer()
else:
    row = {str(key): value for key, value in ranked.frame.loc[waiting[0]].items()}
    with connect.read(store.engine) as conn:
        stored = pairs.get(conn, int(row["pair_id"]))
    order = state.shown_order(stored.pair.hash, reviewer)
    current = stored.pair.hash
    left, right = ("a", "b") if order is Order.AB else ("b", "a")
    words = {left: "the left one", right: "the right one"}
    doubt = row["doubt"]
    st.markdown(f"**Doubt {100 * doubt:.0f} %** · {widgets.plain(describe(row, a_name=words['a'], b_name=words['b']))}")
    marked = {row["side"]: f" · {labeler} prefers this one"}
    widgets.side_by_side(
        stored.pair,
        order=order,
        titles=(widgets.plain(f"Left{marked.get(left, '')}"), widgets.plain(f"Right{marked.get(right, '')}")),
    )
    widgets.verdict_buttons(stored, reviewer=reviewer, order=order, labeler=labeler, side=row["side"], seen=seen)

with st.container(horizontal=True, vertical_alignment="center"):
    stale = actions.changed_since(store, dataset=here.name, when=crossfit.started or crossfit.created)
    retrain = st.button(
        f"Retrain with {show.counted(len(decided), 'verdict')}",
        key="triage_retrain",
        type="primary",
        disabled=not decided,
        help="Freezes the labels with your verdicts in place, trains a model on them and ranks the labels anew.",
    )
    if stale:
        st.caption("Labels or verdicts have changed since these margins were computed.")
    if reviewer is not None:
        widgets.reviewer_note(reviewer)
if retrain:
    run_id = actions.retrain(store, dataset=here.name, labeler=labeler)
    st.session_state["open_run"] = run_id
    st.switch_page("ui/pages/runs.py")

left_column, right_column = st.columns(2)
with left_column:
    st.subheader("Your last verdicts")
    lines = [
        {
            "pair": one.pair_id,
            "you said": one.decision.value.upper(),
            "the label said": "-" if one.label_side is None else one.label_side.value.upper(),
        }
        for one in history
    ]
    st.dataframe(lines, hide_index=True) if lines else st.caption(
        "None yet. Each is written at once and survives a reload."
    )
with right_column:
    st.subheader("How much doubt there is")
    st.plotly_chart(plots.doubts(ranked.frame["doubt"]), key="triage_doubts", config={"displayModeBar": False})
with st.expander("The list"):
    st.dataframe(actions.short_list(ranked, limit=500), hide_index=True)
    st.download_button(
        "Download all as JSONL",
        data=lambda: actions.triage_lines(ranked),
        file_name=f"{here.name}-doubt.jsonl",
        key="triage_download",
    )
if processes.is_over(crossfit.state) and crossfit.ended:
    st.caption(f"Ranked {show.ago(crossfit.ended)}.")
# Last, when all of it is on its way to the screen: keys that were pressed while it was drawn belong to the pair before.
state.now_showing(current)
