"""Browse: search and filter the pairs of a dataset, fifty at a time, and open one side by side."""

import streamlit as st

from core.records import Consistency, Part
from db import connect, labelers, pairs, search, verdicts
from db.pairs import PairFilter
from ui import state, widgets

PAGE, COUNTED = 50, 1_000
SIDES = {"a": "A is better", "b": "B is better", "tie": "tie", "none": "no label"}

widgets.begin("Browse")
widgets.needs_dataset()

here = state.dataset()
with connect.read(state.store().engine) as conn:
    known: list[str | None] = [one.name for one in labelers.summaries(conn, here.id)]
    subsets = pairs.subsets(conn, here.id)
    index = search.state(conn)

words = st.text_input(
    "Search", key="browse_words", placeholder="words, or a “phrase” in double quotes", bind="query-params"
)
columns = st.columns(5)
part = columns[0].selectbox("Part", [None, *Part], key="browse_part", format_func=lambda p: p.value if p else "all")
subset = columns[1].selectbox("Subset", [None, *subsets], key="browse_subset", format_func=lambda s: s or "all")
labeler = columns[2].selectbox("Labeler", known or [None], key="browse_labeler", format_func=lambda s: s or "none yet")
side = columns[3].selectbox("Label", [None, *SIDES], key="browse_side", format_func=lambda s: SIDES.get(s, "all"))
votes = columns[4].selectbox(
    "Votes", [None, *Consistency], key="browse_votes", format_func=lambda c: c.value if c else "all"
)
reviewed = st.segmented_control(
    "Verdicts", ["all", "reviewed by people", "not reviewed"], default="all", key="browse_reviewed"
)
if words and not index.is_complete:
    st.info(f"The search index has {index.done:,} of {index.total:,} pairs so far; newer ones are not found yet.")

chosen = PairFilter(
    dataset_id=here.id,
    words=words.strip() or None,
    part=part,
    subset=subset,
    labeler=labeler,
    side=side,
    consistency=votes,
    reviewed=None if reviewed in {None, "all"} else reviewed == "reviewed by people",
)
# Where each page began, so that going back needs no counting of rows; another filter begins anew.
if st.session_state.get("browse_filter") != chosen:
    st.session_state["browse_filter"], st.session_state["browse_starts"] = chosen, [0]
starts = st.session_state["browse_starts"]
with connect.read(state.store().engine) as conn:
    found = pairs.browse(conn, chosen, after=starts[-1], limit=PAGE + 1)
    total = pairs.count(conn, chosen, at_most=COUNTED)

rows, more = found[:PAGE], len(found) > PAGE
if not rows:
    st.info("No pair fits. Remove a filter, or search for fewer words.")
    st.stop()
first = (len(starts) - 1) * PAGE + 1
of = f"more than {COUNTED:,}" if total == COUNTED else f"{total:,}"
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(f"{first:,} to {first + len(rows) - 1:,} of {of} pairs")
    if st.button("Previous", key="browse_previous", disabled=len(starts) == 1):
        starts.pop()
        st.rerun()
    if st.button("Next", key="browse_next", disabled=not more):
        starts.append(rows[-1].membership_id)
        st.rerun()
table = [
    {
        "id": row.row_id,
        "prompt": row.prompt,
        "A": row.response_b if row.swapped else row.response_a,
        "B": row.response_a if row.swapped else row.response_b,
        "subset": row.subset,
        "part": row.part.value,
    }
    for row in rows
]
picked = st.dataframe(
    table, key="browse_table", hide_index=True, on_select="rerun", selection_mode="single-row", height=420
)
selected = picked["selection"]["rows"]
if not selected or selected[0] >= len(rows):
    st.caption("Select a row to open the pair.")
    st.stop()

row = rows[selected[0]]
with connect.read(state.store().engine) as conn:
    stored = pairs.get(conn, row.pair_id)
    decided = verdicts.of_pair(conn, row.pair_id)
st.subheader(widgets.plain(f"Pair {row.row_id}"))
widgets.side_by_side(stored.pair, titles=("A, as stored", "B, as stored"))
said = [
    {
        "who": name,
        "prefers": "tie" if label.side is None else label.side.value.upper(),
        "P(A is better)": f"{100 * label.p_a:.0f} %",
        "votes": label.num_votes,
        "consistency": label.consistency.value,
    }
    for name, label in stored.labels
]
said += [{"who": one.reviewer, "prefers": one.decision.value.upper(), "consistency": "verdict"} for one in decided]
st.dataframe(said, hide_index=True, width="stretch") if said else st.caption("Nobody has labeled this pair yet.")
