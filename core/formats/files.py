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
from core.records import MAX_TEXT_CHARACTERS

MAX_JSON_BYTES = 512 * 1024**2  # a JSON array is read whole; JSONL streams
_PARQUET_MAGIC, _GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
_PARQUET_ROWS = 2000
MAX_ROW_CHARACTERS = (
    4 * MAX_TEXT_CHARACTERS
)  # of a table: where a quote is not closed, the file's rest reads as one row


class NotARow(ValueError):
    """A line that is no row; the message says why, `kind` groups reasons that differ only in their values."""

    def __init__(self, reason: str, kind: str = "not JSON") -> None:
        super().__init__(reason)
        self.kind = kind


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


class _TextLines:
    """The lines of a table, which can be read anew from within the row that was begun last."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._row: list[str] = []  # lines of the row so far
        self._length = 0  # its characters
        self._again: list[str] = []  # lines to be read anew, the last first
        self.first = 1  # number of the row's first line

    def __iter__(self) -> "_TextLines":
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._text)
        self._row.append(line)
        self._length += len(line)
        if self._length > MAX_ROW_CHARACTERS:
            raise csv.Error(f"more than {MAX_ROW_CHARACTERS:,} characters in one row")
        return line

    def begin_row(self) -> None:
        self.first += len(self._row)
        self._row, self._length = [], 0

    def leave_only_first_line(self) -> None:
        self._again += reversed(self._row[1:])
        del self._row[1:]


def _table(text: IO[str], path: Path, *, delimiter: str) -> Iterator[tuple[int, Row | NotARow]]:
    csv.field_size_limit(2**31 - 1)
    lines = _TextLines(text)
    rows = _fields(lines, delimiter)
    header = next((fields for _, fields in rows if isinstance(fields, NotARow) or any(map(str.strip, fields))), None)
    if header is None:
        raise BadFile(f"{path} is empty")
    if isinstance(header, NotARow) or len(header) < 2:
        said = header if isinstance(header, NotARow) else str(header)[:80]
        raise BadFile(f"{path} is neither JSON, Parquet nor a table with a header: its first line is {said}")
    for number, fields in rows:
        if isinstance(fields, NotARow):
            yield number, fields
        elif len(fields) != len(header):
            reason = f"{len(fields)} fields where the header has {len(header)}"
            yield number, NotARow(reason, "wrong number of fields")
        else:
            # Strings only: a response "007" is a text.
            yield number, {name: _cell(field) for name, field in zip(header, fields, strict=True)}


def _fields(lines: _TextLines, delimiter: str) -> Iterator[tuple[int, list[str] | NotARow]]:
    """Yield (first line of the row, its fields). After a row with broken quotes the line that follows begins one."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_row()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.leave_only_first_line()
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            reason = f'a quote (") that opens a field here is not closed as it should be: {error}'
            yield lines.first, NotARow(reason, "broken quotes")
            continue
        if fields:
            yield lines.first, fields


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
