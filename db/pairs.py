"""Pairs and memberships: one, many, filtered, in the file's order. Pages by key, never by offset."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, literal_column, select

from core.errors import NotFound
from core.records import Consistency, Label, Message, Pair, Part, Preference, Role, Vote
from db import labelers as labeler_rows
from db import labels as label_rows
from db import search
from db.schema import aliases, imports, labels, memberships, pairs, verdicts

PREVIEW_CHARACTERS = 160


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


def browse(
    conn: Connection, chosen: PairFilter, *, after: int | None = None, before: int | None = None, limit: int = 50
) -> list[BrowseRow]:
    """A page in the file's order: the first rows after a membership id, or the last before one."""
    statement = _filtered(
        select(
            memberships.c.id,
            memberships.c.pair_id,
            memberships.c.row_id,
            memberships.c.subset,
            memberships.c.part,
            memberships.c.swapped,
        ),
        chosen,
        conn,
    )
    if before is not None:
        page = statement.where(memberships.c.id < before).order_by(memberships.c.id.desc()).limit(limit)
    else:
        page = statement.where(memberships.c.id > (after or 0)).order_by(memberships.c.id).limit(limit)
    rows = sorted(conn.execute(page).all(), key=lambda row: int(row.id))
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


def count(conn: Connection, chosen: PairFilter, *, at_most: int = 10_000) -> int:
    """How many pairs a filter leaves, counted up to `at_most` only."""
    some = _filtered(select(memberships.c.id), chosen, conn).limit(at_most).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


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
    by_id = select(memberships.c.pair_id).where(memberships.c.dataset_id == dataset_id, memberships.c.row_id == row_id)
    by_alias = select(aliases.c.pair_id).where(aliases.c.dataset_id == dataset_id, aliases.c.row_id == row_id)
    found = conn.execute(by_id).scalar() or conn.execute(by_alias).scalar()
    if found is None:
        raise NotFound(f"no pair {row_id!r} in the dataset")
    return int(found)


def texts(conn: Connection, pair_ids: Sequence[int]) -> Iterator[tuple[int, Pair]]:
    """Pairs with their text, by id; purged ones are left out."""
    for start in range(0, len(pair_ids), 1000):
        yield from _texts(conn, pair_ids[start : start + 1000])


def members(conn: Connection, dataset_id: int, *, part: Part | None = None) -> Iterator[Member]:
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


def _filtered(
    statement: Select[tuple[object, ...]], chosen: PairFilter, conn: Connection
) -> Select[tuple[object, ...]]:
    conditions: list[ColumnElement[bool]] = [memberships.c.dataset_id == chosen.dataset_id, _is_published()]
    if chosen.part is not None:
        conditions.append(memberships.c.part == chosen.part.value)
    if chosen.subset is not None:
        conditions.append(memberships.c.subset == chosen.subset)
    if chosen.reviewed is not None:
        seen = exists().where(verdicts.c.pair_id == memberships.c.pair_id)
        conditions.append(seen if chosen.reviewed else ~seen)
    if chosen.words:
        conditions.append(search.matches(conn, chosen.words))
    conditions += _label_conditions(conn, chosen)
    return statement.where(and_(*conditions))


def _label_conditions(conn: Connection, chosen: PairFilter) -> list[ColumnElement[bool]]:
    if chosen.labeler is None or (chosen.side is None and chosen.consistency is None):
        return []
    versions = labeler_rows.newest_versions(conn, chosen.labeler)
    mine = (labels.c.pair_id == memberships.c.pair_id) & labels.c.labeler_id.in_(versions)
    if chosen.side == "none":
        return [~exists().where(mine)]
    if chosen.side == "tie":
        mine &= labels.c.side.is_(None)
    elif chosen.side is not None:
        mine &= labels.c.side == Preference(chosen.side).value
    if chosen.consistency is not None:
        mine &= labels.c.consistency == chosen.consistency.value
    return [exists().where(mine)]


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
