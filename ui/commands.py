"""What a page does, as a command to be pasted into a shell."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from core.config import TrainConfig
from core.formats import ReadOptions
from core.records import Part
from db import connect
from ui.processes import Store


def command(store: Store, *words: str) -> str:
    """A call of the command line that does what a page does, to be pasted into a shell anywhere."""
    path = connect.store_path(store.url)
    # The URL of another store may hold a password: there TIEBREAK_STORE says which store is meant.
    return shlex.join(["tiebreak", *(() if path is None else ("--store", str(path))), *words])


def import_command(
    store: Store, path: Path, *, dataset: str, options: ReadOptions, split: Part | None = None, skip_bad: bool = False
) -> str:
    """`import_file` with the same arguments, as a command."""
    columns = ",".join(f"{name}={column}" for name, column in options.mapping.items() if name != column)
    words = ["import", str(path), "--dataset", dataset, "--labeler", options.labeler, "--kind", options.kind.value]
    words += [] if options.format is None else ["--format", options.format]
    words += ["--map", columns] if columns else []
    words += [] if split is None else ["--split", split.value]
    return command(store, *words, *(["--skip-bad"] if skip_bad else []))


def train_command(
    store: Store, *, dataset: str, labeler: str, settings: Mapping[str, object], name: str | None = None
) -> str:
    """`start_training` with the same arguments, as a command; settings at their default are left out."""
    words = ["train", "--dataset", dataset, "--labeler", labeler, *_options(settings)]
    return command(store, *words, *(["--name", name] if name else []))


def preflight_command(store: Store, *, dataset: str, labeler: str, settings: Mapping[str, object]) -> str:
    """`start_preflight` with the same arguments, as a command; settings at their default are left out."""
    return command(store, "preflight", "--dataset", dataset, "--labeler", labeler, *_options(settings))


def _options(settings: Mapping[str, object]) -> list[str]:
    defaults = TrainConfig()
    named = {"backbone", "method"}
    words = [word for key in sorted(named & settings.keys()) for word in (f"--{key}", str(settings[key]))]
    for key, value in settings.items():
        if key not in named and value != getattr(defaults, key):
            words += ["--set", f"{key}={value}"]
    return words
