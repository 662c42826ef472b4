"""Pairs and memberships: one, many, filtered, in the file's order. Pages by key, never by offset."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Row, Select, false, func, literal_column, select

from core.errors import NotFound
from core.records import Consistency, Label, Message, Pair, Part, Preference, Role, Vote
from db import labelers as labeler_rows
from db import labels as label_rows
from db import search
from db import verdicts as verdict_rows
from db.schema import aliases, dataset_labelers, datasets, imports, labels, memberships, pairs, verdicts

PREVIEW_CHARACTERS = 160
RARE_PAIRS = 20_000  # fetched and sorted in under 100 ms; at 2% of a million a walk in order finds a page as quickly
_FIRST_BLOCK, _LAST_BLOCK = 500, 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFilter:
    """What to show of a dataset; None where it does not matter."""

    dataset_id: int
    words: str | None = None  # full text
    part: Part | None = None
    subset: str | None = None
    labeler: str | None = None  # a name; pooled kinds are not filtered by label
    side: str | None = None  # a, b, tie, none: of that labeler, in the stored order
    consistency: Consistency | None = None
    reviewed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowseRow:
    """One line of a list of pairs: previews, not texts."""

    membership_id: int
    pair_id: int
    row_id: str
    prompt: str
    response_a: str
    response_b: str
    subset: str | None
    part: Part
    swapped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPair:
    """One pair with everything said about it."""

    pair_id: int
    pair: Pair
    part: Part
    votes: tuple[Vote, ...]
    labels: tuple[tuple[str, Label], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A pair's place in a dataset, without its text. Lengths in characters, in the stored order."""

    pair_id: int
    row_id: str
    line: int
    subset: str | None
    swapped: bool
    part: Part
    length_a: int
    length_b: int
    prompt_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AsGiven:
    """What the user's file said of a pair beside its text: declared part, further ids, other columns as JSON."""

    split: Part | None
    aliases: list[str]
    meta: str | None


def browse(
    conn: Connection, chosen: PairFilter, *, after: int | None = None, before: int | None = None, limit: int = 50
) -> list[BrowseRow]:
    """A page in the file's order: the first rows after a membership id, or the last before one."""
    narrowed = _narrow(conn, chosen)
    columns = (
        memberships.c.id,
        memberships.c.pair_id,
        memberships.c.row_id,
        memberships.c.subset,
        memberships.c.part,
        memberships.c.swapped,
    )
    statement: Select[Any] = select(*columns).where(*narrowed.conditions)
    # The sum keeps SQLite from walking all memberships in order, which it prefers to sorting the few that fit.
    place = memberships.c.id + 0 if narrowed.is_rare else memberships.c.id
    statement = statement.order_by(place.asc() if before is None else place.desc())
    edge = (after or 0) if before is None else before
    if narrowed.common_words is None:
        rows = list(conn.execute(statement.where(_beyond(edge, is_before=before is not None)).limit(limit)))
    else:
        rows = _walk(conn, statement, narrowed.common_words, edge=edge, is_before=before is not None, limit=limit)
    rows.sort(key=lambda row: int(row.id))
    texts = dict(_texts(conn, [row.pair_id for row in rows]))
    return [
        BrowseRow(
            membership_id=row.id,
            pair_id=row.pair_id,
            row_id=row.row_id,
            prompt=_preview(texts[row.pair_id].prompt[-1].content if texts[row.pair_id].prompt else ""),
            response_a=_preview(texts[row.pair_id].response_a),
            response_b=_preview(texts[row.pair_id].response_b),
            subset=row.subset,
            part=Part(row.part),
            swapped=row.swapped,
        )
        for row in rows
    ]


