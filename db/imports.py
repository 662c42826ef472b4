"""A file becomes pairs, votes and memberships: all of it or nothing, in short transactions.

Rows are written under an import number that no reader follows until the last transaction publishes it. No import counts
on what another one has not published: a vote that both bring has one row, which the other borrows (`borrowed_votes`).
"""

import hashlib
import json
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import psutil
from sqlalchemy import Column, Connection, Engine, Row, Select, delete, func, insert, select, update

from core.errors import BadFile, StoreError
from core.label import label_of
from core.records import BadRow, Consistency, IdenticalRow, Kind, Label, PairRow, Part, Vote
from core.split import part_of
from db import labelers as labeler_rows
from db.connect import insert_many, read, take_turn, write
from db.datasets import erase, touch
from db.labels import count_labels, rebuild, upsert_labels
from db.schema import (
    aliases,
    borrowed_votes,
    dataset_labelers,
    datasets,
    imports,
    labels,
    late_labels,
    memberships,
    pairs,
    snapshot_pairs,
    verdicts,
    votes,
)
from db.search import add_words, forget_words, step_back

BATCH_ROWS = 1000  # keeps a transaction under 200 ms on two slow cores
REPORT_SECONDS = 0.3
STALE_IMPORT_SECONDS = 120.0
SIGN_OF_LIFE_SECONDS = 10.0  # of an import that only counts bad rows


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRows:
    """All bad rows of one kind: how many, and the first."""

    kind: str
    count: int
    first: BadRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCounts:
    """What an import did so far.

    Attributes:
        read: pairs read, identical ones and bad rows left aside.
        added: pairs new in the dataset.
        duplicates: pairs that brought neither a new membership nor a new vote.
        conflicts: pairs on which one labeler's votes contradict each other in the same or an unknown order.
        skipped: bad rows left out.
    """

    dataset: str
    read: int = 0
    added: int = 0
    duplicates: int = 0
    identical: int = 0
    conflicts: int = 0
    skipped: int = 0
    bad: tuple[BadRows, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ticket:
    """The right to write under an import's number. The number alone does not give it: SQLite hands it out again."""

    import_id: int
    token: str


class _LostTicketError(StoreError):
    """Another process took this import for dead and removes its rows."""


@dataclass(slots=True, kw_only=True)
class _Tally:
    dataset: str
    file: str
    ticket: _Ticket
    dataset_id: int
    read: int = 0
    added: int = 0
    duplicates: int = 0
    identical: int = 0
    conflicts: set[tuple[int, int]] = field(default_factory=set)
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: dict[str, BadRow] = field(default_factory=dict)
    labelers: dict[tuple[str, Kind], int] = field(default_factory=dict)
    # Lines, and places in a group, whose `dataset:line` names a pair of another file.
    lines_taken: set[tuple[int, int | None]] = field(default_factory=set)

    @property
    def import_id(self) -> int:
        return self.ticket.import_id

    def refuse(self, row: BadRow) -> None:
        self.bad[row.kind] += 1
        self.first_bad.setdefault(row.kind, row)

    def counts(self) -> ImportCounts:
        bad = tuple(BadRows(kind=kind, count=n, first=self.first_bad[kind]) for kind, n in self.bad.most_common())
        return ImportCounts(
            dataset=self.dataset,
            read=self.read,
            added=self.added,
            duplicates=self.duplicates,
            identical=self.identical,
            conflicts=len(self.conflicts),
            skipped=sum(self.bad.values()),
            bad=bad,
        )


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
            _take_back(engine, tally.ticket)
        else:
            _publish(engine, tally)
    except BaseException:
        _take_back(engine, tally.ticket)
        raise
    yield tally.counts()


def remove_unpublished(engine: Engine, *, older_than: float = STALE_IMPORT_SECONDS) -> int:
    """Remove what dead imports left behind, and finish what published ones still owe; how many were removed.

    Args:
        older_than: an import whose process is gone is dead at once, any other after so many silent seconds.
    """
    with read(engine) as conn:
        unpublished = conn.execute(select(imports).where(imports.c.published.is_(None))).all()
        owe = imports.c.id.in_(select(late_labels.c.import_id))
        owing = conn.execute(select(imports).where(imports.c.published.is_not(None), owe)).all()
    dead = [row for row in unpublished if _is_dead(row, older_than=older_than)]
    for row in dead:
        _take_back(engine, _Ticket(row.id, row.token))
    for row in owing:
        if _is_dead(row, older_than=older_than):
            _derive_late(engine, row.id)
    return len(dead)


def _is_dead(row: Row[Any], *, older_than: float) -> bool:
    if time.time() - row.started >= older_than:
        return True
    return bool(row.host == socket.gethostname()) and not _is_running(row.pid, row.pid_started)


def _is_running(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _this_process() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "pid_started": psutil.Process().create_time()}


def any_since(conn: Connection, *, when: float) -> bool:
    """Whether an import was published after a moment (seconds since 1970)."""
    return conn.execute(select(imports.c.id).where(imports.c.published > when).limit(1)).scalar() is not None


def _begin(engine: Engine, dataset: str, file: str) -> _Tally:
    token = uuid.uuid4().hex
    with write(engine) as conn:
        take_turn(conn)
        found = conn.execute(select(datasets.c.id).where(datasets.c.name == dataset)).scalar()
        if found is None:
            created = insert(datasets).values(name=dataset, created=time.time()).returning(datasets.c.id)
            found = conn.execute(created).scalar_one()
        _refuse_beside_another(conn, found, dataset)
        values = {"dataset_id": found, "file": file, "started": time.time(), "token": token, **_this_process()}
        import_id = conn.execute(insert(imports).values(**values).returning(imports.c.id)).scalar_one()
    return _Tally(dataset=dataset, file=file, ticket=_Ticket(import_id, token), dataset_id=found)


def _refuse_beside_another(conn: Connection, dataset_id: int, dataset: str) -> None:
    """Two imports of one dataset would each leave out pairs that the other may still take back."""
    unpublished = (imports.c.dataset_id == dataset_id) & imports.c.published.is_(None)
    other = conn.execute(select(imports).where(unpublished)).first()
    if other is not None:
        process = "" if other.pid is None else f" by process {other.pid} on {other.host}"
        raise StoreError(
            f"{other.file} is being imported into dataset {dataset!r}{process}; import one file after another"
        )


def _hold(conn: Connection, ticket: _Ticket) -> None:
    """Take the turn to write, prove that the import is still ours, and show that it lives."""
    take_turn(conn)
    ours = (imports.c.id == ticket.import_id) & (imports.c.token == ticket.token) & imports.c.published.is_(None)
    if not conn.execute(update(imports).where(ours).values(started=time.time())).rowcount:
        raise _LostTicketError(
            f"the import was silent for more than {STALE_IMPORT_SECONDS:.0f} seconds, was taken for dead and removed; "
            "import the file again"
        )


def _write_all(
    engine: Engine,
    tally: _Tally,
    rows: Iterable[PairRow | BadRow | IdenticalRow],
    *,
    split: Part | None,
    skip_bad: bool,
) -> Iterator[ImportCounts]:
    source = iter(rows)
    said = wrote = time.monotonic()
    while batch := list(islice(source, BATCH_ROWS)):
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
            _write_batch(engine, tally, good, split)
            wrote = time.monotonic()
        elif time.monotonic() - wrote > SIGN_OF_LIFE_SECONDS:
            with write(engine) as conn:
                _hold(conn, tally.ticket)
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


def _refuse_if_useless(tally: _Tally, *, skip_bad: bool) -> None:
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


@dataclass(slots=True)
class _Known:
    """What the store has already of a batch."""

    pair_ids: dict[bytes, int]
    own: set[int]  # pairs that this import made
    purged: set[int]
    members: dict[int, str]  # pair_id -> row_id in this dataset
    row_ids: dict[str, tuple[int, int | None]]  # row_id -> (pair_id, line) in this dataset
    vote_keys: set[tuple[int, int, bytes]]
    borrowable: dict[tuple[int, int, bytes], int]  # votes that another unpublished import wrote
    fresh: dict[bytes, int] = field(default_factory=dict)  # pairs that this batch made


def _write_batch(engine: Engine, tally: _Tally, batch: Sequence[PairRow], split: Part | None) -> None:
    hashes = [bytes.fromhex(row.pair.hash) for row in batch]
    prompts = [row.pair.prompt_hash for row in batch]
    with write(engine) as conn:
        _hold(conn, tally.ticket)
        _know_labelers(conn, tally, batch)
        known = _look_up(conn, tally, hashes, [_row_id(tally, row) for row in batch])
        accepted = _accept(tally, batch, hashes, known)
        _insert_pairs(conn, tally, [(row, digest, prompts[i]) for i, (row, digest) in accepted.items()], known)
        changed = _insert_members(conn, tally, accepted, known, split)
        voted = _insert_votes(conn, tally, accepted, known)
        tally.duplicates += len(accepted) - len(changed | voted)


def _row_id(tally: _Tally, row: PairRow) -> str:
    again = f"#{tally.import_id}" if row.id is None and (row.line, row.place) in tally.lines_taken else ""
    return row.id_within(tally.dataset) + again


def _know_labelers(conn: Connection, tally: _Tally, batch: Sequence[PairRow]) -> None:
    for row in batch:
        for vote in row.votes:
            key = (vote.labeler, vote.kind)
            if key not in tally.labelers:
                tally.labelers[key] = labeler_rows.imported(conn, vote.labeler, vote.kind)


def _look_up(conn: Connection, tally: _Tally, hashes: list[bytes], row_ids: list[str]) -> _Known:
    wanted = select(pairs.c.id, pairs.c.hash, pairs.c.import_id, pairs.c.purged).where(pairs.c.hash.in_(hashes))
    found = conn.execute(wanted).all()
    pair_ids = {bytes(row.hash): row.id for row in found}
    own = {row.id for row in found if row.import_id == tally.import_id}
    purged = {row.id for row in found if row.purged}
    in_dataset = memberships.c.dataset_id == tally.dataset_id
    by_pair = select(memberships.c.pair_id, memberships.c.row_id).where(
        in_dataset, memberships.c.pair_id.in_(list(pair_ids.values()))
    )
    members = {row.pair_id: row.row_id for row in conn.execute(by_pair)}
    by_id = select(memberships.c.row_id, memberships.c.pair_id, memberships.c.line).where(
        in_dataset, memberships.c.row_id.in_(row_ids)
    )
    known_ids: dict[str, tuple[int, int | None]] = {row_id: (pair, line) for row_id, pair, line in conn.execute(by_id)}
    by_alias = select(aliases.c.row_id, aliases.c.pair_id).where(
        aliases.c.dataset_id == tally.dataset_id, aliases.c.row_id.in_(row_ids)
    )
    known_ids |= {row_id: (pair, None) for row_id, pair in conn.execute(by_alias)}
    keys, borrowable = _votes_there(conn, tally.import_id, list(pair_ids.values()))
    return _Known(pair_ids, own, purged, members, known_ids, keys, borrowable)


def _votes_there(
    conn: Connection, import_id: int, pair_ids: Sequence[int]
) -> tuple[set[tuple[int, int, bytes]], dict[tuple[int, int, bytes], int]]:
    """Votes that are there for good or are this import's, and those that another import has not published yet."""
    others = set(conn.execute(_unpublished_beside(import_id)).scalars())
    there = votes.c.pair_id.in_(pair_ids)
    if not others:
        given = conn.execute(select(votes.c.pair_id, votes.c.labeler_id, votes.c.key).where(there))
        return {(pair_id, labeler_id, bytes(key)) for pair_id, labeler_id, key in given}, {}
    columns = (votes.c.id, votes.c.pair_id, votes.c.labeler_id, votes.c.key, votes.c.import_id)
    keys, borrowable = set(), {}
    for vote_id, pair_id, labeler_id, key, writer in conn.execute(select(*columns).where(there)):
        if writer in others:
            borrowable[pair_id, labeler_id, bytes(key)] = vote_id
        else:
            keys.add((pair_id, labeler_id, bytes(key)))
    if borrowable:
        mine = borrowed_votes.c.import_id == import_id
        wanted = select(borrowed_votes.c.vote_id).where(mine, borrowed_votes.c.vote_id.in_(borrowable.values()))
        borrowed = set(conn.execute(wanted).scalars())
        keys |= {key for key, vote_id in borrowable.items() if vote_id in borrowed}
    return keys, borrowable


def _unpublished_beside(import_id: int) -> Select[tuple[int]]:
    return select(imports.c.id).where(imports.c.published.is_(None), imports.c.id != import_id)


def _accept(
    tally: _Tally, batch: Sequence[PairRow], hashes: list[bytes], known: _Known
) -> dict[int, tuple[PairRow, bytes]]:
    """Rows by their place in the batch, without those whose id already names another pair of the dataset."""
    accepted: dict[int, tuple[PairRow, bytes]] = {}
    seen: dict[str, tuple[bytes, int]] = {}
    for place, (row, digest) in enumerate(zip(batch, hashes, strict=True)):
        row_id = _row_id(tally, row)
        other_line = _line_of_other_pair(row_id, digest, known, seen)
        if other_line is not None and row.id is None:
            # Another file of the dataset has this line too: the user named neither, so neither is at fault.
            tally.lines_taken.add((row.line, row.place))
            row_id = _row_id(tally, row)
        elif other_line is not None:
            where = f"line {other_line}" if other_line else "an earlier import"
            reason = f"id {row_id!r} also names the different pair of {where}; ids must be unique in a dataset"
            tally.refuse(BadRow(file=tally.file, line=row.line, kind="id of two pairs", reason=reason))
            tally.read -= 1
            continue
        seen.setdefault(row_id, (digest, row.line))
        accepted[place] = (row, digest)
    return accepted


def _line_of_other_pair(row_id: str, digest: bytes, known: _Known, seen: dict[str, tuple[bytes, int]]) -> int | None:
    """The line of a different pair under this id; 0 if it is not known; None if there is no such pair."""
    if row_id in seen:
        return seen[row_id][1] if seen[row_id][0] != digest else None
    if row_id in known.row_ids:
        pair_id, line = known.row_ids[row_id]
        return (line or 0) if known.pair_ids.get(digest) != pair_id else None
    return None


def _insert_pairs(conn: Connection, tally: _Tally, rows: Sequence[tuple[PairRow, bytes, str]], known: _Known) -> None:
    _bring_back(conn, tally, rows, known)
    fresh = {digest: (row, prompt) for row, digest, prompt in rows if digest not in known.pair_ids}
    if not fresh:
        return
    values = [
        {
            "hash": digest,
            "prompt_hash": bytes.fromhex(prompt),
            **_texts(row),
            "length_a": len(row.pair.response_a),
            "length_b": len(row.pair.response_b),
            "part": part_of(prompt).value,
            "import_id": tally.import_id,
        }
        for digest, (row, prompt) in fresh.items()
    ]
    # RETURNING would send row after row; asking for the ids afterwards is twice as fast.
    insert_many(conn, pairs, values)
    made = conn.execute(select(pairs.c.hash, pairs.c.id).where(pairs.c.hash.in_(list(fresh))))
    known.fresh = {bytes(digest): pair_id for digest, pair_id in made}
    known.pair_ids |= known.fresh
    known.own |= set(known.fresh.values())


def _bring_back(conn: Connection, tally: _Tally, rows: Sequence[tuple[PairRow, bytes, str]], known: _Known) -> None:
    """Give pairs whose text was purged their text again."""
    again = {known.pair_ids[digest]: row for row, digest, _ in rows if known.pair_ids.get(digest) in known.purged}
    for pair_id, row in again.items():
        values = {**_texts(row), "purged": False, "import_id": tally.import_id}
        conn.execute(update(pairs).where(pairs.c.id == pair_id).values(**values))
    if again:
        add_words(conn, list(again))
        _owe_labels(conn, tally.import_id, list(again), has_text_from_it=True)


def _texts(row: PairRow) -> dict[str, str]:
    return {
        "prompt": json.dumps([[m.role.value, m.content] for m in row.pair.prompt], ensure_ascii=False),
        "response_a": row.pair.response_a,
        "response_b": row.pair.response_b,
    }


def _insert_members(
    conn: Connection,
    tally: _Tally,
    accepted: dict[int, tuple[PairRow, bytes]],
    known: _Known,
    split: Part | None,
) -> set[int]:
    """Memberships and aliases; the places in the batch that made a new membership."""
    members, others, changed = [], {}, set()
    for place, (row, digest) in accepted.items():
        pair_id, row_id = known.pair_ids[digest], _row_id(tally, row)
        if pair_id in known.members:
            if row.id is not None and row_id != known.members[pair_id] and row_id not in known.row_ids:
                others[row_id] = pair_id
            continue
        known.members[pair_id] = row_id
        changed.add(place)
        members.append(
            {
                "dataset_id": tally.dataset_id,
                "pair_id": pair_id,
                "import_id": tally.import_id,
                "row_id": row_id,
                "file": tally.file,
                "line": row.line,
                "subset": row.subset,
                "swapped": row.swapped,
                "split": None if split is None else split.value,
                "part": part_of(row.pair.prompt_hash).value if split is None else split.value,
                "meta": row.meta,
            }
        )
    insert_many(conn, memberships, members)
    if others:
        fixed = {"dataset_id": tally.dataset_id, "import_id": tally.import_id}
        conn.execute(insert(aliases), [{"row_id": row_id, "pair_id": p, **fixed} for row_id, p in others.items()])
    tally.added += len(members)
    return changed


def _insert_votes(
    conn: Connection, tally: _Tally, accepted: dict[int, tuple[PairRow, bytes]], known: _Known
) -> set[int]:
    """Votes and, where no reader sees the pair yet, labels; the places in the batch that brought a new vote."""
    values, voted = [], set()
    borrowed: dict[int, int] = {}  # vote_id -> pair_id
    touched: dict[int, dict[int, list[Vote]]] = {}  # pair_id -> labeler_id -> its new votes
    for place, (row, digest) in accepted.items():
        pair_id = known.pair_ids[digest]
        repeats: Counter[bytes] = Counter()
        for vote in row.votes:
            labeler_id = tally.labelers[vote.labeler, vote.kind]
            key = _vote_key(vote, repeats)
            if (pair_id, labeler_id, key) in known.vote_keys:
                continue
            known.vote_keys.add((pair_id, labeler_id, key))
            voted.add(place)
            if (pair_id, labeler_id, key) in known.borrowable:
                borrowed[known.borrowable[pair_id, labeler_id, key]] = pair_id
                continue
            touched.setdefault(pair_id, {}).setdefault(labeler_id, []).append(vote)
            values.append(_vote_row(tally, vote, pair_id=pair_id, labeler_id=labeler_id, key=key))
    insert_many(conn, votes, values)
    insert_many(conn, borrowed_votes, [{"vote_id": i, "import_id": tally.import_id} for i in borrowed])
    _owe_labels(conn, tally.import_id, (touched.keys() - known.own) | set(borrowed.values()))
    for pair_id, labeler_id, label in _label_own(conn, tally, touched, known):
        if label.consistency is Consistency.REPEAT_SPLIT:
            tally.conflicts.add((pair_id, labeler_id))
    return voted


def _label_own(
    conn: Connection, tally: _Tally, touched: dict[int, dict[int, list[Vote]]], known: _Known
) -> list[tuple[int, int, Label]]:
    """Labels of pairs that no reader sees yet: from the votes at hand, else from all that this import stored."""
    new = set(known.fresh.values())
    made = [
        (pair_id, labeler_id, label_of(given))
        for pair_id, by_labeler in touched.items()
        if pair_id in new
        for labeler_id, given in by_labeler.items()
    ]
    upsert_labels(conn, made)
    again = [pair_id for pair_id in touched if pair_id in known.own and pair_id not in new]
    if again:
        made += rebuild(conn, again, including=tally.import_id)
    return made


def _vote_key(vote: Vote, repeats: Counter[bytes]) -> bytes:
    """What makes an imported vote the same vote: everything it says, and its count among equal entries of its row."""
    said = [vote.labeler, vote.kind.value, vote.order, vote.preference, vote.p_a, vote.strength, vote.rationale]
    plain = hashlib.sha256(json.dumps(said).encode()).digest()[:16]
    repeats[plain] += 1
    if repeats[plain] == 1:
        return plain
    return hashlib.sha256(plain + repeats[plain].to_bytes(4, "big")).digest()[:16]


def _vote_row(tally: _Tally, vote: Vote, *, pair_id: int, labeler_id: int, key: bytes) -> dict[str, object]:
    return {
        "pair_id": pair_id,
        "labeler_id": labeler_id,
        "key": key,
        "preference": vote.preference.value,
        "p_a": vote.p_a,
        "strength": vote.strength,
        "shown": None if vote.order is None else vote.order.value,
        "rationale": vote.rationale,
        "import_id": tally.import_id,
    }


def _owe_labels(conn: Connection, import_id: int, pair_ids: Collection[int], *, has_text_from_it: bool = False) -> None:
    """Write down that the labels of some pairs are to be derived once the import is published."""
    if not pair_ids:
        return
    mine = (late_labels.c.import_id == import_id) & late_labels.c.pair_id.in_(pair_ids)
    owed = set(conn.execute(select(late_labels.c.pair_id).where(mine)).scalars())
    new = [pair_id for pair_id in pair_ids if pair_id not in owed]
    fixed = {"import_id": import_id, "has_text_from_it": has_text_from_it}
    insert_many(conn, late_labels, [{"pair_id": pair_id, **fixed} for pair_id in new])
    if has_text_from_it and owed:
        conn.execute(update(late_labels).where(mine).values(has_text_from_it=True))


def _publish(engine: Engine, tally: _Tally) -> None:
    while not _publish_if_counted(engine, tally):
        pass
    before = len(tally.conflicts)
    tally.conflicts |= _derive_late(engine, tally.import_id)
    if len(tally.conflicts) > before:
        with write(engine) as conn:
            found = imports.c.id == tally.import_id
            conn.execute(update(imports).where(found).values(conflicts=len(tally.conflicts)))


def _publish_if_counted(engine: Engine, tally: _Tally) -> bool:
    """The one transaction after which all is seen; False if the dataset changed while its labels were counted."""
    with read(engine) as conn:
        version = _data_version(conn, tally.dataset_id)
        num_labels = count_labels(conn, tally.dataset_id, including=tally.import_id)
    counts = tally.counts()
    with write(engine) as conn:
        _hold(conn, tally.ticket)
        if _data_version(conn, tally.dataset_id) != version:
            return False
        _own_what_is_shared(conn, tally.import_id)
        conn.execute(
            update(imports)
            .where(imports.c.id == tally.import_id)
            .values(
                published=time.time(),
                read=counts.read,
                added=counts.added,
                duplicates=counts.duplicates,
                identical=counts.identical,
                conflicts=counts.conflicts,
                skipped=counts.skipped,
            )
        )
        conn.execute(
            update(datasets)
            .where(datasets.c.id == tally.dataset_id)
            .values(
                removed=None, num_pairs=datasets.c.num_pairs + tally.added, data_version=datasets.c.data_version + 1
            )
        )
        labeler_rows.store_counts(conn, tally.dataset_id, num_labels)
        # The first of the late labels at once: nobody sees a short file's votes without them.
        rebuild(conn, _late_pairs(conn, tally.import_id, after=0))
    return True


def _data_version(conn: Connection, dataset_id: int) -> int:
    return int(conn.execute(select(datasets.c.data_version).where(datasets.c.id == dataset_id)).scalar_one())


def _own_what_is_shared(conn: Connection, import_id: int) -> None:
    """Votes and pairs that this import shares with other unpublished ones: what becomes of those must not matter.

    A pair's labels from an unpublished import's votes are not for the readers that it has from now on.
    """
    others = list(conn.execute(_unpublished_beside(import_id)).scalars())
    mine = borrowed_votes.c.import_id == import_id
    if others:
        borrowed = votes.c.id.in_(select(borrowed_votes.c.vote_id).where(mine))
        conn.execute(update(votes).where(borrowed, votes.c.import_id.in_(others)).values(import_id=import_id))
        members = select(memberships.c.pair_id).where(memberships.c.import_id == import_id)
        shared = select(pairs.c.id, pairs.c.import_id).where(pairs.c.import_id.in_(others), pairs.c.id.in_(members))
        makers: dict[int, list[int]] = {}
        for pair_id, maker in conn.execute(shared):
            makers.setdefault(maker, []).append(pair_id)
        for maker, pair_ids in makers.items():
            for start in range(0, len(pair_ids), BATCH_ROWS):
                chunk = pair_ids[start : start + BATCH_ROWS]
                _owe_labels(conn, maker, chunk)
                _owe_labels(conn, import_id, chunk)
                conn.execute(delete(labels).where(labels.c.pair_id.in_(chunk)))
                conn.execute(update(pairs).where(pairs.c.id.in_(chunk)).values(import_id=import_id))
    conn.execute(delete(borrowed_votes).where(mine))


def _late_pairs(conn: Connection, import_id: int, *, after: int) -> list[int]:
    owed = select(late_labels.c.pair_id).where(late_labels.c.import_id == import_id, late_labels.c.pair_id > after)
    return list(conn.execute(owed.order_by(late_labels.c.pair_id).limit(BATCH_ROWS)).scalars())


def _derive_late(engine: Engine, import_id: int) -> set[tuple[int, int]]:
    """Labels of pairs that were visible before, in short transactions; the conflicts, as (pair, labeler).

    What is owed stands in the store until all is done: a killed import's rest is finished at the next start.
    """
    conflicts: set[tuple[int, int]] = set()
    holding: set[int] = set()
    after = 0
    while True:
        with write(engine) as conn:
            take_turn(conn)
            chunk = _late_pairs(conn, import_id, after=after)
            if not chunk:
                break
            for pair_id, labeler_id, label in rebuild(conn, chunk):
                if label.consistency is Consistency.REPEAT_SPLIT:
                    conflicts.add((pair_id, labeler_id))
            holders = select(memberships.c.dataset_id).where(memberships.c.pair_id.in_(chunk)).distinct()
            holding |= set(conn.execute(holders).scalars())
            conn.execute(update(imports).where(imports.c.id == import_id).values(started=time.time()))
        after = chunk[-1]
    for dataset_id in holding:
        _count_again(engine, dataset_id)
    if after:
        with write(engine) as conn:
            conn.execute(delete(late_labels).where(late_labels.c.import_id == import_id))
    return conflicts


def _count_again(engine: Engine, dataset_id: int) -> None:
    while True:
        with read(engine) as conn:
            version = _data_version(conn, dataset_id)
            num_labels = count_labels(conn, dataset_id)
        with write(engine) as conn:
            take_turn(conn)
            if _data_version(conn, dataset_id) == version:
                labeler_rows.store_counts(conn, dataset_id, num_labels)
                touch(conn, dataset_id)
                return


def _take_back(engine: Engine, ticket: _Ticket) -> None:
    """Remove everything that an unpublished import wrote, in short transactions."""
    try:
        own = _take_over(engine, ticket)
        # Its borrowings first: a vote that another leaves must not come to this one any more.
        _delete_all(engine, own, borrowed_votes.c.vote_id)
        _leave_votes(engine, own)
        _delete_all(engine, own, aliases.c.row_id)
        _delete_all(engine, own, memberships.c.id)
        _leave_pairs(engine, own)
        _delete_all(engine, own, late_labels.c.pair_id)
        _forget(engine, own)
    except _LostTicketError:
        return  # published, removed, or being removed by another process


def _take_over(engine: Engine, ticket: _Ticket) -> _Ticket:
    """From here on the import that wrote the rows, should it live, can write no more."""
    own = _Ticket(ticket.import_id, uuid.uuid4().hex)
    with write(engine) as conn:
        _hold(conn, ticket)
        values = {"token": own.token, **_this_process()}
        conn.execute(update(imports).where(imports.c.id == ticket.import_id).values(**values))
    return own


def _delete_all(engine: Engine, ticket: _Ticket, key: Column[Any]) -> None:
    table = key.table
    mine = table.c.import_id == ticket.import_id
    while True:
        with write(engine) as conn:
            _hold(conn, ticket)
            some = conn.execute(select(key).where(mine).limit(5 * BATCH_ROWS)).scalars().all()
            if not some:
                return
            conn.execute(delete(table).where(mine, key.in_(some)))


def _leave_votes(engine: Engine, ticket: _Ticket) -> None:
    """Delete its votes, but for those that another import borrowed: they become that one's."""
    mine = votes.c.import_id == ticket.import_id
    while True:
        with write(engine) as conn:
            _hold(conn, ticket)
            some = conn.execute(select(votes.c.id).where(mine).limit(BATCH_ROWS)).scalars().all()
            if not some:
                return
            wanted = select(borrowed_votes.c.vote_id, func.min(borrowed_votes.c.import_id))
            wanted = wanted.where(borrowed_votes.c.vote_id.in_(some)).group_by(borrowed_votes.c.vote_id)
            heirs = {row[0]: row[1] for row in conn.execute(wanted)}
            for vote_id, heir in heirs.items():
                conn.execute(update(votes).where(votes.c.id == vote_id).values(import_id=heir))
                of_heir = (borrowed_votes.c.vote_id == vote_id) & (borrowed_votes.c.import_id == heir)
                conn.execute(delete(borrowed_votes).where(of_heir))
            conn.execute(delete(votes).where(votes.c.id.in_([i for i in some if i not in heirs])))


def _leave_pairs(engine: Engine, ticket: _Ticket) -> None:
    after = 0
    while True:
        with write(engine) as conn:
            _hold(conn, ticket)
            mine = (pairs.c.import_id == ticket.import_id) & (pairs.c.id > after)
            some = list(conn.execute(select(pairs.c.id).where(mine).order_by(pairs.c.id).limit(BATCH_ROWS)).scalars())
            if not some:
                return
            after = some[-1]
            _leave_some_pairs(conn, ticket.import_id, some)


def _leave_some_pairs(conn: Connection, import_id: int, pair_ids: Sequence[int]) -> None:
    """Pairs that another import has too become that one's; those made here go; those purged before are purged again."""
    owed = (late_labels.c.import_id == import_id) & late_labels.c.pair_id.in_(pair_ids)
    revived = set(conn.execute(select(late_labels.c.pair_id).where(owed, late_labels.c.has_text_from_it)).scalars())
    conn.execute(delete(late_labels).where(owed))
    heirs = _heirs(conn, pair_ids)
    for heir, inherited in heirs.items():
        conn.execute(update(pairs).where(pairs.c.id.in_(inherited)).values(import_id=heir))
        _owe_labels(conn, heir, revived & set(inherited), has_text_from_it=True)
        rebuild(conn, inherited)
    left = set(pair_ids).difference(*heirs.values())
    kept = revived & left
    for table in (votes, snapshot_pairs, verdicts):
        kept |= set(conn.execute(select(table.c.pair_id).where(table.c.pair_id.in_(left)).distinct()).scalars())
    if gone := sorted(left - kept):
        forget_words(conn, gone)
        conn.execute(delete(labels).where(labels.c.pair_id.in_(gone)))
        conn.execute(delete(pairs).where(pairs.c.id.in_(gone)))
    if kept:
        erase(conn, sorted(kept))
        rebuild(conn, sorted(kept))
        earlier = select(func.min(imports.c.id)).where(imports.c.published.is_not(None)).scalar_subquery()
        values = {"import_id": func.coalesce(earlier, pairs.c.import_id)}
        conn.execute(update(pairs).where(pairs.c.id.in_(kept)).values(**values))


def _heirs(conn: Connection, pair_ids: Sequence[int]) -> dict[int, list[int]]:
    """Import -> pairs of which it has a membership; a published one goes before others."""
    holding = select(memberships.c.pair_id, memberships.c.import_id).join(imports)
    first = holding.where(memberships.c.pair_id.in_(pair_ids)).order_by(imports.c.published.is_(None), imports.c.id)
    heir_of: dict[int, int] = {}
    for pair_id, heir in conn.execute(first):
        heir_of.setdefault(pair_id, heir)
    heirs: dict[int, list[int]] = {}
    for pair_id, heir in heir_of.items():
        heirs.setdefault(heir, []).append(pair_id)
    return heirs


def _forget(engine: Engine, ticket: _Ticket) -> None:
    """The import itself, and its dataset if nothing else was ever imported into it."""
    with write(engine) as conn:
        _hold(conn, ticket)
        step_back(conn)
        if conn.execute(select(pairs.c.id).where(pairs.c.import_id == ticket.import_id).limit(1)).scalar() is not None:
            return
        found = imports.c.id == ticket.import_id
        dataset_id = conn.execute(select(imports.c.dataset_id).where(found)).scalar_one()
        conn.execute(delete(imports).where(found))
        if conn.execute(select(imports.c.id).where(imports.c.dataset_id == dataset_id).limit(1)).scalar() is None:
            conn.execute(delete(dataset_labelers).where(dataset_labelers.c.dataset_id == dataset_id))
            conn.execute(delete(datasets).where(datasets.c.id == dataset_id))
