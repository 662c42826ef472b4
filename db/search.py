"""Full-text search. Filled after an import, by id range, so that an import need not wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Integer, Select, Text, column, func, insert, select, table, text, update

from db.schema import imports, pairs, search_progress

CHUNK_PAIRS = 1000
SHORTEST_BEGINNING = 5
# SQLite's own table, which the first migration makes; a match is asked of the column that bears its name.
pair_words = table("pair_words", column("rowid", Integer), column("pair_words", Text))

_PASSED = (
    "SELECT id, prompt, response_a, response_b FROM pairs WHERE id = :id AND NOT purged "
    "AND id <= COALESCE((SELECT indexed_to FROM search_progress WHERE id = 1), 0)"
)


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far the index is, in pair ids."""

    done: int
    total: int

    @property
    def is_complete(self) -> bool:
        return self.done >= self.total


def state(conn: Connection) -> IndexState:
    total = int(conn.execute(select(func.max(pairs.c.id))).scalar() or 0)
    if conn.dialect.name != "sqlite":
        return IndexState(total, total)
    done = int(conn.execute(select(search_progress.c.indexed_to).where(search_progress.c.id == 1)).scalar() or 0)
    # Ids of pairs that were taken back are never indexed and never missed.
    return IndexState(min(done, total), total)


def index_more(conn: Connection, *, limit: int = CHUNK_PAIRS) -> IndexState:
    """Index the next pairs; the caller repeats, a transaction each, until it is complete."""
    now = state(conn)
    if now.is_complete:
        return now
    # A pair of an import that still runs could be taken back, and its words would stay: stop below it.
    unpublished = select(imports.c.id).where(imports.c.published.is_(None))
    first_open = conn.execute(select(func.min(pairs.c.id)).where(pairs.c.import_id.in_(unpublished))).scalar()
    chosen = select(pairs.c.id).where(pairs.c.id > now.done).order_by(pairs.c.id).limit(limit)
    if first_open is not None:
        chosen = chosen.where(pairs.c.id < first_open)
    ids = list(conn.execute(chosen).scalars())
    if not ids:
        return IndexState(now.total, now.total)
    conn.execute(
        text(
            "INSERT INTO pair_words(rowid, prompt, response_a, response_b) "
            "SELECT id, prompt, response_a, response_b FROM pairs WHERE id > :low AND id <= :high AND NOT purged"
        ),
        {"low": now.done, "high": ids[-1]},
    )
    if not conn.execute(update(search_progress).where(search_progress.c.id == 1).values(indexed_to=ids[-1])).rowcount:
        conn.execute(insert(search_progress).values(id=1, indexed_to=ids[-1]))
    return IndexState(ids[-1], now.total)


def add_words(conn: Connection, pair_ids: Sequence[int]) -> None:
    """Words of pairs that got their text back: of those only that the index has passed already."""
    if conn.dialect.name == "sqlite":
        conn.execute(text(f"INSERT INTO pair_words(rowid, prompt, response_a, response_b) {_PASSED}"), _each(pair_ids))


def forget_words(conn: Connection, pair_ids: Sequence[int]) -> None:
    """Take pairs out of the index; called while they still have their text."""
    if conn.dialect.name == "sqlite":
        into = "INSERT INTO pair_words(pair_words, rowid, prompt, response_a, response_b) SELECT 'delete', *"
        conn.execute(text(f"{into} FROM ({_PASSED})"), _each(pair_ids))


def step_back(conn: Connection) -> None:
    """Pairs were deleted: their row numbers will be given again, and must count as new then."""
    highest = select(func.coalesce(func.max(pairs.c.id), 0)).scalar_subquery()
    conn.execute(update(search_progress).where(search_progress.c.indexed_to > highest).values(indexed_to=highest))


def _each(pair_ids: Sequence[int]) -> list[dict[str, int]]:
    return [{"id": pair_id} for pair_id in pair_ids]


def matching(conn: Connection, words: str) -> Select[tuple[int]]:
    """Ids of the pairs that hold every one of the words; a phrase stands in double quotes.

    `begin*` finds words that begin so, from five letters on.
    """
    # A NUL would end the query in the middle of a quoted word, half a surrogate pair cannot be sent at all.
    words = words.encode("utf-8", "replace").decode().replace("\0", " ")
    if conn.dialect.name != "sqlite":
        document = func.concat_ws(" ", pairs.c.prompt, pairs.c.response_a, pairs.c.response_b)
        found = func.to_tsvector("simple", document).op("@@")(func.websearch_to_tsquery("simple", words))
        return select(pairs.c.id).where(found)
    return select(pair_words.c.rowid).where(pair_words.c.pair_words.op("MATCH")(_quoted(words)))


def _quoted(words: str) -> str:
    """Every word quoted, so that nothing a user types is query syntax."""
    phrases = words.split('"')
    terms = [p for place, part in enumerate(phrases) for p in ([part] if place % 2 else part.split()) if p.strip()]
    return " ".join(_term(term) for term in terms) or '""'


def _term(term: str) -> str:
    # A beginning of a few letters fits so many words that reading where they stand takes seconds.
    begins = term.endswith("*") and len(term.strip("*")) >= SHORTEST_BEGINNING
    return f'"{term}"' + ("*" if begins else "")