def count(conn: Connection, chosen: PairFilter, *, at_most: int = 1000) -> int:
    """How many pairs a filter leaves, counted up to `at_most` only."""
    narrowed = _narrow(conn, chosen)
    some = select(memberships.c.id).where(*narrowed.conditions)
    if narrowed.common_words is not None:
        # The sign keeps SQLite from asking the index anew for every membership: it goes through the matches instead.
        some = some.join(
            narrowed.common_words.subquery("found"), literal_column("+found.rowid") == memberships.c.pair_id
        )
    return int(conn.execute(select(func.count()).select_from(some.limit(at_most).subquery())).scalar_one())


def get(conn: Connection, pair_id: int) -> StoredPair:
    row = conn.execute(select(pairs).where(pairs.c.id == pair_id)).one_or_none()
    if row is None:
        raise NotFound(f"no pair {pair_id} in the store")
    return StoredPair(
        pair_id=pair_id,
        pair=Pair(_prompt(row.prompt), row.response_a, row.response_b),
        part=Part(row.part),
        votes=tuple(label_rows.votes_of(conn, pair_id)),
        labels=tuple(label_rows.of_pair(conn, pair_id)),
    )


def with_row_id(conn: Connection, dataset_id: int, row_id: str) -> int:
    """The pair that an id of the user's file names; NotFound if there is none."""
    named = (memberships.c.dataset_id == dataset_id) & (memberships.c.row_id == row_id)
    by_id = select(memberships.c.pair_id).where(named, _is_published())
    published = aliases.c.import_id.in_(select(imports.c.id).where(imports.c.published.is_not(None)))
    also = (aliases.c.dataset_id == dataset_id) & (aliases.c.row_id == row_id)
    by_alias = select(aliases.c.pair_id).where(also, published)
    found = conn.execute(by_id).scalar() or conn.execute(by_alias).scalar()
    if found is None:
        raise NotFound(f"no pair {row_id!r} in the dataset")
    return int(found)


def texts(conn: Connection, pair_ids: Sequence[int]) -> Iterator[tuple[int, Pair]]:
    """Pairs with their text, by id; purged ones are left out."""
    for start in range(0, len(pair_ids), 1000):
        yield from _texts(conn, pair_ids[start : start + 1000])


def members(
    conn: Connection, dataset_id: int, *, part: Part | None = None, limit: int | None = None
) -> Iterator[Member]:
    """Everything a dataset holds, in the file's order, streamed."""
    statement = (
        select(
            memberships.c.pair_id,
            memberships.c.row_id,
            memberships.c.line,
            memberships.c.subset,
            memberships.c.swapped,
            memberships.c.part,
            pairs.c.length_a,
            pairs.c.length_b,
            pairs.c.prompt_hash,
        )
        .join(pairs, pairs.c.id == memberships.c.pair_id)
        .where(memberships.c.dataset_id == dataset_id, _is_published())
        .order_by(memberships.c.id)
        .limit(limit)
    )
    if part is not None:
        statement = statement.where(memberships.c.part == part.value)
    for row in conn.execute(statement):
        yield Member(
            pair_id=row.pair_id,
            row_id=row.row_id,
            line=row.line,
            subset=row.subset,
            swapped=row.swapped,
            part=Part(row.part),
            length_a=row.length_a,
            length_b=row.length_b,
            prompt_hash=bytes(row.prompt_hash).hex(),
        )


def as_given(conn: Connection, dataset_id: int, pair_ids: Sequence[int]) -> dict[int, AsGiven]:
    """By pair id."""
    mine = (aliases.c.dataset_id == dataset_id) & aliases.c.pair_id.in_(pair_ids)
    others: dict[int, list[str]] = {}
    for pair_id, row_id in conn.execute(select(aliases.c.pair_id, aliases.c.row_id).where(mine)):
        others.setdefault(pair_id, []).append(row_id)
    columns = (memberships.c.pair_id, memberships.c.split, memberships.c.meta)
    found = select(*columns).where(memberships.c.dataset_id == dataset_id, memberships.c.pair_id.in_(pair_ids))
    return {
        pair_id: AsGiven(split=None if split is None else Part(split), aliases=others.get(pair_id, []), meta=meta)
        for pair_id, split, meta in conn.execute(found)
    }


