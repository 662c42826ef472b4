"""Browse: search and filter the pairs of a dataset, fifty at a time, and open one side by side."""

import streamlit as st

from core.records import Consistency, Part
from db import connect, labelers, pairs, search, verdicts
from db.pairs import PairFilter
from ui import review, state, widgets

PAGE, COUNTED = 50, 1_000
ALL = "all"
SIDES = {ALL: ALL, "a": "A is better", "b": "B is better", "tie": "tie", "none": "no label"}

widgets.begin("Browse")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    known = [one.name for one in labelers.summaries(conn, here.id)]
    subsets = pairs.subsets(conn, here.id)
    index = search.state(conn)

words = st.text_input(
    "Search", key="browse_words", placeholder="words, or a “phrase” in double quotes", bind="query-params"
)
columns = st.columns(5)
part = columns[0].selectbox("Part", [ALL, *(part.value for part in Part)], key="browse_part")
subset = columns[1].selectbox("Subset", [ALL, *subsets], key="browse_subset", disabled=not subsets)
labeler = columns[2].selectbox("Labeler", known or ["none yet"], key="browse_labeler", disabled=not known)
side = columns[3].selectbox("Label", list(SIDES), key="browse_side", format_func=SIDES.__getitem__)
votes = columns[4].selectbox("Votes", [ALL, *(one.value for one in Consistency)], key="browse_votes")
reviewed = st.segmented_control(
    "Verdicts", ["all", "reviewed by people", "not reviewed"], default="all", key="browse_reviewed"
)
if words and not index.is_complete:
    st.info(f"The search index has {index.done:,} of {index.total:,} pairs so far; newer ones are not found yet.")

chosen = PairFilter(
    dataset_id=here.id,
    words=words.strip() or None,
    part=None if part == ALL else Part(part),
    subset=None if subset == ALL else subset,
    labeler=labeler if known else None,
    side=None if side == ALL else side,
    consistency=None if votes == ALL else Consistency(votes),
    reviewed=None if reviewed in {None, ALL} else reviewed == "reviewed by people",
)
# Where each page began, so that going back needs no counting of rows; another filter begins anew.
if st.session_state.get("browse_filter") != repr(chosen):
    st.session_state["browse_filter"], st.session_state["browse_starts"] = repr(chosen), [0]
starts = st.session_state["browse_starts"]
with connect.read(state.store().engine) as conn:
    found = pairs.browse(conn, chosen, after=starts[-1], limit=PAGE + 1)
    is_whole = chosen == PairFilter(dataset_id=here.id, labeler=chosen.labeler)
    total = here.num_pairs if is_whole else pairs.count(conn, chosen, at_most=COUNTED)

rows, more = found[:PAGE], len(found) > PAGE
if not rows:
    st.info("No pair fits. Remove a filter, or search for fewer words.")
    st.stop()
first = (len(starts) - 1) * PAGE + 1
of = f"more than {COUNTED:,}" if total == COUNTED and not is_whole else f"{total:,}"
st.caption(
    f"{first:,} to {first + len(rows) - 1:,} of {of} pairs. A and B are in the store's own order, "
    "which says nothing about which is better. Select a row to open the pair."
)
with connect.read(state.store().engine) as conn:
    table = review.browse_table(conn, rows, dataset_id=here.id, labeler=chosen.labeler)
picked = st.dataframe(
    table,
    key="browse_table",
    hide_index=True,
    on_select="rerun",
    selection_mode="single-row",
    height=420,
    column_config={
        **{name: st.column_config.Column(width="small") for name in ("id", "label", "verdict")},
        **{name: st.column_config.Column(width="medium") for name in ("prompt", "A", "B")},
    },
)
# Below the table: above it the table's own toolbar would lie over them.
with st.container(horizontal=True, vertical_alignment="center"):
    if st.button("Previous", key="browse_previous", disabled=len(starts) == 1):
        starts.pop()
        st.rerun()
    if st.button("Next", key="browse_next", disabled=not more):
        starts.append(rows[-1].membership_id)
        st.rerun()
    if known and st.button("Review the doubtful labels", key="next_step", type="primary"):
        st.switch_page("ui/pages/disagreements.py")
    if not known and st.button("Import labels", key="next_step", type="primary"):
        st.switch_page("ui/pages/import.py")
selected = picked["selection"]["rows"]
if not selected or selected[0] >= len(rows):
    st.stop()

row = rows[selected[0]]
with connect.read(state.store().engine) as conn:
    stored = pairs.get(conn, row.pair_id)
    decided = verdicts.of_pair(conn, row.pair_id)
st.subheader(widgets.plain(f"Pair {row.row_id}"))
widgets.side_by_side(stored.pair, titles=("A", "B"))
said = [
    {
        "who": name,
        "prefers": review.said(label.side),
        "P(A is better)": f"{100 * label.p_a:.0f} %",
        "votes": label.num_votes,
        "consistency": label.consistency.value,
    }
    for name, label in stored.labels
]
said += [{"who": one.reviewer, "prefers": review.said(one.decision), "consistency": "verdict"} for one in decided]
if said:
    st.dataframe(said, key="browse_said", hide_index=True, width="stretch")
else:
    st.caption("Nobody has labeled this pair yet.")
