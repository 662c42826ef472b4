"""Import: a file by upload or path, its first pairs as they would be read, the counts, then all of it or nothing."""

from pathlib import Path

import streamlit as st

from core.errors import TiebreakError
from core.records import Kind, Part
from ui import actions, show, state, widgets

widgets.begin("Import")
st.caption(
    "JSONL, JSON, CSV or Parquet, plain or .gz. The layout is detected. A file is imported as a whole or not at all."
)

source = st.segmented_control(
    "Where is the file?", ["Upload", "On this machine"], default="Upload", key="import_source"
)
path: Path | None = None
if source == "Upload":
    uploaded = st.file_uploader("File of pairs", key="import_upload")
    path = None if uploaded is None else actions.keep_upload(state.store(), uploaded.name, uploaded.getvalue())
else:
    typed = st.text_input("Path of the file", key="import_path", placeholder="/data/pairs.jsonl")
    path = Path(typed).expanduser() if typed.strip() else None
if path is None:
    with st.expander("What a line looks like", expanded=True):
        st.code(
            '{"prompt": "Capital of France?", "response_chosen": "Paris.", "response_rejected": "Lyon."}',
            language="json",
        )
        st.write("Also TRL's layouts, hh transcripts, groups with scores, pairs with several labelers, or any columns.")
        widgets.load_demo_button()
    st.stop()

first, second, third = st.columns(3)
name = first.text_input("Dataset", value=actions.name_of(path), key=f"import_dataset_{path.name}")
labeler = second.text_input(
    "Labeler", value="imported", key="import_labeler", help="Who said which is better, where the file names nobody."
)
kind = third.segmented_control(
    "The labeler is", [Kind.AI, Kind.HUMAN], default=Kind.AI, key="import_kind", format_func=lambda k: k.value
)
with st.expander("Layout, columns and part"):
    layout = st.selectbox(
        "Layout", [None, *actions.layouts()], key="import_layout", format_func=lambda x: x or "detected"
    )
    mapping = st.text_input("Columns", key="import_map", placeholder="prompt=question, response_chosen=best")
    split = st.selectbox(
        "Part",
        [None, *Part],
        key="import_split",
        format_func=lambda part: "80 % train, 10 % valid, 10 % test by prompt" if part is None else f"all {part.value}",
    )

try:
    options = actions.read_options(format_=layout, mapping=mapping, labeler=labeler, kind=kind or Kind.AI)
    preview = actions.preview_file(path, options)
except TiebreakError as error:
    st.error(widgets.plain(str(error)))
    st.stop()
if preview.problem:
    st.error(widgets.plain(preview.problem))
    if preview.columns:
        st.write("The file has these columns. Say which is which under “Layout, columns and part”:")
        st.dataframe([{"column": column} for column in preview.columns], hide_index=True)
    st.stop()

st.subheader(f"The first pairs, read as {widgets.plain(preview.format or '?')}")
for bad in preview.bad:
    st.warning(widgets.plain(f"line {bad.line}: {bad.reason}"))
for row in preview.rows[:3]:
    preferred = {vote.labeler: vote.preference.value for vote in row.votes}
    with st.expander(f"Line {row.line}", expanded=row is preview.rows[0]):
        widgets.side_by_side(row.pair, titles=("A", "B"))
        st.caption(widgets.plain("; ".join(f"{who} prefers {which}" for who, which in preferred.items()) or "no label"))

skip_bad = st.checkbox("Leave bad rows out instead of refusing the file", key="import_skip_bad")
with st.container(horizontal=True):
    count = st.button("Count what it would add", key="import_count")
    start = st.button("Import", key="import_start", type="primary")
    widgets.twin(f"tiebreak import {path.name} --dataset {name} --labeler {labeler}")
if not count and not start:
    st.stop()

try:
    with st.status("Reading the file", expanded=True) as status:
        counts = None
        for counts in actions.import_file(
            state.store(), path, dataset=name, options=options, split=split, skip_bad=skip_bad, dry_run=not start
        ):
            status.update(label=f"Read {counts.read:,} pairs, {counts.added:,} new")
        if start:
            for index in actions.index_words(state.store()):
                status.update(label=f"Indexing words for search: {index.done:,} of {index.total:,} pairs")
        status.update(label="Imported" if start else "Counted; nothing was written", state="complete", expanded=False)
except TiebreakError as error:
    st.error(widgets.plain(str(error)))
    st.stop()

widgets.details(show.counts_object(counts) if counts else {})
if start:
    actions.forget_upload(state.store(), path)
    state.choose_dataset(name)
    st.success(widgets.plain(f"{name} is imported. Next: train a model, or browse the pairs."))
    with st.container(horizontal=True):
        st.page_link("ui/pages/train.py", label="Train a model", icon=":material/model_training:")
        st.page_link("ui/pages/browse.py", label="Browse the pairs", icon=":material/table_rows:")
