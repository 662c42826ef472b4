"""What a browser session remembers, and the one open store that all sessions share."""

import getpass
import hashlib
import time

import streamlit as st

from core.errors import NotFound
from core.records import Order
from db import connect, datasets, verdicts
from db.datasets import DatasetSummary
from db.snapshots import Contents
from ui import actions
from ui.actions import Triage
from ui.processes import Store, open_store

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
    """The dataset that the sidebar shows; NotFound in an empty store."""
    found = all_datasets()
    chosen = st.session_state.get("dataset")
    for one in found:
        if one.name == chosen:
            return one
    if not found:
        raise NotFound("the store has no dataset yet")
    return found[0]


def choose_dataset(name: str) -> None:
    """Show another dataset from the next rerun on."""
    st.session_state["next_dataset"] = name


def ranked(labeler: str, run_id: int | None) -> Triage:
    """The triage list of the shown dataset; kept until the dataset changes, since a million pairs take a while."""
    here = dataset()
    return _ranked(store().url, here.name, labeler, run_id, here.data_version)


@st.cache_resource(max_entries=4, show_spinner="Ranking the labels by doubt")
def _ranked(url: str, name: str, labeler: str, run_id: int | None, data_version: int) -> Triage:
    del data_version  # only names the cached entry
    return actions.triage(_open(url), dataset=name, labeler=labeler, run_id=run_id)


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


def reviewer() -> str:
    """Who decides in this session."""
    return str(st.session_state.get("reviewer") or getpass.getuser())


def shown_order(pair_hash: str) -> Order:
    """Which response stands on the left: by hash of pair and reviewer, so that nobody always sees a first."""
    digest = hashlib.sha256(f"{pair_hash}\n{reviewer()}".encode()).digest()
    return Order.AB if digest[0] % 2 else Order.BA


def now_showing(what: str) -> None:
    """Note when something came on the screen."""
    if st.session_state.get("shown") != what:
        st.session_state["shown"] = what
        st.session_state["shown_at"] = time.monotonic()


def was_read(what: str) -> bool:
    """Whether it is still what is shown, and long enough."""
    since = st.session_state.get("shown_at", float("inf"))
    return st.session_state.get("shown") == what and time.monotonic() - since >= LEAST_DWELL_SECONDS