def members_frame(conn: Connection, dataset_id: int) -> pd.DataFrame:
    """The same without lengths and prompts, as columns: pair_id, row_id, subset, swapped, part."""
    columns = [memberships.c[name] for name in ("pair_id", "row_id", "subset", "swapped", "part")]
    mine = (memberships.c.dataset_id == dataset_id) & _is_published()
    found = conn.execute(select(*columns).where(mine).order_by(memberships.c.id))
    return pd.DataFrame(found.all(), columns=[column.name for column in columns])


def subsets(conn: Connection, dataset_id: int, *, at_most: int = 200) -> list[str]:
    """Names of a dataset's subsets: one index seek each, whatever their size."""
    found: list[str] = []
    mine = memberships.c.dataset_id == dataset_id
    last: str | None = None
    while len(found) < at_most:
        following = select(func.min(memberships.c.subset)).where(mine)
        last = conn.execute(following if last is None else following.where(memberships.c.subset > last)).scalar()
        if last is None:
            break
        found.append(last)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Narrowed:
    """A filter as conditions on memberships.

    Attributes:
        is_rare: one of the conditions leaves few pairs, so that a query had best begin with them.
        common_words: what a search finds where that is too much to begin with; no part of the conditions.
    """

    conditions: list[ColumnElement[bool]]
    is_rare: bool
    common_words: Select[tuple[int]] | None


def _narrow(conn: Connection, chosen: PairFilter) -> _Narrowed:
    """What leaves few pairs is looked up first and its members fetched; what leaves many is tested on the way."""
    tested: list[ColumnElement[bool]] = []
    few: list[tuple[int, Select[tuple[int]]]] = []
    for found, wanted in _label_conditions(conn, chosen) + _verdict_conditions(chosen):
        fits = found.where(found.selected_columns[0] == memberships.c.pair_id).exists()
        tested.append(fits if wanted else ~fits)
        size = _size(conn, found) if wanted else RARE_PAIRS + 1
        if size <= RARE_PAIRS:
            few.append((size, found))
    fewest = min(few, key=lambda one: one[0])[1] if few else None
    common_words = None
    if chosen.words:
        matching = search.matching(conn, chosen.words)
        if conn.dialect.name != "sqlite" or _size(conn, matching) <= RARE_PAIRS:
            fewest = matching if fewest is None else matching.where(matching.selected_columns[0].in_(fewest))
        elif fewest is not None:
            # The sign keeps SQLite from asking the index anew for every one of the few.
            fewest = matching.where(literal_column("+pair_words.rowid").in_(fewest))
        else:
            common_words = matching
    conditions = _member_conditions(conn, chosen, is_rare=fewest is not None)
    if fewest is not None:
        conditions.append(memberships.c.pair_id.in_(fewest))
    return _Narrowed(conditions=[*conditions, *tested], is_rare=fewest is not None, common_words=common_words)


def _member_conditions(conn: Connection, chosen: PairFilter, *, is_rare: bool) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [memberships.c.dataset_id == chosen.dataset_id, _is_published()]
    for column, wanted in ((memberships.c.part, chosen.part), (memberships.c.subset, chosen.subset)):
        if wanted is not None:
            # Within a function a column has no index: SQLite would rather walk a subset than begin with the few.
            conditions.append((func.coalesce(column, "") if is_rare else column) == str(wanted))
    if chosen.side == "none" and _has_labeled_all(conn, chosen):
        conditions.append(false())
    return conditions


def _has_labeled_all(conn: Connection, chosen: PairFilter) -> bool:
    # Without the kept counts, finding that there is nothing to find takes a walk through everything.
    versions = labeler_rows.newest_versions(conn, chosen.labeler or "", dataset_id=chosen.dataset_id)
    kept = (dataset_labelers.c.dataset_id == datasets.c.id) & dataset_labelers.c.labeler_id.in_(versions)
    all_of_it = (datasets.c.id == chosen.dataset_id) & (dataset_labelers.c.num_labels >= datasets.c.num_pairs)
    return conn.execute(select(datasets.c.id).join(dataset_labelers, kept).where(all_of_it)).first() is not None


