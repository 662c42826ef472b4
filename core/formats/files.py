"""Files become numbered rows: JSONL, JSON, CSV, TSV, Parquet, plain or .gz. Their meaning is for `layouts`."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from core.errors import BadFile

MAX_JSON_BYTES = 512 * 1024**2  # a JSON array is read whole; JSONL streams
_PARQUET_MAGIC, _GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
_PARQUET_ROWS = 2000


class NotARow(ValueError):
    """A line that is no JSON object; the message says why."""


Row = dict[str, Any]


def rows_of(path: Path) -> Iterator[tuple[int, Row | NotARow]]:
    """Yield (1-based line or row number, row). BadFile in one sentence if the file as a whole cannot be read."""
    _refuse_unreadable(path)
    try:
        yield from _rows_of(path)
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not UTF-8: byte {error.object[error.start]:#04x} near byte {error.start}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadFile(f"{path} is a broken gzip file: {error}") from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}") from None


def _refuse_unreadable(path: Path) -> None:
    if path.is_dir():
        raise BadFile(f"{path} is a directory; name a file of pairs in it")
    if not path.exists():
        raise BadFile(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise BadFile(f"{path} is empty")


def _rows_of(path: Path) -> Iterator[tuple[int, Row | NotARow]]:
    with path.open("rb") as raw:
        magic = raw.read(4)
    if magic == _PARQUET_MAGIC:
        yield from _parquet(path)
        return
    with _open(path, gzipped=magic.startswith(_GZIP_MAGIC)) as text:
        start = text.read(4096).lstrip("\ufeff \t\r\n")
        text.seek(0)
        name = path.name.removesuffix(".gz")
        if name.endswith((".csv", ".tsv")) or not start.startswith(("{", "[")):
            yield from _table(text, path, delimiter="\t" if name.endswith(".tsv") else ",")
        elif start.startswith("[") or name.endswith(".json"):
            yield from _json(text, path)
        else:
            yield from _lines(text)


def _open(path: Path, *, gzipped: bool) -> IO[str]:
    binary: Any = gzip.open(path) if gzipped else path.open("rb")  # noqa: SIM115 - the wrapper closes it
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")


def _lines(text: IO[str]) -> Iterator[tuple[int, Row | NotARow]]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            yield number, parse_row(line)


def parse_row(line: str) -> Row | NotARow:
    """One line of JSONL."""
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except NotARow as error:
        return error
    except (json.JSONDecodeError, RecursionError) as error:
        return NotARow(f"not JSON: {error}")
    return row if isinstance(row, dict) else NotARow(f"not a JSON object but {type(row).__name__}")


def _refuse_constant(name: str) -> None:
    raise NotARow(f"{name} is not valid JSON; leave the key out or use null")


def _json(text: IO[str], path: Path) -> Iterator[tuple[int, Row | NotARow]]:
    content = text.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise BadFile(
            f"{path} is a JSON array of more than {MAX_JSON_BYTES // 1024**2} MiB; save it as JSONL, one object a line"
        )
    try:
        whole = json.loads(content, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError):
        # JSONL under the name of JSON: each line says for itself what is wrong with it.
        yield from _lines(io.StringIO(content))
        return
    except NotARow as error:
        raise BadFile(f"{path}: {error}") from None
    if isinstance(whole, dict):
        arrays = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = arrays[0] if len(arrays) == 1 else [whole]
    for number, row in enumerate(whole, start=1):
        yield number, row if isinstance(row, dict) else NotARow(f"not a JSON object but {type(row).__name__}")


def _table(text: IO[str], path: Path, *, delimiter: str) -> Iterator[tuple[int, Row | NotARow]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(text, delimiter=delimiter)
    header = next(reader, None)
    if not header or len(header) < 2:
        raise BadFile(
            f"{path} is neither JSON, Parquet nor a table with a header: its first line is {str(header)[:80]}"
        )
    for number, fields in enumerate(reader, start=2):
        if not fields:
            continue
        if len(fields) != len(header):
            yield number, NotARow(f"{len(fields)} fields where the header has {len(header)}")
            continue
        # Strings only: a response "007" is a text.
        yield number, {name: _cell(field) for name, field in zip(header, fields, strict=True)}


def _cell(field: str) -> Any:
    if field.startswith(('[{"', "[{'")):
        try:
            return json.loads(field)
        except json.JSONDecodeError:
            return field
    return field


def _parquet(path: Path) -> Iterator[tuple[int, Row | NotARow]]:
    import pyarrow  # noqa: PLC0415 - optional: only for Parquet
    import pyarrow.parquet  # noqa: PLC0415

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise BadFile(f"{path} is a broken Parquet file: {str(error).splitlines()[0]}") from None
