"""A file becomes pairs, votes and memberships: all of it or nothing, in short transactions.

Rows are written under an import number that no reader follows until the last transaction publishes it.
"""

import time
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy import Connection, Engine, insert, select

from core.errors import BadFile, StoreError
from core.records import BadRow, IdenticalRow, PairRow, Part
from db import import_cleaning, import_tickets
from db.connect import take_turn, write
from db.import_cleaning import remove_unpublished
from db.import_publishing import publish
from db.import_tally import BadRows, ImportCounts, Tally
from db.import_tickets import STALE_IMPORT_SECONDS, Ticket, hold, this_process
from db.import_writing import write_batch
from db.schema import (
    datasets,
    imports,
)

__all__ = ["STALE_IMPORT_SECONDS", "BadRows", "ImportCounts", "any_since", "import_rows", "remove_unpublished"]

REPORT_SECONDS = 0.3
SIGN_OF_LIFE_SECONDS = 10.0  # of an import that only counts bad rows


def import_rows(  # noqa: PLR0913 - one keyword for each option of the command
    engine: Engine,
    rows: Iterable[PairRow | BadRow | IdenticalRow],
    *,
    dataset: str,
    file: str,
    split: Part | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
) -> Iterator[ImportCounts]:
    """Yield running counts; the last are final, and by then the rows are published.

    Raises BadFile, leaving nothing behind, if a row is bad (unless `skip_bad`) or no pair can be used, and StoreError
    while another import into the dataset is going. A dry run counts against the store as it is and removes its own rows
    again.
    """
    remove_unpublished(engine)
    tally = _begin(engine, dataset, file)
    try:
        yield from _write_all(engine, tally, rows, split=split, skip_bad=skip_bad)
        _refuse_if_useless(tally, skip_bad=skip_bad)
        if dry_run:
            import_cleaning.take_back(engine, tally.ticket)
        else:
            publish(engine, tally)
    except BaseException:
        import_cleaning.take_back(engine, tally.ticket)
        raise
    yield tally.counts()


def any_since(conn: Connection, *, when: float) -> bool:
    """Whether an import was published after a moment (seconds since 1970)."""
    return conn.execute(select(imports.c.id).where(imports.c.published > when).limit(1)).scalar() is not None


def _begin(engine: Engine, dataset: str, file: str) -> Tally:
    token = uuid.uuid4().hex
    with write(engine) as conn:
        take_turn(conn)
        found = conn.execute(select(datasets.c.id).where(datasets.c.name == dataset)).scalar()
        if found is None:
            created = insert(datasets).values(name=dataset, created=time.time()).returning(datasets.c.id)
            found = conn.execute(created).scalar_one()
        _refuse_beside_another(conn, found, dataset)
        values = {"dataset_id": found, "file": file, "started": time.time(), "token": token, **this_process()}
        import_id = conn.execute(insert(imports).values(**values).returning(imports.c.id)).scalar_one()
    return Tally(dataset=dataset, file=file, ticket=Ticket(import_id, token), dataset_id=found)


def _refuse_beside_another(conn: Connection, dataset_id: int, dataset: str) -> None:
    """Two imports of one dataset would each leave out pairs that the other may still take back."""
    unpublished = (imports.c.dataset_id == dataset_id) & imports.c.published.is_(None)
    other = conn.execute(select(imports).where(unpublished)).first()
    if other is not None:
        process = "" if other.pid is None else f" by process {other.pid} on {other.host}"
        raise StoreError(
            f"{other.file} is being imported into dataset {dataset!r}{process}; import one file after another"
        )


def _write_all(
    engine: Engine,
    tally: Tally,
    rows: Iterable[PairRow | BadRow | IdenticalRow],
    *,
    split: Part | None,
    skip_bad: bool,
) -> Iterator[ImportCounts]:
    source = iter(rows)
    said = wrote = time.monotonic()
    while batch := list(islice(source, import_tickets.BATCH_ROWS)):
        good: list[PairRow] = []
        for given in batch:
            row = _storable(given, tally.file) if isinstance(given, PairRow) else given
            if isinstance(row, PairRow):
                good.append(row)
            elif isinstance(row, BadRow):
                tally.refuse(row)
            else:
                tally.identical += 1
        tally.read += len(good)
        # After a bad row the file is only counted to its end: nothing of it will stay.
        if good and (skip_bad or not tally.bad):
            write_batch(engine, tally, good, split)
            wrote = time.monotonic()
        elif time.monotonic() - wrote > SIGN_OF_LIFE_SECONDS:
            with write(engine) as conn:
                hold(conn, tally.ticket)
            wrote = time.monotonic()
        if time.monotonic() - said > REPORT_SECONDS:
            said = time.monotonic()
            yield tally.counts()


def _storable(row: PairRow, file: str) -> PairRow | BadRow:
    said = [message.content for message in row.pair.prompt]
    said += [row.pair.response_a, row.pair.response_b, row.id or "", row.subset or "", row.meta or ""]
    said += [part for vote in row.votes for part in (vote.labeler, vote.rationale or "")]
    try:
        "".join(said).encode()
    except UnicodeEncodeError as error:
        reason = f"half a surrogate pair ({error.object[error.start]!a}) stands in a text; no store can keep it"
        return BadRow(file=file, line=row.line, kind="broken text", reason=reason)
    return row


def _refuse_if_useless(tally: Tally, *, skip_bad: bool) -> None:
    if tally.bad and not skip_bad:
        first = next(iter(tally.first_bad.values()))
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in tally.bad.most_common())
        raise BadFile(
            f"{tally.file} has {sum(tally.bad.values()):,} bad rows ({kinds}); the first: line {first.line}: "
            f"{first.reason}. Nothing was imported; mend the file or leave bad rows out with --skip-bad"
        )
    if tally.read == 0:
        why = f"all {tally.identical:,} of its pairs have identical responses" if tally.identical else "it has no rows"
        if tally.bad:
            why = f"all {sum(tally.bad.values()):,} of its rows are bad"
        raise BadFile(f"{tally.file} holds no pair that can be used: {why}")
