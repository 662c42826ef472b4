"""What comes in from files and goes out to them: uploads, imports, exports, and datasets that are taken away again."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from core import formats
from core.errors import BadConfig, BadFile, TiebreakError
from core.formats import ReadOptions
from core.records import Kind, Part
from db import connect, datasets, imports, labelers, runs, search
from db.names import check_text
from ui import demo_pairs, exchange
from ui.processes import Store

DEMO = "demo"
DEMO_LABELER = "demo-rule"
_UPLOADS = "uploads"
_ABANDONED_SECONDS = 3600.0  # an upload is looked at for minutes; younger ones may be another tab's


def name_of(path: Path) -> str:
    """What a dataset is called where nobody says otherwise: the file's name up to its first dot."""
    return path.name.split(".")[0] or path.name


def layouts() -> tuple[str, ...]:
    return tuple(layout.name for layout in formats.LAYOUTS)


def read_options(*, format_: str | None, mapping: str | Mapping[str, str], labeler: str, kind: Kind) -> ReadOptions:
    """What a user said about a file; a `mapping` that was typed is `name=column` pairs joined by commas."""
    labelers.check_name(labeler)
    if not isinstance(mapping, str):
        return ReadOptions(format=format_, mapping=dict(mapping), labeler=labeler, kind=kind)
    parts = [part.split("=", 1) for part in mapping.split(",") if part.strip()]
    if any(len(part) != 2 or not part[0].strip() or not part[1].strip() for part in parts):
        raise BadConfig(f"columns are name=column pairs joined by commas (prompt=question,...), got {mapping!r}")
    columns = {name.strip(): column.strip() for name, column in parts}
    return ReadOptions(format=format_, mapping=columns, labeler=labeler, kind=kind)


def preview_file(path: Path, options: ReadOptions) -> formats.Preview:
    """The first pairs of a file as an import would read them."""
    formats.check_readable(path)
    return formats.preview(path, options)


def keep_upload(store: Store, name: str, content: bytes) -> Path:
    """An uploaded file's place beside the store until it is imported; the same content is written once."""
    path = store.folder / _UPLOADS / hashlib.sha256(content).hexdigest()[:16] / Path(name).name
    if path.exists():
        return path
    beside = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise TiebreakError(f"the uploaded file cannot be kept beside the store: {error.strerror}") from None
    return path


def forget_upload(store: Store, path: Path) -> None:
    """Remove an upload that was imported, refused or replaced; a file that lies elsewhere is the user's and stays."""
    if path.parent.parent == store.folder / _UPLOADS:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # gone already, or the same content under another name is still there
            path.parent.rmdir()


def forget_abandoned_uploads(store: Store) -> None:
    """Remove what tabs that were closed before an import left behind."""
    for folder in (store.folder / _UPLOADS).glob("*"):
        if folder.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def import_file(  # noqa: PLR0913 - one keyword for each option of the command
    store: Store,
    path: Path,
    *,
    dataset: str,
    options: ReadOptions,
    split: Part | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Iterator[imports.ImportCounts]:
    """Yield running counts while a file is imported; the last are final and published."""
    check_text(dataset, "a dataset's name")
    # A file's name may hold bytes that are no text; a store keeps only text.
    file = os.fsencode(path.name).decode(errors="replace")
    rows = exchange.returning(formats.read(path, options), file=file)
    yield from imports.import_rows(
        store.engine, rows, dataset=dataset, file=file, split=split, skip_bad=skip_bad, dry_run=dry_run
    )


def index_words(store: Store) -> Iterator[search.IndexState]:
    """Bring the search index up to the last pair, in short transactions; yields how far it is."""
    state = None
    while state is None or not state.is_complete:
        with connect.write(store.engine) as conn:
            state = search.index_more(conn)
        yield state


def load_demo(store: Store) -> Iterator[imports.ImportCounts]:
    """Import the shipped demo pairs; a second time adds nothing."""
    rows = formats.from_dicts(demo_pairs.rows(), ReadOptions())
    yield from imports.import_rows(store.engine, rows, dataset=DEMO, file="demo pairs")


def check_writable(path: Path) -> None:
    """BadFile in one sentence if a file cannot be written there; a run would say it late."""
    if path.is_dir():
        raise BadFile(f"{path} is a directory; name a file to write")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise BadFile(f"cannot write {path}: {above} is not a directory")
    if not os.access(above, os.W_OK):
        raise BadFile(f"cannot write {path}: {above} may not be written to")


def count_purge(store: Store, dataset: str) -> int:
    """How many pairs a purge would erase the text of."""
    with connect.read(store.engine) as conn:
        return datasets.purge_count(conn, dataset)


def remove_dataset(store: Store, dataset: str, *, purge: bool = False) -> None:
    """Hide a dataset; with `purge`, erase the text that no other dataset holds."""
    with connect.write(store.engine) as conn:
        if purge:
            datasets.purge(conn, dataset)
        datasets.remove(conn, dataset)


def restore_dataset(store: Store, dataset: str) -> None:
    """Undo a removal."""
    with connect.write(store.engine) as conn:
        datasets.restore(conn, dataset)


def export_data(store: Store, *, dataset: str, path: Path) -> int:
    """Write a dataset with every vote and its verdicts in the layout of pairs; the number of pairs."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        return write_lines(path, exchange.lines(conn, found.id))


def cached_bytes(store: Store) -> int:
    """The size of the tokens and features beside a store, of every backbone."""
    return sum(file.stat().st_size for file in store.feature_folder.rglob("*") if file.is_file())


def clear_cache(store: Store) -> int:
    """Remove cached tokens and features, which the next run computes again; how many bytes that was."""
    with connect.read(store.engine) as conn:
        going = [run.id for run in (*runs.running(conn), *runs.queued(conn)) if run.pid is not None]
    if going:
        raise TiebreakError(f"run {going[0]} is going and may read the cache; stop it or wait until it has ended")
    freed = cached_bytes(store)
    try:
        shutil.rmtree(store.feature_folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise TiebreakError(f"cannot remove {store.feature_folder}: {error.strerror}") from None
    return freed


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write JSON lines beside the target, then rename; the number of lines."""
    beside = path.with_name(path.name + ".partial")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as out:
            for count, row in enumerate(rows, start=1):  # noqa: B007 - the count is the result
                out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # where the folder itself is what is wrong, nothing can be removed either
            beside.unlink(missing_ok=True)
        raise TiebreakError(f"cannot write {path}: {error.strerror}") from None
    return count
