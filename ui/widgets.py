"""What several pages show: the frame around a page, a pair, a run's progress, a number with what belongs under it."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Method
from core.errors import TiebreakError
from core.formats import ReadOptions
from core.records import Decision, Message, Order, Pair, Part, Preference, RunState
from db import connect, runs
from db.imports import ImportCounts
from db.pairs import StoredPair
from ui import actions, columns, files, machine, plots, review, show, state
from ui.processes import is_over, tend
from ui.show import duration, percent

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.runtime.uploaded_file_manager import UploadedFile

# The accent that white words can be read on is too dark for words on a dark page: a chosen segment has the text's.
_STYLE = """<style>
.stMainBlockContainer {padding-top: 2.2rem}
.stButtonGroup [aria-checked="true"] {color: inherit !important}
</style>"""
_ROWS_SHOWN, _ROW_PIXELS = 6, 33  # of a table in the theme's font: whole rows, then it scrolls
REFRESH_SECONDS = 2.0
QUEUE_SECONDS = 1.0  # a click on "Start training" leads here: what it started should be seen to start
_STATE_COLOUR = {
    RunState.QUEUED: "gray",
    RunState.RUNNING: "blue",
    RunState.STOPPING: "orange",
    RunState.FINISHED: "green",
    RunState.STOPPED: "orange",
    RunState.FAILED: "red",
}
FOLD_AT, FOLDED_CHARACTERS = 2_000, 3_000
# Marks, embeddings, overrides and isolates of writing direction.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DIRECTIVE = re.compile(r":(?=[a-z0-9_+-]+[:/\[])")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$&:^=])")


def begin(title: str, *, with_runs: bool = True) -> None:
    """Title, the sidebar and, while a run is going, its progress. Stops the page where there is no store.

    A page that shows a run itself begins without and calls `runs_going` when it knows which.
    """
    st.html(_STYLE)
    try:
        state.store()
    except TiebreakError as error:
        st.title(title)
        st.error(plain(str(error)))
        st.stop()
    _sidebar(with_runs=with_runs)
    st.title(title)


def needs_dataset() -> None:
    """Stop a page that has nothing to show in an empty store, and say what to do."""
    if state.all_datasets():
        return
    with st.container(border=True):
        st.subheader("Nothing here yet")
        st.write("This page works on a dataset, and the store has none.")
        with st.container(horizontal=True):
            if st.button("Import a file", key="go_import", type="primary"):
                st.switch_page("ui/pages/import.py")
            load_demo_button()
    st.stop()


def ask_reviewer() -> None:
    """Ask for the name that verdicts are kept under; once, since it stays in the URL."""
    with st.container(border=True):
        st.subheader("Who is deciding?")
        st.write("Each verdict is kept under a name, so that several people can decide and nobody's word is lost.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Your name", key="reviewer_name", on_change=_name_reviewer, max_chars=80, width=300)
            st.button("Start", key="reviewer_start", type="primary")


def reviewer_note(reviewer: str) -> None:
    """Whose verdicts these are, and a way to be somebody else."""
    st.caption(f"You decide as {plain(reviewer)}.", width="content")
    st.button("Change the name", key="reviewer_change", type="tertiary", on_click=state.forget, args=("reviewer",))


def _name_reviewer() -> None:
    if name := st.session_state["reviewer_name"].strip():
        state.keep("reviewer", name)


def load_demo_button(*, primary: bool = False) -> None:
    """Import the shipped pairs with one click."""
    if st.button("Load the demo pairs", key="load_demo", type="primary" if primary else "secondary"):
        with st.spinner("Loading about 1,200 pairs and indexing their words"):
            for _ in files.load_demo(state.store()):
                pass
            for _ in files.index_words(state.store()):
                pass
        state.choose_dataset(files.DEMO)
        st.rerun()


def _sidebar(*, with_runs: bool) -> None:
    names = [one.name for one in state.all_datasets()]
    chosen = state.kept("dataset")
    if names:
        here = state.dataset().name
        if chosen not in {None, here}:
            st.toast(plain(f"There is no dataset {chosen} any more: it was removed. This is {here}."))
        state.keep("dataset", here)
        st.session_state["dataset"] = here
    state.keep_in_url()
    with st.sidebar:
        if names:
            st.selectbox(
                "Dataset",
                names,
                key="dataset",
                help="A named set of pairs. All pages show this one.",
                on_change=_show_dataset,
            )
        if with_runs:
            runs_going()
        device = machine.devices()[0]
        memory = ""
        if device.used is not None and device.total is not None:
            memory = f" · {_gib(device.used)} of {_gib(device.total)} GiB"
        st.caption(f":material/memory: {plain(device.title)}{memory}")
        st.caption(f"Store: {plain(str(connect.store_path(state.store().url) or state.store().engine.url))}")


def runs_going(*, besides: int | None = None) -> None:
    """The runs that are going, in the sidebar; `besides` the one that the page itself shows."""
    with connect.read(state.store().engine) as conn:
        active = bool(runs.running(conn) or runs.queued(conn))
    st.session_state["was_active"] = active
    with st.sidebar:
        st.fragment(_strip, run_every=REFRESH_SECONDS if active else None)(besides)


def _show_dataset() -> None:
    state.keep("dataset", st.session_state["dataset"])


def _gib(size: int) -> str:
    return f"{size / 1024**3:.0f}"


def _strip(besides: int | None) -> None:
    """The runs that are going, and how many wait. Reports dead workers and starts the next, as every command does."""
    store = state.store()
    tend(store)
    with connect.read(store.engine) as conn:
        going, waiting = runs.running(conn), runs.queued(conn)
    if st.session_state.get("was_active") and not going and not waiting:
        st.session_state["was_active"] = False
        st.rerun()  # once: the pages show the result and the timer stops
    for run in going:
        if run.id == besides:
            continue
        with st.container(border=True):
            progress(run)
            stop_button(run, key=f"strip_stop_{run.id}")
    if waiting:
        st.caption(f"{len(waiting)} more in the queue")


def progress(run: runs.Run, *, titled: bool = True) -> None:
    """What a run is doing, how far it is and how long it will take."""
    if titled:
        st.caption(f"Run {run.id} · {run.kind.value} · {plain(run.name or str(run.config.get('method', '')))}")
    left = "" if run.seconds_left is None else f" · about {duration(run.seconds_left)} left"
    words = run.progress_text or run.state.value
    if run.state is RunState.STOPPING:
        words, left = f"stopping after: {words}", ""
    if run.progress is None:  # no share to show: a bar at 0 % would say that nothing is done
        st.caption(f":material/hourglass_top: {plain(words)}")
    else:
        st.progress(run.progress, text=f"{plain(words)}{left}")


def stop_button(run: runs.Run, *, key: str) -> None:
    """Stop a running run or withdraw a queued one."""
    words = "Withdraw" if run.state is RunState.QUEUED else "Stop and keep the best checkpoint"
    stopping = run.state is RunState.STOPPING
    if st.button("Stopping…" if stopping else words, key=key, disabled=stopping):
        try:
            actions.stop_run(state.store(), run.id)
        except TiebreakError as error:  # it ended between the drawing of the button and the click
            st.toast(plain(f"{error}."))
        st.rerun()


def queued_run(run_id: int) -> None:
    """Where a run stands in the queue; shows the page anew as soon as it starts or is withdrawn."""
    st.fragment(_queued, run_every=QUEUE_SECONDS)(run_id)


def _queued(run_id: int) -> None:
    tend(state.store())
    with connect.read(state.store().engine) as conn:
        run = runs.get(conn, run_id)
        ahead = [one.id for one in runs.queued(conn) if not set(one.devices).isdisjoint(run.devices)]
        busy = [one.id for one in runs.running(conn) if not set(one.devices).isdisjoint(run.devices)]
    if run.state is not RunState.QUEUED:
        st.rerun()
    if run.pid is not None:
        st.info("Starting: its process loads what it needs. The curves appear by themselves.")
        return
    places = ", ".join(dict.fromkeys(run.devices))
    place = f"number {ahead.index(run_id) + 1} of {len(ahead)} in the queue of {places}"
    after = f"; run {busy[0]} is going" if busy else ""
    st.info(f"Waiting, {place}{after}. One run at a time per device; it starts by itself.")


def runs_table(found: Sequence[runs.Run], names: Mapping[int, str], *, shown: int) -> None:
    """All runs, the newest first; a click on a row opens it."""
    key = f"runs_table_{found[0].id}_{shown}"  # a new run on top moves the rows: a kept selection would be another run
    ids = [run.id for run in found]
    st.dataframe(
        show.runs_table(found, names),
        key=key,
        hide_index=True,
        width="stretch",
        height=_ROW_PIXELS * (min(len(found), _ROWS_SHOWN) + 1) + 2,
        on_select=lambda: _open_run(ids, st.session_state[key]["selection"]["rows"]),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(shown)], "columns": [], "cells": []}},
    )


def _open_run(ids: Sequence[int], rows: Sequence[int]) -> None:
    if rows:
        st.query_params["run"] = str(ids[rows[0]])


def badge(run: runs.Run) -> None:
    st.badge(run.state.value, color=_STATE_COLOUR[run.state])  # type: ignore[arg-type]  # one of its colours


def run_until_done(run: runs.Run) -> None:
    """Progress that refreshes itself until the run is over, then shows the page anew."""
    st.fragment(_watch, run_every=REFRESH_SECONDS)(run.id)


def line_until_done(run: runs.Run, words: str) -> None:
    """One line on a run that goes on beside the page, until it is over; then shows the page anew."""
    st.fragment(_watch_line, run_every=REFRESH_SECONDS)(run.id, words)


def _watch_line(run_id: int, words: str) -> None:
    with connect.read(state.store().engine) as conn:
        run = runs.get(conn, run_id)
    if is_over(run.state):
        st.rerun()
    doing = "waiting for the run before it" if run.state is RunState.QUEUED else run.progress_text or run.state.value
    left = "" if run.seconds_left is None else f", about {duration(run.seconds_left)} left"
    st.caption(plain(f"{words} (run {run.id}: {doing}{left})."))


def _watch(run_id: int) -> None:
    with connect.read(state.store().engine) as conn:
        run = runs.get(conn, run_id)
    if is_over(run.state):
        st.rerun()
    progress(run)


def plain(text: str) -> str:
    """Text for places that render Markdown, so that it reads as it was written: no link, image, maths or directive."""
    # `:material/…:`, `:emoji:` and `:red[…]` are found after escapes are undone; a zero-width space parts them for
    # good. Only there: a name or a path that somebody copies must stay what it is.
    parted = _DIRECTIVE.sub(":\u200b", visible(text))
    return _MARKDOWN.sub(r"\\\1", parted).replace("\n", " ")


def visible(text: str) -> str:
    """Text with its control characters written out: one that turns the direction of reading changes what is seen."""
    return "".join(f"⟨U+{ord(one):04X}⟩" if _is_hidden(one) else one for one in text)


def _is_hidden(one: str) -> bool:
    if one in "\n\t\r":
        return False
    # Cc: control; the rest of Cf joins letters and emoji, which must stay whole.
    return unicodedata.category(one) == "Cc" or one in _TURNS or "\U000e0000" <= one <= "\U000e007f"


def _long_text(text: str) -> None:
    """Untrusted text as it was written; what is long is folded behind its beginning."""
    shown = visible(text)
    if len(shown) <= FOLDED_CHARACTERS:
        st.text(shown)
        return
    # A little more than fits is shown whole; else the cut falls between two words.
    cut = max(shown.rfind(" ", 0, FOLD_AT), shown.rfind("\n", 0, FOLD_AT))
    cut = cut if cut > FOLD_AT // 2 else FOLD_AT
    st.text(f"{shown[:cut].rstrip()} …")
    with st.expander(f"Show the other {len(shown) - cut:,} characters"):
        st.text(shown[cut:].lstrip())


def prompt(messages: Sequence[Message]) -> None:
    """All turns as they were written; earlier ones folded."""
    with st.container(border=True):
        if len(messages) > 1:
            with st.expander(f"{len(messages) - 1} earlier turn{'s' if len(messages) > 2 else ''}"):
                for message in messages[:-1]:
                    st.caption(message.role.value)
                    st.text(visible(message.content))
        st.caption("Prompt" if messages[-1].role.value == "user" else messages[-1].role.value)
        _long_text(messages[-1].content)


def side_by_side(pair: Pair, *, order: Order = Order.AB, titles: tuple[str, str] = ("Left", "Right")) -> None:
    """A pair as untrusted text: no Markdown, no HTML, nothing that loads."""
    prompt(pair.prompt)
    responses = (pair.response_a, pair.response_b)
    sides = st.columns(2, border=True)
    for column, title, response in zip(sides, titles, responses if order is Order.AB else responses[::-1], strict=True):
        with column:
            st.caption(title)
            _long_text(response)


def cards() -> "list[DeltaGenerator]":
    """Four places for measures: in one row where there is room, else two by two."""
    row = st.container(horizontal=True)
    halves = [row.container(horizontal=True, height="stretch") for _ in range(2)]
    return [half for half in halves for _ in range(2)]


def measure(label: str, value: str, under: str, *, help_: str | None = None) -> None:
    """A number, large, with its interval or baseline right under it."""
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.caption(label, help=help_)  # the metric's own label is cut off in a narrow column
        st.metric(label, value, label_visibility="collapsed")
        st.caption(plain(under))


def accuracy_words(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Accuracy on test, and under it the interval and the length baseline; a dash where there is none."""
    found = metrics.get("accuracy") or {}
    if found.get("value") is None:
        return "-", "no held-out pair is decided"
    longer = (metrics.get("longer") or {}).get("value")
    interval = "" if found.get("low") is None else f"{percent(found['low'])} to {percent(found['high'])}, "
    return percent(found["value"]), f"{interval}always the longer: {percent(longer)}"