def _size(conn: Connection, found: Select[tuple[int]]) -> int:
    """How many there are, counted up to one more than is rare."""
    counted = select(func.count()).select_from(found.limit(RARE_PAIRS + 1).subquery())
    return int(conn.execute(counted).scalar_one())


def _walk(
    conn: Connection,
    statement: Select[Any],
    words: Select[tuple[int]],
    *,
    edge: int,
    is_before: bool,
    limit: int,
) -> list[Row[Any]]:
    """The first members in order that hold common words: block after block, a range of the index for each."""
    found: list[Row[Any]] = []
    size = _FIRST_BLOCK
    while True:
        block = conn.execute(statement.where(_beyond(edge, is_before=is_before)).limit(size)).all()
        if block:
            ids = [row.pair_id for row in block]
            rowid = words.selected_columns[0]
            fits = set(conn.execute(words.where(rowid >= min(ids), rowid <= max(ids))).scalars())
            found += [row for row in block if row.pair_id in fits]
        if len(found) >= limit or len(block) < size:
            return found[:limit]
        edge, size = block[-1].id, min(4 * size, _LAST_BLOCK)


def _beyond(edge: int, *, is_before: bool) -> ColumnElement[bool]:
    return memberships.c.id < edge if is_before else memberships.c.id > edge


def _label_conditions(conn: Connection, chosen: PairFilter) -> list[tuple[Select[tuple[int]], bool]]:
    """(ids of pairs, whether they are wanted) for what is asked of a labeler's labels."""
    if chosen.labeler is None or (chosen.side is None and chosen.consistency is None):
        return []
    versions = labeler_rows.newest_versions(conn, chosen.labeler, dataset_id=chosen.dataset_id)
    found = select(labels.c.pair_id).where(labels.c.labeler_id.in_(versions))
    if chosen.side == "none":
        return [(found, False)]
    if chosen.side == "tie":
        found = found.where(labels.c.side.is_(None))
    elif chosen.side is not None:
        found = found.where(labels.c.side == Preference(chosen.side).value)
    if chosen.consistency is not None:
        found = found.where(labels.c.consistency == chosen.consistency.value)
    return [(found, True)]


def _verdict_conditions(chosen: PairFilter) -> list[tuple[Select[tuple[int]], bool]]:
    if chosen.reviewed is None:
        return []
    return [(select(verdicts.c.pair_id).where(verdict_rows.stands()), chosen.reviewed)]


def _is_published() -> ColumnElement[bool]:
    published = select(imports.c.id).where(imports.c.published.is_not(None))
    return memberships.c.import_id.in_(published)


def _texts(conn: Connection, pair_ids: Sequence[int]) -> Iterator[tuple[int, Pair]]:
    found = select(pairs.c.id, pairs.c.prompt, pairs.c.response_a, pairs.c.response_b).where(
        pairs.c.id.in_(pair_ids), pairs.c.purged == literal_column("0" if conn.dialect.name == "sqlite" else "false")
    )
    for row in conn.execute(found):
        yield row.id, Pair(_prompt(row.prompt), row.response_a, row.response_b)


def _prompt(stored: str) -> tuple[Message, ...]:
    return tuple(Message(Role(role), content) for role, content in json.loads(stored))


def _preview(text: str) -> str:
    line = " ".join(text[: 2 * PREVIEW_CHARACTERS].split())
    return line if len(line) <= PREVIEW_CHARACTERS else line[: PREVIEW_CHARACTERS - 1] + "…"


def hashes(conn: Connection, pair_ids: Sequence[int]) -> dict[int, str]:
    """pair_id -> the hash that names the pair across stores."""
    found = select(pairs.c.id, pairs.c.hash).where(pairs.c.id.in_(pair_ids))
    return {pair_id: bytes(digest).hex() for pair_id, digest in conn.execute(found)}
