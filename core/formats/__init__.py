"""Files <-> records: every known preference layout, line numbers in errors."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadFile
from core.formats.files import NotARow, Row, check_readable, rows_of
from core.formats.layouts import LAYOUTS, Refused, find_layout, layout_for, pairs_of, read_prompt, read_text
from core.formats.options import ReadOptions
from core.records import BadRow, Decision, IdenticalRow, Message, PairRow, Vote

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LAYOUTS",
    "Preview",
    "ReadOptions",
    "ScoreRow",
    "check_readable",
    "from_dicts",
    "from_frame",
    "pair_line",
    "preview",
    "read",
    "read_for_scoring",
]

_DEFAULT = ReadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The start of a file as it would be read; `problem` says why it cannot be."""

    format: str | None
    columns: tuple[str, ...]
    rows: tuple[PairRow, ...]
    bad: tuple[BadRow, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A prompt with one or two responses in the file's own order."""

    id: str
    prompt: tuple[Message, ...]
    responses: tuple[str, ...]


def read(path: Path, options: ReadOptions = _DEFAULT) -> Iterator[PairRow | BadRow | IdenticalRow]:
    """Stream a file. BadFile if it cannot be read as a whole; a row that cannot be used is a BadRow."""
    yield from _read(rows_of(path, _fits(options)), options, file=path.name)


def from_dicts(
    rows: Iterable[Mapping[str, Any]], options: ReadOptions = _DEFAULT
) -> Iterator[PairRow | BadRow | IdenticalRow]:
    """The same for rows made in Python, in any layout of a file."""
    yield from _read(((number, dict(row)) for number, row in enumerate(rows, start=1)), options, file="rows")


def from_frame(frame: "pd.DataFrame", options: ReadOptions = _DEFAULT) -> Iterator[PairRow | BadRow | IdenticalRow]:
    """The same for a DataFrame; missing cells are absent keys."""
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    present = ({str(k): v for k, v in row.items() if v is not None} for row in records)
    yield from from_dicts(present, options)


def _read(
    rows: Iterable[tuple[int, dict[str, Any] | NotARow]], options: ReadOptions, *, file: str
) -> Iterator[PairRow | BadRow | IdenticalRow]:
    layout = None
    for line, row in rows:
        if isinstance(row, NotARow):
            yield BadRow(file=file, line=line, kind=row.kind, reason=str(row))
            continue
        try:
            if layout is None:
                _refuse_missing_map(row, options, file)
                layout = layout_for(row, options, where=file)
            yield from pairs_of(row, line, layout, options)
        except Refused as refused:
            yield BadRow(file=file, line=line, kind=refused.kind, reason=str(refused))


def _refuse_missing_map(row: Mapping[str, Any], options: ReadOptions, file: str) -> None:
    for name, column in options.mapping.items():
        if column not in row:
            raise BadFile(f"{file} has no column {column!r} (mapped to {name}); it has {', '.join(map(str, row))}")


def _fits(options: ReadOptions) -> Callable[[Row], bool]:
    return lambda row: find_layout(row, options) is not None


def _first_row(path: Path, options: ReadOptions) -> Row:
    first = next((row for _, row in islice(rows_of(path, _fits(options)), 100) if not isinstance(row, NotARow)), None)
    if first is None:
        raise BadFile(f"{path.name} has no JSON object in its first lines")
    return first


def preview(path: Path, options: ReadOptions = _DEFAULT, *, rows: int = 5) -> Preview:
    """The first pairs and bad rows of a file, its columns and its layout."""
    columns: tuple[str, ...] = ()
    try:
        first = _first_row(path, options)
        columns = tuple(map(str, first))
        _refuse_missing_map(first, options, path.name)
        layout = layout_for(first, options, where=path.name)
        found = list(islice(read(path, options), rows))
    except BadFile as error:
        return Preview(format=None, columns=columns, rows=(), bad=(), problem=str(error))
    good = tuple(row for row in found if isinstance(row, PairRow))
    return Preview(
        format=layout.name, columns=columns, rows=good, bad=tuple(row for row in found if isinstance(row, BadRow))
    )


def read_for_scoring(path: Path) -> Iterator[ScoreRow]:
    """Rows to score: any layout of pairs, or {"id", "prompt", "response"}. A bad row raises BadFile with its line."""
    for line, row in rows_of(path, lambda row: {"prompt", "response"} <= row.keys() or _fits(_DEFAULT)(row)):
        if isinstance(row, NotARow):
            raise BadFile(f"{path.name} line {line}: {row}")
        try:
            yield from _score_rows(row, line, path.name)
        except Refused as refused:
            raise BadFile(f"{path.name} line {line}: {refused}") from None


def _score_rows(row: dict[str, Any], line: int, file: str) -> Iterator[ScoreRow]:
    if "response" in row and "prompt" in row:
        given = row.get("id")
        row_id = str(given) if given is not None else f"{file.split('.', maxsplit=1)[0]}:{line}"
        yield ScoreRow(
            id=row_id, prompt=read_prompt(row["prompt"]), responses=(read_text(row["response"], "response"),)
        )
        return
    layout = layout_for(row, _DEFAULT, where=f"{file} line {line}")
    for found in pairs_of(row, line, layout, _DEFAULT):
        if isinstance(found, IdenticalRow):
            raise Refused("identical", "the two responses are identical")
        responses = (found.pair.response_a, found.pair.response_b)
        yield ScoreRow(
            id=found.id_within(file.split(".", maxsplit=1)[0]),
            prompt=found.pair.prompt,
            responses=responses[::-1] if found.swapped else responses,
        )


def pair_line(
    *,
    row_id: str,
    prompt: Sequence[Message],
    responses: Sequence[str],
    votes: Sequence[Vote],
    subset: str | None,
    verdict: Decision | None = None,
) -> dict[str, object]:
    """One pair in the layout of pairs, everything in the order of `responses`; a verdict is a person's label."""
    labels = [_label(vote) for vote in votes]
    if verdict is not None and verdict is not Decision.DROP:
        labels.append({"labeler": "verdicts", "kind": "human", "preference": verdict.value})
    line: dict[str, object] = {
        "id": row_id,
        "prompt": [{"role": message.role.value, "content": message.content} for message in prompt],
        "response_a": responses[0],
        "response_b": responses[1],
        "labels": labels,
    }
    if subset is not None:
        line["subset"] = subset
    if verdict is Decision.DROP:
        line["dropped"] = True
    return line


def _label(vote: Vote) -> dict[str, object]:
    given = {
        "labeler": vote.labeler,
        "kind": vote.kind.value,
        "preference": vote.preference.value,
        "p_a": vote.p_a,
        "strength": vote.strength,
        "order": None if vote.order is None else vote.order.value,
        "rationale": vote.rationale,
    }
    return {key: value for key, value in given.items() if value is not None}