def kept_upload(uploaded: "UploadedFile | None") -> Path | None:
    """Where an uploaded file lies until it is imported; the one that it replaces is removed."""
    store = state.store()
    _clear_uploads(store.url)
    path = None if uploaded is None else files.keep_upload(store, uploaded.name, uploaded.getvalue())
    before = st.session_state.get("import_kept")
    if before is not None and before != str(path):
        files.forget_upload(store, Path(before))
    st.session_state["import_kept"] = None if path is None else str(path)
    return path


@st.cache_resource(show_spinner=False)
def _clear_uploads(url: str) -> None:
    """Once a process and store, so at the start of the app."""
    del url  # only names the cached entry
    files.forget_abandoned_uploads(state.store())


def would_import(path: Path, *, dataset: str, options: ReadOptions, split: Part | None) -> ImportCounts:
    """What an import would do to the store as it is; counted again only when something of it has changed."""
    written = path.stat()
    versions = tuple((one.name, one.data_version) for one in state.all_datasets())
    return _would_import(
        state.store().url, (str(path), written.st_size, written.st_mtime), dataset, options, split, versions
    )


@st.cache_data(max_entries=8, show_spinner="Counting what the file would add")
def _would_import(
    url: str,
    file: tuple[str, int, float],
    dataset: str,
    options: ReadOptions,
    split: Part | None,
    versions: tuple[tuple[str, int], ...],
) -> ImportCounts:
    del url, versions  # only name the cached entry
    counting = files.import_file(
        state.store(), Path(file[0]), dataset=dataset, options=options, split=split, skip_bad=True, dry_run=True
    )
    return list(counting)[-1]


