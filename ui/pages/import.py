"""Import: a file by upload or path, what it holds and what it would add, then all of it or nothing."""

from pathlib import Path

import streamlit as st

from core.errors import TiebreakError
from core.records import Kind, Part
from ui import columns, commands, files, show, state, widgets

DETECTED, BY_PROMPT, AS_NAMED = "detected", "by prompt", "as their names say"
# Counting reads the whole file: a second or two for this much, and for more only when asked.
COUNTED_UNASKED = 16 * 1024**2

widgets.begin("Import")
if st.session_state.pop("import_again", False):  # set by an import: the next file begins with an empty form
    st.session_state["import_path"] = ""
st.caption(
    "JSONL, JSON, CSV or Parquet, plain or .gz. The layout is detected. A file is imported as a whole or not at all."
)
done = st.session_state.get("import_done")
if done:
    st.success(widgets.plain(done))
    with st.container(horizontal=True):
        if st.button("Train a model", key="import_train", type="primary"):
            st.switch_page("ui/pages/train.py")
        if st.button("Browse the pairs", key="import_browse"):
            st.switch_page("ui/pages/browse.py")

source = st.segmented_control(
    "Where is the next file?" if done else "Where is the file?",
    ["Upload", "On this machine"],
    default="Upload",
    key="import_source",
)
path: Path | None = None
try:
    if source == "On this machine":
        widgets.kept_upload(None)
        typed = st.text_input("Path of the file", key="import_path", placeholder="/data/pairs.jsonl")
        path = Path(typed.strip()).expanduser() if typed.strip() else None
    else:
        turn = st.session_state.setdefault("import_turn", 0)
        path = widgets.kept_upload(st.file_uploader("File of pairs", key=f"import_upload_{turn}"))
except TiebreakError as error:
    st.error(widgets.plain(str(error)))
    st.stop()
if path is None:
    with st.expander("What a line looks like", expanded=not done):
        st.code(
            '{"prompt": "Capital of France?", "response_chosen": "Paris.", "response_rejected": "Lyon."}',
            language="json",
            wrap_lines=True,
        )
        st.write("Also TRL's layouts, hh transcripts, groups with scores, pairs with several labelers, or any columns.")
        widgets.load_demo_button(primary=not state.all_datasets())
    st.stop()
st.session_state["import_done"] = None

try:
    as_named = files.preview_file(path, files.read_options(format_=None, mapping={}, labeler="?", kind=Kind.AI))
except TiebreakError as error:
    st.error(widgets.import_error(error, path))
    files.forget_upload(state.store(), path)
    st.stop()
if as_named.problem and not as_named.columns:
    st.error(widgets.plain(as_named.problem.replace(str(path), path.name)))
    files.forget_upload(state.store(), path)
    st.stop()

first, second, third = st.columns(3)
name = first.text_input("Dataset", value=files.name_of(path), key=f"import_dataset_{path.name}").strip()
labeler = second.text_input(
    "Labeler", value="imported", key="import_labeler", help="Who said which is better, where the file names nobody."
).strip()
kind = third.segmented_control(
    "The labeler is", [Kind.AI, Kind.HUMAN], default=Kind.AI, key="import_kind", format_func=lambda k: k.value
)
if as_named.problem:
    st.info("The names of its columns are of no layout that is known here. Say which column holds what.")
with st.expander("Layout, columns and part", expanded=as_named.problem is not None):
    guessed = columns.guess(as_named.columns)
    shapes = {shape.title: shape for shape in columns.SHAPES}
    choices = [*([] if as_named.problem else [AS_NAMED]), *shapes]
    chosen = st.selectbox(
        "The columns hold",
        choices,
        index=choices.index(guessed.shape.title) if as_named.problem else 0,
        key=f"import_shape_{path}",
    )
    shape = shapes.get(chosen)
    mapping = {} if shape is None else widgets.column_pickers(as_named.columns, shape, guessed.mapping, file=str(path))
    left, right = st.columns(2)
    layout = left.selectbox("Layout", [DETECTED, *files.layouts()], key="import_layout")
    split = right.selectbox(
        "Part",
        [BY_PROMPT, *(part.value for part in Part)],
        key="import_split",
        help="By prompt: 80 % train, 10 % valid, 10 % test, the same in every dataset.",
        format_func=lambda part: part if part == BY_PROMPT else f"all {part}",
    )
missing = [] if shape is None else [columns.TITLES[one].lower() for one in shape.needed if one not in mapping]
if missing or not name or not labeler:
    st.warning(f"Still to be said: {', '.join([*missing, *['dataset'] * (not name), *['labeler'] * (not labeler)])}.")
    st.stop()

part = None if split == BY_PROMPT else Part(split)
counts = None
try:
    options = files.read_options(
        format_=None if layout == DETECTED else layout, mapping=mapping, labeler=labeler, kind=kind or Kind.AI
    )
    preview = files.preview_file(path, options)
    if path.stat().st_size <= COUNTED_UNASKED or st.button("Count what it would add", key="import_count"):
        counts = widgets.would_import(path, dataset=name, options=options, split=part)
except TiebreakError as error:
    st.error(widgets.import_error(error, path))
    st.stop()

st.subheader(f"The first pairs, read as {widgets.plain(preview.format or '?')}")
for row in preview.rows[:3]:
    preferred = {vote.labeler: vote.preference.value.upper() for vote in row.votes}
    with st.expander(f"Line {row.line}", expanded=row is preview.rows[0]):
        widgets.side_by_side(row.pair, titles=("A", "B"))
        st.caption(widgets.plain("; ".join(f"{who} prefers {which}" for who, which in preferred.items()) or "no label"))

skip_bad = False
if counts is None:
    skip_bad = st.checkbox("Leave out rows that cannot be used", key="import_skip_bad")
else:
    st.write(f"**{widgets.plain(show.import_words(counts, done=False))}**")
if counts is not None and counts.bad:
    st.dataframe(show.refused_rows(counts), hide_index=True)
    skip_bad = st.checkbox(f"Leave out {show.counted(counts.skipped, 'row')}", key="import_skip_bad")
with st.container(horizontal=True, vertical_alignment="center"):
    start = st.button(
        "Import" if counts is None or not counts.added else f"Import {show.counted(counts.added, 'pair')}",
        key="import_start",
        type="primary",
        disabled=counts is not None and bool(counts.bad) and not skip_bad,
    )
    # The copy of an upload goes when it is imported: whoever pastes the command has the file under its own name.
    theirs = path.absolute() if source == "On this machine" else Path(path.name)
    widgets.twin(
        commands.import_command(state.store(), theirs, dataset=name, options=options, split=part, skip_bad=skip_bad)
    )
if not start:
    st.stop()

try:
    with st.status("Reading the file", expanded=True) as status:
        for counts in files.import_file(
            state.store(), path, dataset=name, options=options, split=part, skip_bad=skip_bad
        ):
            status.update(label=f"Read {counts.read:,} pairs, {counts.added:,} new")
        for index in files.index_words(state.store()):
            status.update(label=f"Indexing words for search: {index.done:,} of {index.total:,} pairs")
except TiebreakError as error:
    st.error(widgets.import_error(error, path))
    st.stop()

widgets.kept_upload(None)
assert counts is not None  # an import yields its counts or raises
st.session_state["import_done"] = f"{name} is imported. {show.import_words(counts, done=True)}"
st.session_state["import_turn"] = st.session_state.get("import_turn", 0) + 1
st.session_state["import_again"] = True
state.choose_dataset(name)
st.rerun()
