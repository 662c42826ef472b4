"""Disagreements: the most doubtful labels first; keep, flip, tie or drop each with one key."""

import streamlit as st

from core.measure.triage import describe
from core.records import Order, RunKind
from db import connect, labelers, pairs, runs, verdicts
from ui import actions, commands, plots, processes, review, show, state, widgets

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
if going and crossfit is None:
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
            widgets.twin(commands.command(store, "triage", "--dataset", here.name, "--labeler", labeler))
    st.stop()

if going:
    widgets.line_until_done(going[0], "This is the list of before. It is being ranked anew")
ranked = state.ranked(labeler, crossfit.id)
with connect.read(store.engine) as conn:
    decided = verdicts.effective(conn, dataset_id=here.id)
    mine = [] if reviewer is None else verdicts.latest(conn, reviewer=reviewer, dataset_id=here.id, limit=None)
    seen = verdicts.newest_id(conn)
still_open = review.open_labels(store, ranked, dataset=here.name, reviewer=reviewer)
sizes = review.queue_sizes(ranked, still_open)
if not sizes:
    st.info("No label here can be doubted: all of them are ties, or stand on pairs that are kept for the test.")
    st.stop()
queue = st.segmented_control(
    "Queue",
    list(sizes),
    default=next(iter(sizes)),
    key="triage_queue",
    format_func=lambda bucket: f"{review.QUEUES[bucket].title} {sizes[bucket].num_open:,}",
    label_visibility="collapsed",
)
queue = queue or next(iter(sizes))
reviewed, size = review.reviewed(mine), sizes[queue]
st.caption(review.QUEUES[queue].meaning)
st.progress(size.share_done, text=widgets.plain(show.review_words(size, reviewed)))
skipped = st.session_state.setdefault("triage_skipped", [])
in_queue = still_open[still_open["bucket"] == queue.value]
waiting = in_queue.index[~in_queue["pair_id"].isin(skipped)]

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
    st.caption(
        "One key a verdict; while a field or a list has the cursor, keys are typed there until you click beside it. "
        f"Judged by models of run {crossfit.id} that never saw this prompt."
    )

with st.container(horizontal=True, vertical_alignment="center"):
    stale = review.changed_since(store, dataset=here.name, when=crossfit.started or crossfit.created)
    retrain = st.button(
        f"Retrain with {show.counted(len(decided), 'verdict')}",
        key="triage_retrain",
        type="secondary" if reviewer is None else "primary",
        disabled=not decided,
        help="Freezes the labels with your verdicts in place, trains a model on them and ranks the labels anew.",
    )
    if stale:
        st.caption("Labels or verdicts have changed since this list was ranked.", width="content")
    if reviewer is not None:
        widgets.reviewer_note(reviewer)
if retrain:
    run_id = actions.retrain(store, dataset=here.name, labeler=labeler)
    st.session_state["open_run"] = run_id
    st.switch_page("ui/pages/runs.py")

left_column, right_column = st.columns(2)
with left_column:
    st.subheader("Your last verdicts")
    if mine:
        st.dataframe(review.history(store, mine[:8]), key="triage_history", hide_index=True, width="stretch")
    else:
        st.caption("None yet. Each is written at once and survives a reload.")
with right_column:
    st.subheader("How much doubt there is")
    st.plotly_chart(plots.doubts(ranked.frame["doubt"]), key="triage_doubts", config={"displayModeBar": False})
with st.expander("The list"):
    st.dataframe(review.short_list(store, ranked, limit=500), key="triage_list", hide_index=True, width="stretch")
    st.download_button(
        "Download all as JSONL",
        data=lambda: review.triage_lines(ranked),
        file_name=f"{here.name}-doubt.jsonl",
        key="triage_download",
    )
if processes.is_over(crossfit.state) and crossfit.ended:
    st.caption(f"Ranked {show.ago(crossfit.ended)}.")
# Last, when all of it is on its way to the screen: keys that were pressed while it was drawn belong to the pair before.
state.now_showing(current)