def import_error(error: TiebreakError, path: Path) -> str:
    """Why a file is refused, in this page's words: the file by its name, the box instead of the option."""
    words = str(error).replace(str(path), path.name)
    return plain(words.replace("leave bad rows out with --skip-bad", "tick the box that leaves bad rows out"))


def column_pickers(
    found: Sequence[str], shape: columns.Shape, guessed: Mapping[str, str], *, file: str
) -> dict[str, str]:
    """One box for each column that a shape needs or may have; our name -> the file's column, as far as chosen."""
    chosen = {}
    with st.container(horizontal=True):
        for name in (*shape.needed, *shape.optional):
            column = st.selectbox(
                columns.TITLES[name] + ("" if name in shape.needed else " (optional)"),
                list(found),
                index=list(found).index(guessed[name]) if name in guessed else None,
                placeholder="no column",
                key=f"import_column_{name}_{file}",
                width=210,
            )
            if column is not None:
                chosen[name] = column
    return chosen


def bring_back_removed() -> None:
    """While this session's last removed dataset is gone: its name and the way back."""
    name = st.session_state.get("removed_dataset")
    if name is None or any(one.name == name for one in state.all_datasets()):
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.write(f"{plain(name)} is removed.")
        if st.button("Bring it back", key="restore_dataset"):
            files.restore_dataset(state.store(), name)
            state.choose_dataset(name)
            st.rerun()


