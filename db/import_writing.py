"""A batch of rows becomes pairs, memberships, votes and labels in one short transaction.

No import counts on what another one has not published: a vote that both bring has one row, which the other borrows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, insert, select, update

from core.label import label_of
from core.records import BadRow, Consistency, Label, PairRow, Part, Vote
from core.split import part_of
from db import labelers as labeler_rows
from db.connect import insert_many, write
from db.import_sharing import owe_labels, unpublished_beside
from db.import_tally import Tally
from db.import_tickets import hold
from db.labels import rebuild, upsert_labels
from db.schema import (
    aliases,
    borrowed_votes,
    memberships,
    pairs,
    votes,
)
from db.search import add_words


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


def write_batch(engine: Engine, tally: Tally, batch: Sequence[PairRow], split: Part | None) -> None:
    hashes = [bytes.fromhex(row.pair.hash) for row in batch]
    prompts = [row.pair.prompt_hash for row in batch]
    with write(engine) as conn:
        hold(conn, tally.ticket)
        _know_labelers(conn, tally, batch)
        known = _look_up(conn, tally, hashes, [_row_id(tally, row) for row in batch])
        accepted = _accept(tally, batch, hashes, known)
        _insert_pairs(conn, tally, [(row, digest, prompts[i]) for i, (row, digest) in accepted.items()], known)
        changed = _insert_members(conn, tally, accepted, known, split)
        voted = _insert_votes(conn, tally, accepted, known)
        tally.verdicts += [
            (known.pair_ids[digest], verdict) for row, digest in accepted.values() for verdict in row.verdicts
        ]
        tally.relabeled += len(voted - changed)
        tally.duplicates += len(accepted) - len(changed | voted)


def _row_id(tally: Tally, row: PairRow) -> str:
    again = f"#{tally.import_id}" if row.id is None and (row.line, row.place) in tally.lines_taken else ""
    return row.id_within(tally.dataset) + again


def _know_labelers(conn: Connection, tally: Tally, batch: Sequence[PairRow]) -> None:
    for row in batch:
        for vote in row.votes:
            key = (vote.labeler, vote.kind)
            if key not in tally.labelers:
                tally.labelers[key] = labeler_rows.imported(conn, vote.labeler, vote.kind)


def _look_up(conn: Connection, tally: Tally, hashes: list[bytes], row_ids: list[str]) -> _Known:
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
    others = set(conn.execute(unpublished_beside(import_id)).scalars())
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


def _accept(
    tally: Tally, batch: Sequence[PairRow], hashes: list[bytes], known: _Known
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


def _insert_pairs(conn: Connection, tally: Tally, rows: Sequence[tuple[PairRow, bytes, str]], known: _Known) -> None:
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


def _bring_back(conn: Connection, tally: Tally, rows: Sequence[tuple[PairRow, bytes, str]], known: _Known) -> None:
    """Give pairs whose text was purged their text again."""
    again = {known.pair_ids[digest]: row for row, digest, _ in rows if known.pair_ids.get(digest) in known.purged}
    for pair_id, row in again.items():
        values = {**_texts(row), "purged": False, "import_id": tally.import_id}
        conn.execute(update(pairs).where(pairs.c.id == pair_id).values(**values))
    if again:
        add_words(conn, list(again))
        owe_labels(conn, tally.import_id, list(again), has_text_from_it=True)


def _texts(row: PairRow) -> dict[str, str]:
    return {
        "prompt": json.dumps([[m.role.value, m.content] for m in row.pair.prompt], ensure_ascii=False),
        "response_a": row.pair.response_a,
        "response_b": row.pair.response_b,
    }


def _insert_members(
    conn: Connection,
    tally: Tally,
    accepted: dict[int, tuple[PairRow, bytes]],
    known: _Known,
    split: Part | None,
) -> set[int]:
    """Memberships and aliases; the places in the batch that made a new membership."""
    members, others, changed = [], {}, set()
    for place, (row, digest) in accepted.items():
        pair_id, row_id = known.pair_ids[digest], _row_id(tally, row)
        declared = split or row.split
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
                "split": declared and declared.value,
                "part": (declared or part_of(row.pair.prompt_hash)).value,
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
    conn: Connection, tally: Tally, accepted: dict[int, tuple[PairRow, bytes]], known: _Known
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
    owe_labels(conn, tally.import_id, (touched.keys() - known.own) | set(borrowed.values()))
    for pair_id, labeler_id, label in _label_own(conn, tally, touched, known):
        if label.consistency is Consistency.REPEAT_SPLIT:
            tally.conflicts.add((pair_id, labeler_id))
    return voted


def _label_own(
    conn: Connection, tally: Tally, touched: dict[int, dict[int, list[Vote]]], known: _Known
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


def _vote_row(tally: Tally, vote: Vote, *, pair_id: int, labeler_id: int, key: bytes) -> dict[str, object]:
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
