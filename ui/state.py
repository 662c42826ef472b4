"""What a browser session remembers, and the one open store that all sessions share."""

import hashlib
import time

import streamlit as st

from core.errors import NotFound
from core.records import Order
from db import connect, datasets, runs, verdicts
from db.datasets import DatasetSummary
from db.runs import Run
from db.snapshots import Contents
from ui import actions, labeling, review
from ui import report as reports
from ui.labeling import Asked, Forecast
from ui.processes import Store, open_store
from ui.report import Report
from ui.review import Triage

# A verdict on a pair that was not on the screen long enough to be read is a double press or a held key.
LEAST_DWELL_SECONDS = 0.35


def store() -> Store:
    """The store that TIEBREAK_STORE names, opened once a process."""
    return _open(connect.resolve_url(None))


@st.cache_resource(show_spinner=False)
def _open(url: str) -> Store:
    return open_store(url)


def all_datasets() -> list[DatasetSummary]:
    with connect.read(store().engine) as conn:
        return datasets.all(conn)


def dataset() -> DatasetSummary:
    """The dataset that all pages show: the chosen one, else the newest; NotFound in an empty store."""
    found = all_datasets()
    chosen = kept("dataset")
    for one in found:
        if one.name == chosen:
            return one
    if not found:
        raise NotFound("the store has no dataset yet")
    return found[0]


def choose_dataset(name: str) -> None:
    """Show another dataset from the next rerun on."""
    keep("dataset", name)


def keep(what: str, value: str) -> None:
    """Remember a choice for all pages of this session; `keep_in_url` carries it over a reload."""
    # Not the state of the widget that asked for it: a widget belongs to its page and is forgotten with it.
    st.session_state[f"kept_{what}"] = value


def kept(what: str) -> str | None:
    """What was chosen in this session, else what the URL says; None where nobody chose."""
    found = st.session_state.get(f"kept_{what}") or st.query_params.get(what)
    return None if found is None else str(found)


def forget(what: str) -> None:
    """Take a choice back; it will be asked for again."""
    st.session_state.pop(f"kept_{what}", None)
    st.query_params.pop(what, None)


def keep_in_url() -> None:
    """Write what was chosen into the URL of the page, which a change of pages has emptied."""
    for what in ("dataset", "reviewer"):
        value = kept(what)
        if value and st.query_params.get(what) != value:
            st.query_params[what] = value


def ranked(labeler: str, run_id: int | None) -> Triage:
    """The triage list of the shown dataset; kept until the dataset changes, since a million pairs take a while."""
    here = dataset()
    return _ranked(store().url, here.name, labeler, run_id, here.data_version)


@st.cache_resource(max_entries=4, show_spinner="Ranking the labels by doubt")
def _ranked(url: str, name: str, labeler: str, run_id: int | None, data_version: int) -> Triage:
    del data_version  # only names the cached entry
    return review.triage(_open(url), dataset=name, labeler=labeler, run_id=run_id)


def compared_with_before(run: Run) -> dict[str, object] | None:
    """A finished run against the one before it; resampled once, since neither changes any more."""
    return _compared(store().url, run.id)


@st.cache_data(max_entries=32, show_spinner=False)
def _compared(url: str, run_id: int) -> dict[str, object] | None:
    here = _open(url)
    with connect.read(here.engine) as conn:
        run = runs.get(conn, run_id)
    return actions.compared_with_before(here, run)


def training_set(labeler: str) -> Contents:
    """What a run started now would train on; counted again after every import and verdict only."""
    here = dataset()
    with connect.read(store().engine) as conn:
        newest_verdict = verdicts.newest_id(conn)
    return _training_set(store().url, here.name, labeler, (here.data_version, newest_verdict))


@st.cache_data(max_entries=8, show_spinner="Counting the pairs to train on")
def _training_set(url: str, name: str, labeler: str, version: tuple[int, int]) -> Contents:
    del version  # only names the cached entry
    return actions.training_set(_open(url), dataset=name, labeler=labeler)


def forecast(wish: Asked) -> Forecast:
    """What a run that labels would ask; a large dataset takes seconds, so it is not counted with every key."""
    return _forecast(store().url, wish, repr(wish), dataset().data_version)


@st.cache_data(max_entries=8, ttl=60, show_spinner="Counting what would be asked")
def _forecast(url: str, _wish: Asked, said: str, data_version: int) -> Forecast:
    del said, data_version  # only name the cached entry
    return labeling.forecast(_open(url), _wish)


def forget_forecasts() -> None:
    """A price was told: what would be asked costs something else."""
    _forecast.clear()


def report(labeler: str) -> Report:
    """A labeler's report card on the shown dataset; resampling takes seconds, and nothing changes between imports."""
    here = dataset()
    return _report(store().url, here.name, labeler, here.data_version)


@st.cache_resource(max_entries=16, show_spinner="Measuring the labeler")
def _report(url: str, name: str, labeler: str, data_version: int) -> Report:
    del data_version  # only names the cached entry
    return reports.report(_open(url), dataset=name, labeler=labeler)


def reviewer() -> str | None:
    """Who decides in this session; None until they said their name."""
    return kept("reviewer")


def shown_order(pair_hash: str, reviewer: str) -> Order:
    """Which response stands on the left: by hash of pair and reviewer, so that nobody always sees a first."""
    digest = hashlib.sha256(f"{pair_hash}\n{reviewer}".encode()).digest()
    return Order.AB if digest[0] % 2 else Order.BA


def now_showing(what: str) -> None:
    """Note when something came on the screen."""
    if st.session_state.get("shown") != what:
        st.session_state["shown"] = what
        st.session_state["shown_at"] = time.monotonic()


def nothing_shown() -> None:
    """Note that what was on the screen is dealt with; what comes next is not read yet."""
    st.session_state.pop("shown", None)


def was_read(what: str) -> bool:
    """Whether it is still what is shown, and long enough."""
    since = st.session_state.get("shown_at", float("inf"))
    return st.session_state.get("shown") == what and time.monotonic() - since >= LEAST_DWELL_SECONDS
