"""A file becomes pairs, votes and memberships: all of it or nothing, in short transactions.

Rows are written under an import number that no reader follows until the last transaction publishes it.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from core.errors import BadFile
from core.label import label_of
from core.records import BadRow, Consistency, IdenticalRow, Kind, Label, PairRow, Part, Vote
from core.split import part_of
from db import labelers as labeler_rows
from db.connect import insert_many, read, write
from db.datasets import erase, touch
from db.labels import count_labels, rebuild, upsert_labels
from db.schema import (
    aliases,
    datasets,
    imports,
    labels,
    memberships,
    pairs,
    snapshot_pairs,
    votes,
)
from db.search import add_words, forget_words, step_back

BATCH_ROWS = 1000  # keeps a transaction under 200 ms on two slow cores
REPORT_SECONDS = 0.3
STALE_IMPORT_SECONDS = 120.0  # a living import writes every second


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


@dataclass(slots=True, kw_only=True)
class _Tally:
    dataset: str
    file: str
    import_id: int = 0
    dataset_id: int = 0
    read: int = 0
    added: int = 0
    duplicates: int = 0
    identical: int = 0
    conflicts: set[tuple[int, int]] = field(default_factory=set)
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: dict[str, BadRow] = field(default_factory=dict)
    labelers: dict[tuple[str, Kind], int] = field(default_factory=dict)
    lines_taken: set[int] = field(default_factory=set)  # lines whose `dataset:line` names a pair of another file
    late: set[int] = field(default_factory=set)  # pairs that others see: their labels follow after publishing

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

    Raises BadFile, leaving nothing behind, if a row is bad (unless `skip_bad`) or no pair can be used. A dry run counts
    against the store as it is and removes its own rows again.
    """
    remove_unpublished(engine, older_than=STALE_IMPORT_SECONDS)
    tally = _begin(engine, dataset, file)
    try:
        yield from _write_all(engine, tally, rows, split=split, skip_bad=skip_bad)
        _refuse_if_useless(tally, skip_bad=skip_bad)
        if dry_run:
            _take_back(engine, tally)
        else:
            _publish(engine, tally)
    except BaseException:
        _take_back(engine, tally)
        raise
    yield tally.counts()


def remove_unpublished(engine: Engine, *, older_than: float = 0.0) -> int:
    """Remove what imports that never published left behind; how many there were.

    Args:
        older_than: seconds since the import last wrote; younger ones may still be going.
    """
    with read(engine) as conn:
        silent = imports.c.started < time.time() - older_than
        dead = conn.execute(select(imports.c.id).where(imports.c.published.is_(None), silent)).scalars().all()
    for import_id in dead:
        _remove_rows(engine, import_id)
    return len(dead)


def any_since(conn: Connection, *, when: float) -> bool:
    """Whether an import was published after a moment (seconds since 1970)."""
    return conn.execute(select(imports.c.id).where(imports.c.published > when).limit(1)).scalar() is not None


def _begin(engine: Engine, dataset: str, file: str) -> _Tally:
    tally = _Tally(dataset=dataset, file=file)
    with write(engine) as conn:
        found = conn.execute(select(datasets.c.id).where(datasets.c.name == dataset)).scalar()
        if found is None:
            created = insert(datasets).values(name=dataset, created=time.time()).returning(datasets.c.id)
            found = conn.execute(created).scalar_one()
        tally.dataset_id = found
        begun = insert(imports).values(dataset_id=found, file=file, started=time.time()).returning(imports.c.id)
        tally.import_id = conn.execute(begun).scalar_one()
    return tally


def _write_all(
    engine: Engine,
    tally: _Tally,
    rows: Iterable[PairRow | BadRow | IdenticalRow],
    *,
    split: Part | None,
    skip_bad: bool,
) -> Iterator[ImportCounts]:
    source = iter(rows)
    said = time.monotonic()
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
        if time.monotonic() - said > REPORT_SECONDS:
            said = time.monotonic()
            yield tally.counts()


def _storable(row: PairRow, file: str) -> PairRow | BadRow:
    said = [message.content for message in row.pair.prompt]
    said += [row.pair.response_a, row.pair.response_b, row.id or "", row.subset or "", row.meta or ""]
    said += [vote.rationale or "" for vote in row.votes]
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
    fresh: dict[bytes, int] = field(default_factory=dict)  # pairs that this batch made


def _write_batch(engine: Engine, tally: _Tally, batch: Sequence[PairRow], split: Part | None) -> None:
    hashes = [bytes.fromhex(row.pair.hash) for row in batch]
    prompts = [row.pair.prompt_hash for row in batch]
    with write(engine) as conn:
        _know_labelers(conn, tally, batch)
        known = _look_up(conn, tally, hashes, [_row_id(tally, row) for row in batch])
        accepted = _accept(tally, batch, hashes, known)
        _insert_pairs(conn, tally, [(row, digest, prompts[i]) for i, (row, digest) in accepted.items()], known)
        changed = _insert_members(conn, tally, accepted, known, split)
        voted = _insert_votes(conn, tally, accepted, known)
        tally.duplicates += len(accepted) - len(changed | voted)
        conn.execute(update(imports).where(imports.c.id == tally.import_id).values(started=time.time()))