def twin(command: str) -> None:
    """The same on the command line."""
    with st.popover("On the command line", icon=":material/terminal:"):
        st.code(command, language="bash", wrap_lines=True)


def details(values: Mapping[str, object]) -> None:
    """Names and values as a quiet table."""
    rows = [{"what": key.replace("_", " "), "value": show.cell(value)} for key, value in values.items()]
    st.dataframe(rows, hide_index=True, width="stretch")


def live_run(run_id: int) -> None:
    """A run's progress and curves, refreshed until it is over."""
    st.fragment(_live, run_every=REFRESH_SECONDS)(run_id)


def _live(run_id: int) -> None:
    with connect.read(state.store().engine) as conn:
        run = runs.get(conn, run_id)
    if is_over(run.state):
        st.rerun()
    progress(run, titled=False)
    curves(run_id, is_probe=run.config.get("method") == Method.PROBE.value)


def curves(run_id: int, *, is_probe: bool) -> None:
    """Loss and accuracy, train and held-out, step by step."""
    with connect.read(state.store().engine) as conn:
        steps = runs.steps_of(conn, run_id)
    if len(steps) < 2:
        st.caption("The curves appear with the first steps.")
        return
    left, right = st.columns(2)
    with left:
        st.subheader("Loss")
        st.plotly_chart(plots.loss_curve(steps), key=f"loss_{run_id}", config={"displayModeBar": False})
    with right:
        st.subheader("Accuracy")
        st.plotly_chart(plots.accuracy_curve(steps), key=f"accuracy_{run_id}", config={"displayModeBar": False})
    if is_probe:
        st.caption(
            "A step of a probe is one strength of regularisation, from strong to weak; the best on held-out is kept."
        )
    else:
        st.caption(f"The faint line is each step, the strong one its running mean{show.speed_words(steps)}.")


