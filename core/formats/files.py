"""Files become numbered rows: JSONL, JSON, CSV, TSV, Parquet, plain or .gz. Their meaning is for `layouts`."""

import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from core.errors import BadFile
from core.records import MAX_TEXT_CHARACTERS

MAX_JSON_BYTES = 512 * 1024**2  # a JSON array is read whole; JSONL streams
MAX_DIGITS = 4000  # Python refuses to read or write longer ones
_PARQUET_MAGIC, _GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
_PARQUET_ROWS = 2000
_UNPACKED_IN_MEMORY = 64 * 1024**2
MAX_ROW_CHARACTERS = (
    4 * MAX_TEXT_CHARACTERS
)  # of a table: where a quote is not closed, the file's rest reads as one row


class NotARow(ValueError):
    """A line that is no row; the message says why, `kind` groups reasons that differ only in their values."""

    def __init__(self, reason: str, kind: str = "not JSON") -> None:
        super().__init__(reason)
        self.kind = kind


Row = dict[str, Any]
Fits = Callable[[Row], bool]


def rows_of(path: Path, fits: Fits = bool) -> Iterator[tuple[int, Row | NotARow]]:
    """Yield (1-based line or row number, row). BadFile in one sentence if the file as a whole cannot be read.

    Args:
        fits: whether a JSON object is a row; one that is none may hold the array of rows.
    """
    check_readable(path)
    try:
        yield from _rows_of(path, fits)
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not UTF-8: byte {error.object[error.start]:#04x} near byte {error.start}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadFile(f"{path} is a broken gzip file: {error}") from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror or error}") from None


def check_readable(path: Path) -> None:
    """BadFile in one sentence if a file is missing, a folder or empty."""
    if path.is_dir():
        raise BadFile(f"{path} is a directory; name a file of pairs in it")
    if not path.exists():
        raise BadFile(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise BadFile(f"{path} is empty")


def _rows_of(path: Path, fits: Fits) -> Iterator[tuple[int, Row | NotARow]]:
    with path.open("rb") as raw:
        magic = raw.read(4)
    if magic == _PARQUET_MAGIC:
        with path.open("rb") as binary:
            yield from _parquet(binary, path)
        return
    if magic.startswith(_GZIP_MAGIC):
        with gzip.open(path) as unpacked:
            if unpacked.read(4) == _PARQUET_MAGIC:
                unpacked.seek(0)
                # Parquet is read from its end: unpacked once, onto the disk where it is large.
                with tempfile.SpooledTemporaryFile(max_size=_UNPACKED_IN_MEMORY) as binary:
                    shutil.copyfileobj(unpacked, binary)
                    yield from _parquet(binary, path)
                return
    with _open(path, gzipped=magic.startswith(_GZIP_MAGIC)) as text:
        start = text.read(4096).lstrip("\ufeff \t\r\n")
        text.seek(0)
        name = path.name.removesuffix(".gz")
        if name.endswith((".csv", ".tsv")) or not start.startswith(("{", "[")):
            yield from _table(text, path, delimiter="\t" if name.endswith(".tsv") else ",")
        elif start.startswith("[") or name.endswith(".json"):
            yield from _json(text, path, fits)
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
        row, problems = _parse(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return NotARow(f"not JSON: {error}")
    if problems:
        return problems[0]
    return row if isinstance(row, dict) else NotARow(f"not a JSON object but {type(row).__name__}")


def _parse(text: str) -> tuple[Any, list[NotARow]]:
    """A JSON value, and what must not stand in it; each problem stands in the value at its place."""
    problems: list[NotARow] = []

    def note(problem: NotARow) -> NotARow:
        problems.append(problem)
        return problem

    def constant(name: str) -> NotARow:
        return note(NotARow(f"{name} is not valid JSON; leave the key out or use null"))

    def whole_number(digits: str) -> int | NotARow:
        if len(digits) <= MAX_DIGITS:
            return int(digits)
        return note(NotARow(f"a whole number of {len(digits):,} digits; at most {MAX_DIGITS:,} are taken"))

    def one_object(pairs: list[tuple[str, Any]]) -> Row | NotARow:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return note(NotARow(f"the key {twice!r} stands twice in one object", "key twice"))

    value = json.loads(text, parse_constant=constant, parse_int=whole_number, object_pairs_hook=one_object)
    return value, problems


def _problem_in(value: object) -> NotARow | None:
    left = [value]  # not by recursion: JSON may be deeper than Python calls
    while left:
        one = left.pop()
        if isinstance(one, NotARow):
            return one
        if isinstance(one, dict | list):
            left += one.values() if isinstance(one, dict) else one
    return None


def _json(text: IO[str], path: Path, fits: Fits) -> Iterator[tuple[int, Row | NotARow]]:
    content = text.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise BadFile(
            f"{path} is a JSON array of more than {MAX_JSON_BYTES // 1024**2} MiB; save it as JSONL, one object a line"
        )
    try:
        whole, problems = _parse(content)
    except (json.JSONDecodeError, RecursionError) as error:
        if _is_jsonl(content):
            yield from _lines(io.StringIO(content))
            return
        raise BadFile(f"{path} is broken JSON: {error}") from None
    for number, row in enumerate(_rows_in(whole, fits), start=1):
        problem = _problem_in(row) if problems else None
        if problem is None and not isinstance(row, dict):
            problem = NotARow(f"not a JSON object but {type(row).__name__}")
        yield number, problem or row


def _is_jsonl(content: str) -> bool:
    """JSONL under the name of JSON: each line says for itself what is wrong with it."""
    first = content.lstrip().split("\n", maxsplit=1)[0]
    return first.startswith("{") and isinstance(parse_row(first), dict)


def _rows_in(whole: object, fits: Fits) -> list[Any]:
    """The rows of a JSON file: an array, an object that is a row itself, or one that holds an array of rows."""
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict) and not fits(whole):
        arrays = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        if len(arrays) == 1:
            return arrays[0]
    return [whole]


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
    if len(set(header)) < len(header):
        raise BadFile(f"{path} has two columns {Counter(header).most_common(1)[0][0]!r}; name each column once")
    for number, fields in rows:
        if isinstance(fields, NotARow):
            yield number, fields
        elif len(fields) != len(header):
            reason = f"{len(fields)} fields where the header has {len(header)}"
            yield number, NotARow(reason, "wrong number of fields")
        else:
            # Strings only: a response "007" is a text.
            row = {name: _cell(field) for name, field in zip(header, fields, strict=True)}
            yield number, next((cell for cell in row.values() if isinstance(cell, NotARow)), row)


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
            value, problems = _parse(field)
        except (json.JSONDecodeError, RecursionError):
            return field
        return problems[0] if problems else value
    return field


def _parquet(binary: Any, path: Path) -> Iterator[tuple[int, Row | NotARow]]:
    import pyarrow  # noqa: PLC0415 - optional: only for Parquet
    import pyarrow.parquet  # noqa: PLC0415

    try:
        with pyarrow.parquet.ParquetFile(binary) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise BadFile(f"{path} is a broken Parquet file: {str(error).splitlines()[0]}") from None