def _row_id(tally: _Tally, row: PairRow) -> str:
    if row.id is not None:
        return row.id
    again = f"#{tally.import_id}" if row.line in tally.lines_taken else ""
    return f"{tally.dataset}:{row.line}{again}"


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
    keys: set[tuple[int, int, bytes]] = set()
    if pair_ids:
        given = select(votes.c.pair_id, votes.c.labeler_id, votes.c.key).where(votes.c.pair_id.in_(pair_ids.values()))
        keys = {(pair_id, labeler_id, bytes(key)) for pair_id, labeler_id, key in conn.execute(given)}
    return _Known(pair_ids, own, purged, members, known_ids, keys)


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
            tally.lines_taken.add(row.line)
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
            touched.setdefault(pair_id, {}).setdefault(labeler_id, []).append(vote)
            values.append(_vote_row(tally, vote, pair_id=pair_id, labeler_id=labeler_id, key=key))
    insert_many(conn, votes, values)
    tally.late |= touched.keys() - known.own
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


def _publish(engine: Engine, tally: _Tally) -> None:
    with read(engine) as conn:
        num_labels = count_labels(conn, tally.dataset_id, including=tally.import_id)
    counts = tally.counts()
    with write(engine) as conn:
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
    _publish_late(engine, tally)


def _publish_late(engine: Engine, tally: _Tally) -> None:
    """Labels are derived: those of pairs that were visible before follow now, in short transactions of their own."""
    late = sorted(tally.late)
    holding = {tally.dataset_id} if late else set()
    for start in range(0, len(late), BATCH_ROWS):
        chunk = late[start : start + BATCH_ROWS]
        with write(engine) as conn:
            for pair_id, labeler_id, label in rebuild(conn, chunk):
                if label.consistency is Consistency.REPEAT_SPLIT:
                    tally.conflicts.add((pair_id, labeler_id))
            holders = select(memberships.c.dataset_id).where(memberships.c.pair_id.in_(chunk)).distinct()
            holding |= set(conn.execute(holders).scalars())
    for dataset_id in holding:
        with read(engine) as conn:
            num_labels = count_labels(conn, dataset_id)
        with write(engine) as conn:
            labeler_rows.store_counts(conn, dataset_id, num_labels)
            touch(conn, dataset_id)


def _take_back(engine: Engine, tally: _Tally) -> None:
    _remove_rows(engine, tally.import_id)
    with write(engine) as conn:
        used = select(func.count()).select_from(imports).where(imports.c.dataset_id == tally.dataset_id)
        if not conn.execute(used).scalar_one():
            conn.execute(delete(datasets).where(datasets.c.id == tally.dataset_id))


def _remove_rows(engine: Engine, import_id: int) -> None:
    """Everything that an unpublished import wrote, in short transactions."""
    with write(engine) as conn:
        published = conn.execute(select(imports.c.published).where(imports.c.id == import_id)).scalar()
        if published is not None:
            return
    for table in (votes, aliases, memberships):
        while _delete_some(engine, table, table.c.import_id == import_id):
            pass
    unused = (
        ~select(memberships.c.id).where(memberships.c.pair_id == pairs.c.id).exists()
        & ~select(votes.c.id).where(votes.c.pair_id == pairs.c.id).exists()
        & ~select(snapshot_pairs.c.pair_id).where(snapshot_pairs.c.pair_id == pairs.c.id).exists()
    )
    mine = pairs.c.import_id == import_id
    while True:
        with write(engine) as conn:
            ids = conn.execute(select(pairs.c.id).where(mine, unused).limit(BATCH_ROWS)).scalars().all()
            if not ids:
                break
            forget_words(conn, ids)
            conn.execute(delete(labels).where(labels.c.pair_id.in_(ids)))
            conn.execute(delete(pairs).where(pairs.c.id.in_(ids)))
    with write(engine) as conn:
        # A pair that another import shares stays; it now belongs to that import.
        shared = select(memberships.c.import_id).where(memberships.c.pair_id == pairs.c.id).limit(1).scalar_subquery()
        conn.execute(update(pairs).where(mine).values(import_id=func.coalesce(shared, pairs.c.import_id)))
        # One that was purged before and had got its text back from this import goes back to that.
        erased = list(conn.execute(select(pairs.c.id).where(mine)).scalars())
        for start in range(0, len(erased), BATCH_ROWS):
            erase(conn, erased[start : start + BATCH_ROWS])
            rebuild(conn, erased[start : start + BATCH_ROWS])
        earlier = select(func.min(imports.c.id)).where(imports.c.published.is_not(None)).scalar_subquery()
        conn.execute(update(pairs).where(mine).values(import_id=func.coalesce(earlier, pairs.c.import_id)))
        step_back(conn)
        still = conn.execute(select(pairs.c.id).where(mine).limit(1)).scalar()
        if still is None:
            conn.execute(delete(imports).where(imports.c.id == import_id))


def _delete_some(engine: Engine, table: object, condition: object) -> int:
    with write(engine) as conn:
        key = list(table.primary_key.columns)[-1]  # type: ignore[attr-defined]  # a Table
        ids = conn.execute(select(key).where(condition).limit(5 * BATCH_ROWS)).scalars().all()  # type: ignore[arg-type]  # a clause
        if not ids:
            return 0
        conn.execute(delete(table).where(condition, key.in_(ids)))  # type: ignore[arg-type]  # a Table and a clause
        return len(ids)