def verdict_buttons(stored: StoredPair, *, reviewer: str, order: Order, labeler: str, side: object, seen: int) -> None:
    """Keep, flip, tie, drop, skip, undo: one key or click each. All plain, so that none is suggested."""
    label_side = Preference(side) if isinstance(side, str) else None
    keep, flip = (Decision.A, Decision.B) if label_side is not Preference.B else (Decision.B, Decision.A)
    choices: list[tuple[str, str, str, Decision | None]] = [
        ("Keep the label", "keep", "1", keep),
        ("Flip it", "flip", "2", flip),
        ("Tie", "tie", "0", Decision.TIE),
        ("Drop the pair", "drop", "X", Decision.DROP),
        ("Skip", "skip", "S", None),
    ]
    row = st.container(horizontal=True)
    for words, key, shortcut, decision in choices:
        row.button(
            words,
            key=f"verdict_{key}",
            shortcut=shortcut,
            width="stretch",
            disabled=label_side is None and key in {"keep", "flip"},
            on_click=_decide,
            kwargs={
                "stored": stored,
                "decision": decision,
                "reviewer": reviewer,
                "order": order,
                "labeler": labeler,
                "label_side": label_side,
                "seen": seen,
            },
        )
    row.button("Undo", key="verdict_undo", shortcut="U", width="stretch", on_click=_undo, args=(reviewer,))


def _decide(  # noqa: PLR0913 - a verdict has this many facts
    *,
    stored: StoredPair,
    decision: Decision | None,
    reviewer: str,
    order: Order,
    labeler: str,
    label_side: Preference | None,
    seen: int,
) -> None:
    if not state.was_read(stored.pair.hash):
        st.toast("Too quick: that key came before this pair could be read, so it was left alone.")
        return
    # At once: a second press that comes before the next pair is drawn meets no pair that could have been read.
    state.nothing_shown()
    if decision is None:
        st.session_state["triage_skipped"].append(stored.pair_id)
        return
    try:
        review.decide(
            state.store(),
            pair_id=stored.pair_id,
            reviewer=reviewer,
            decision=decision,
            shown=order,
            labeler=labeler,
            label_side=label_side,
            seen=seen,
        )
    except TiebreakError as error:
        st.toast(plain(f"Not written: {error}."))


def _undo(reviewer: str) -> None:
    state.nothing_shown()
    undone = review.undo(state.store(), reviewer=reviewer, dataset=state.dataset().name)
    if undone is None:
        st.toast("There is no verdict of yours to undo in this dataset.")
        return
    words = " ".join(undone.pair.prompt[-1].content.split())
    st.toast(plain(f"Undone; back in its queue: {words[:60]}{'…' if len(words) > 60 else ''}"))
