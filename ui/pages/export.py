"""Export: a proven checkpoint to a folder, a dataset to a file; or what is not needed goes."""

from pathlib import Path

import streamlit as st

from core.config import Method
from core.errors import TiebreakError
from core.records import RunKind
from db import connect, runs
from ui import actions, commands, files, show, state, widgets

widgets.begin("Export")
widgets.bring_back_removed()
widgets.needs_dataset()

here, store = state.dataset(), state.store()
with connect.read(store.engine) as conn:
    known = runs.all(conn)
found = [run for run in known if run.kind is RunKind.TRAIN and run.checkpoint]
exported = [run for run in known if run.kind is RunKind.EXPORT][:5]

st.subheader("A model")
if not found:
    st.info("No model is trained yet.")
    if st.button("Train a model", key="export_train", type="primary"):
        st.switch_page("ui/pages/train.py")
else:
    by_id = {run.id: run for run in found}
    chosen = st.selectbox(
        "Run", list(by_id), key="export_run", format_func=lambda number: show.run_title(by_id[number])
    )
    st.caption(
        "The folder loads with a public library alone: decoders with transformers' AutoModelForSequenceClassification, "
        "or with peft where LoRA trained them; mean-pooled encoders such as minilm with sentence-transformers. It is "
        "proven again where it is copied."
    )
    folder = st.text_input("Folder, new or empty", key="export_folder", placeholder="models/my-reward-model")
    merge = by_id[chosen].config.get("method") == Method.LORA and st.toggle(
        "Merge the adapter into the backbone",
        key="export_merge",
        help="A larger folder in float32 that needs no backbone beside it. What is merged already is copied as it is.",
    )
    with st.container(horizontal=True):
        if st.button("Export the model", key="export_model", type="primary", disabled=not folder.strip()):
            target = Path(folder.strip()).expanduser().resolve()
            settings = {"directory": str(target), "merge": merge}
            try:
                actions.start_work_on(store, RunKind.EXPORT, parent=chosen, dataset=None, settings=settings)
            except TiebreakError as error:
                st.error(widgets.plain(str(error)))
                st.stop()
            st.rerun()
        merged = ["--merge"] if merge else []
        widgets.twin(commands.command(store, "export", str(chosen), folder.strip() or "DIR", *merged))
    for run in exported:
        with st.container(horizontal=True, vertical_alignment="center"):
            widgets.badge(run)
            st.caption(widgets.plain(run.error or str(run.config.get("directory"))))

st.subheader("A dataset")
st.write(f"{here.num_pairs:,} pairs of {widgets.plain(here.name)}, with every labeler's votes and people's verdicts.")
with st.container(horizontal=True):
    if st.button("Prepare the file", key="export_data"):
        path = store.folder / "exports" / f"{here.name}.jsonl"
        try:
            with st.spinner(f"Writing {here.num_pairs:,} pairs"):
                files.export_data(store, dataset=here.name, path=path)
        except TiebreakError as error:
            st.error(widgets.plain(str(error)))
            st.stop()
        st.session_state["exported_data"] = str(path)
    widgets.twin(commands.command(store, "export-data", "--dataset", here.name, f"{here.name}.jsonl"))
ready = Path(st.session_state.get("exported_data", "none yet"))
if ready.exists() and ready.stem == here.name:
    st.download_button(
        f"Download {here.name}.jsonl",
        data=ready.read_bytes,
        file_name=f"{here.name}.jsonl",
        key="export_download",
    )

st.subheader("Remove a dataset")
st.write(
    f"Hides {widgets.plain(here.name)} from every page. Its runs, checkpoints and verdicts stay, and it can be "
    "brought back: here until this tab is closed, later on the command line with `--undo`."
)
with st.container(horizontal=True):
    if st.button(f"Remove {widgets.plain(here.name)}", key="remove_dataset"):
        files.remove_dataset(store, here.name)
        st.session_state["removed_dataset"] = here.name
        st.rerun()
    widgets.twin(commands.command(store, "remove", "--dataset", here.name))

st.subheader("Cached features")
st.write(f"{show.size(files.cached_bytes(store))} of tokens and features: a later run on the same texts is quick.")
with st.container(horizontal=True):
    if st.button("Clear the cache", key="clear_cache", help="The next run computes them again."):
        try:
            files.clear_cache(store)
        except TiebreakError as error:
            st.error(widgets.plain(f"{error}."))
            st.stop()
        st.rerun()
    widgets.twin(commands.command(store, "clear-cache"))
