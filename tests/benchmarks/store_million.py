"""Build a store of a million pairs and measure what every page asks of it; prints a Markdown table.

    .venv/bin/python tests/benchmarks/store_million.py [NUM_PAIRS] [--keep FOLDER]

About ten minutes on 2 cores and 5 GB of disk for a million; the store goes to a temporary folder and is deleted.
Text is made of invented words, drawn by Zipf's law, so that there are words in nearly every pair and in a handful.
"""

import argparse
import gc
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, func, select

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.records import Consistency, Decision, Kind, Order, PairRow, Part, Preference, Vote, pair_of
from db import connect, datasets, labelers, pairs, search, stats, verdicts
from db.imports import import_rows
from db.pairs import PairFilter
from db.schema import memberships

SEED = 0
NUM_WORDS = 100_000
WORDS_A_TEXT = 45  # about 60 tokens
SUBSETS = ("help", "harmless", "code", "summaries", "chat")
SHARE_TIES, SHARE_CONFLICTS = 0.02, 0.001
NUM_VERDICTS = 200
CALLS = 20
LIMIT_MILLISECONDS = 200


@dataclass(frozen=True, slots=True)
class Timing:
    """One call in milliseconds. `cpu` is what the call itself computed, whatever else the machine did meanwhile."""

    name: str
    given: object
    median: float
    p95: float
    cpu: float


class Text:
    """Texts of invented words; making them took `seconds`, `busy` of them on the CPU, which are not the store's."""

    def __init__(self) -> None:
        syllables = [first + second for first, second in product("bdfgklmnprstvz", "aeiou")]
        words = [first + second + third for first, second, third in product(syllables, repeat=3)]
        random.Random(SEED).shuffle(words)
        self.words = np.array(words[:NUM_WORDS], dtype=object)
        weights = list(accumulate(1.0 / (rank + 3) for rank in range(NUM_WORDS)))
        self._shares = np.array(weights) / weights[-1]
        self._random = np.random.default_rng(SEED)
        self.seconds = self.busy = 0.0

    def batch(self, count: int) -> list[str]:
        began, busy = time.perf_counter(), time.process_time()
        lengths = self._random.poisson(WORDS_A_TEXT, count).clip(3)
        ends = lengths.cumsum()
        drawn = self.words[np.searchsorted(self._shares, self._random.random(ends[-1]))]
        texts = [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
        self.seconds += time.perf_counter() - began
        self.busy += time.process_time() - busy
        return texts


def rows(text: Text, num_pairs: int) -> Iterator[PairRow]:
    chance = random.Random(SEED)
    for start in range(0, num_pairs, 1000):
        texts = text.batch(3 * min(1000, num_pairs - start))
        for place in range(len(texts) // 3):
            oriented = pair_of(*texts[3 * place : 3 * place + 3])
            drawn = chance.random()
            preference = Preference.A if drawn < 0.5 else Preference.B
            if drawn > 1 - SHARE_TIES:
                preference = Preference.TIE
            votes = (Vote(labeler="judge", kind=Kind.AI, preference=preference),)
            if chance.random() < SHARE_CONFLICTS:
                votes += tuple(vote.swapped() for vote in votes)
            yield PairRow(
                line=start + place + 1,
                id=None,
                pair=oriented.pair,
                swapped=oriented.swapped,
                votes=votes,
                subset=chance.choice(SUBSETS),
            )


def build(engine: Engine, text: Text, num_pairs: int) -> list[str]:
    """Import, index and decide; what took how long, as lines of the table."""
    began, busy = time.perf_counter(), time.process_time()
    for counts in import_rows(engine, rows(text, num_pairs), dataset="million", file="made.jsonl"):
        progress(f"imported {counts.read:,}")
    published, busy_publishing = time.perf_counter() - began - text.seconds, time.process_time() - busy - text.busy
    began, busy = time.perf_counter(), time.process_time()
    longest = 0.0
    while True:
        before = time.perf_counter()
        with connect.write(engine) as conn:
            state = search.index_more(conn)
        longest = max(longest, time.perf_counter() - before)
        progress(f"indexed {state.done:,}")
        if state.is_complete:
            break
    indexed, busy_indexing = time.perf_counter() - began, time.process_time() - busy
    with connect.write(engine) as conn:
        every = max(num_pairs // NUM_VERDICTS, 1)
        decided = conn.execute(select(memberships.c.pair_id).where(memberships.c.id % every == 0)).scalars().all()
        for pair_id in decided:
            verdicts.decide(
                conn, pair_id=pair_id, reviewer="me", decision=Decision.A, shown=Order.AB, blind=False, labeler="judge"
            )
    path = connect.store_path(str(engine.url))
    assert path is not None
    return [
        f"- import until published: {published:,.0f} s, {num_pairs / published:,.0f} pairs/s "
        f"({busy_publishing:,.0f} s of them on the CPU)",
        f"- search index: {indexed:,.0f} s, {num_pairs / indexed:,.0f} pairs/s "
        f"({busy_indexing:,.0f} s of them on the CPU), "
        f"longest transaction {1000 * longest:,.0f} ms",
        f"- store file: {path.stat().st_size / 2**30:.2f} GiB",
    ]


def progress(said: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{said}   ")


def filters(dataset_id: int, text: Text, phrase: str) -> dict[str, PairFilter]:
    common, frequent, seldom, rare = (str(text.words[rank]) for rank in (0, 60, 2000, NUM_WORDS - 1))
    made = {
        "all": {},
        "subset": {"subset": "code"},
        "part": {"part": Part.TEST},
        "side a": {"labeler": "judge", "side": "a"},
        "side tie": {"labeler": "judge", "side": "tie"},
        "side none": {"labeler": "judge", "side": "none"},
        "in conflict": {"labeler": "judge", "consistency": Consistency.REPEAT_SPLIT},
        "reviewed": {"reviewed": True},
        "not reviewed": {"reviewed": False},
        "subset, part, side, not reviewed": {
            "subset": "code",
            "part": Part.TEST,
            "labeler": "judge",
            "side": "b",
            "reviewed": False,
        },
        "subset, tie, reviewed": {"subset": "code", "labeler": "judge", "side": "tie", "reviewed": True},
        "word in no pair": {"words": "xylophone"},
        "rare word": {"words": rare},
        "seldom word": {"words": seldom},
        "frequent word": {"words": frequent},
        "common word": {"words": common},
        "two common words": {"words": f"{common} {text.words[1]}"},
        "frequent and rare word": {"words": f"{frequent} {rare}"},
        "beginning of words": {"words": f"{common[:5]}*"},
        "phrase": {"words": f'"{phrase}"'},
        "phrase of common words": {"words": f'"{common} {text.words[1]}"'},
        "rare word, subset, part": {"words": rare, "subset": "code", "part": Part.TEST},
        "common word, subset, part, side": {
            "words": common,
            "subset": "code",
            "part": Part.TEST,
            "labeler": "judge",
            "side": "a",
        },
        "frequent word, tie": {"words": frequent, "labeler": "judge", "side": "tie"},
        "common word, reviewed": {"words": common, "reviewed": True},
        "seldom word, subset": {"words": seldom, "subset": "chat"},
    }
    return {name: PairFilter(dataset_id=dataset_id, **chosen) for name, chosen in made.items()}


def measure(conn: Connection, text: Text) -> Iterator[Timing]:
    dataset_id = datasets.get(conn, "million").id
    low, high = conn.execute(select(func.min(memberships.c.id), func.max(memberships.c.id))).one()
    middle = (low + high) // 2
    some = pairs.get(conn, pairs.browse(conn, PairFilter(dataset_id=dataset_id), after=middle, limit=1)[0].pair_id)
    phrase = " ".join(some.pair.response_a.split()[:3])
    for name, chosen in filters(dataset_id, text, phrase).items():
        yield timed(f"page: {name}", lambda chosen=chosen: len(pairs.browse(conn, chosen)))
        yield timed(f"middle page: {name}", lambda chosen=chosen: len(pairs.browse(conn, chosen, after=middle)))
        yield timed(f"last page: {name}", lambda chosen=chosen: len(pairs.browse(conn, chosen, before=high)))
        yield timed(f"count: {name}", lambda chosen=chosen: pairs.count(conn, chosen))
    yield timed("one pair", lambda: pairs.get(conn, some.pair_id).pair_id)
    yield timed("pair by its id", lambda: pairs.with_row_id(conn, dataset_id, f"million:{middle}"))
    yield timed("datasets", lambda: len(datasets.all(conn)))
    yield timed("labelers", lambda: len(labelers.summaries(conn)))
    yield timed("labelers of the dataset", lambda: len(labelers.summaries(conn, dataset_id)))
    yield timed("overview", lambda: stats.overview(conn).num_pairs)
    yield timed("subsets", lambda: len(pairs.subsets(conn, dataset_id)))
    yield timed("index state", lambda: search.state(conn).done)


def timed(name: str, call: Callable[[], object]) -> Timing:
    seconds, busy = [], []
    given: object = None
    gc.disable()
    for _ in range(CALLS):
        began, on_cpu = time.perf_counter(), time.process_time()
        given = call()
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - on_cpu)
        if sum(seconds) > 10:
            break
    gc.enable()
    p95 = sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]  # nearest rank
    return Timing(name, given, 1000 * statistics.median(seconds), 1000 * p95, 1000 * statistics.median(busy))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_pairs", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--keep", type=Path, help="use, or make and keep, the store in this folder")
    arguments = parser.parse_args()
    text = Text()
    with tempfile.TemporaryDirectory() as temporary:
        store = (arguments.keep or Path(temporary)) / "store.db"
        is_made = store.exists()
        engine = connect.open_store(connect.resolve_url(str(store)))
        lines = [] if is_made else build(engine, text, arguments.num_pairs)
        lines = [f"### A store of {arguments.num_pairs:,} pairs", "", *lines, ""]
        sys.stdout.write(
            "\n".join([*lines, "| call | gives | median ms | p95 ms | of it CPU ms |", "|---|---:|---:|---:|---:|\n"])
        )
        slow = 0
        with connect.read(engine) as conn:
            for one in measure(conn, text):
                mark = " (over)" if one.p95 > LIMIT_MILLISECONDS else ""
                slow += bool(mark)
                numbers = f"{one.median:,.1f} | {one.p95:,.1f}{mark} | {one.cpu:,.1f}"
                sys.stdout.write(f"| {one.name} | {one.given:,} | {numbers} |\n")
                sys.stdout.flush()
        engine.dispose()
    sys.stdout.write(f"\n{slow} of the calls are over {LIMIT_MILLISECONDS} ms.\n")


if __name__ == "__main__":
    main()
