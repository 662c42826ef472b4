"""Imports beside imports, and after killed ones: whatever their order, a published one has all that its file holds."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core.errors import BadFile, NotFound, StoreError
from core.label import label_of
from core.records import BadRow
from db import connect, datasets, labelers, labels, pairs
from db.imports import import_rows, remove_unpublished
from db.schema import borrowed_votes, imports, late_labels, votes
from db.schema import datasets as dataset_table
from db.schema import pairs as pair_table
from tests.db.made import load, some, triplet

NO_PROCESS = 2**22 + 7  # above the highest pid that Linux gives
ROOT = Path(__file__).parents[2]
BAD = BadRow(file="f.jsonl", line=99, kind="not JSON", reason="not JSON")


@pytest.fixture
def row_by_row(monkeypatch):
    """A transaction a row, and control back after each."""
    monkeypatch.setattr("db.import_tickets.BATCH_ROWS", 1)
    monkeypatch.setattr("db.imports.REPORT_SECONDS", 0.0)


def begin(engine, rows, *, dataset, written=0):
    """An import that has written some rows and now waits."""
    going = import_rows(engine, rows, dataset=dataset, file=f"{dataset}.jsonl")
    for _ in range(written):
        next(going)
    return going


def kill(engine, going, dataset, monkeypatch):
    """As SIGKILL would: nothing is taken back, and the process is gone."""
    with monkeypatch.context() as patch:
        patch.setattr("db.import_cleaning.take_back", lambda *_: None)
        going.close()
    lose_process(engine, dataset)


def lose_process(engine, dataset):
    with connect.write(engine) as conn:
        of_dataset = select(dataset_table.c.id).where(dataset_table.c.name == dataset).scalar_subquery()
        conn.execute(update(imports).where(imports.c.dataset_id == of_dataset).values(pid=NO_PROCESS))


def num_rows(engine, table):
    with connect.read(engine) as conn:
        return conn.execute(select(func.count()).select_from(table)).scalar_one()


def labels_of(engine, dataset, labeler="judge"):
    """prompt -> (p_a, number of votes) of every labeled pair that a reader of the dataset sees."""
    with connect.read(engine) as conn:
        frame = labels.frame(conn, labeler=labeler, dataset_id=datasets.get(conn, dataset).id)
        texts = dict(pairs.texts(conn, list(frame["pair_id"])))
        return {texts[row.pair_id].prompt[0].content: (row.p_a, row.num_votes) for row in frame.itertuples()}


def prompts_of(engine, dataset):
    with connect.read(engine) as conn:
        ids = [member.pair_id for member in pairs.members(conn, datasets.get(conn, dataset).id)]
        return sorted(pair.prompt[0].content for _, pair in pairs.texts(conn, ids))


def given(rows):
    """What a reader is to see of rows that are all published."""
    said = {}
    for row in rows:
        said.setdefault(row.pair, {})
        said[row.pair] |= dict.fromkeys(row.votes)
    made = {pair.prompt[0].content: label_of(list(said_of)) for pair, said_of in said.items() if said_of}
    return {prompt: (label.p_a, label.num_votes) for prompt, label in made.items()}


KILLED = """
import sys, time
from db import connect, imports
from tests.db.made import some
def rows():
    yield from some(3000)
    print("written", flush=True)
    time.sleep(60)
list(imports.import_rows(connect.open_store(sys.argv[1]), rows(), dataset="d", file="f.jsonl"))
"""


@pytest.mark.slow
def test_a_file_whose_import_was_killed_is_imported_whole_at_once(engine):
    url = engine.url.render_as_string(hide_password=False)
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with killed:
        assert killed.stdout.readline() == "written\n"
        killed.send_signal(signal.SIGKILL)

    again = load(engine, some(3001))

    assert (again.added, again.duplicates) == (3001, 0)
    assert labels_of(engine, "d") == given(some(3001))
    assert remove_unpublished(engine, older_than=0.0) == 0
    assert labels_of(engine, "d") == given(some(3001))


@pytest.mark.usefixtures("row_by_row")
def test_a_killed_import_of_another_dataset_takes_nothing_along(engine, monkeypatch):
    kill(engine, begin(engine, some(4), dataset="killed", written=3), "killed", monkeypatch)

    load(engine, some(4))
    remove_unpublished(engine, older_than=0.0)

    assert labels_of(engine, "d") == given(some(4))


@pytest.mark.usefixtures("row_by_row")
def test_a_second_import_of_a_dataset_is_refused_while_the_first_goes_on(engine):
    going = begin(engine, some(3), dataset="d", written=1)

    with pytest.raises(StoreError, match=rf"d\.jsonl is being imported into dataset 'd' by process {os.getpid()} on"):
        load(engine, some(2))

    list(going)
    assert prompts_of(engine, "d") == ["prompt 1", "prompt 2", "prompt 3"]


@pytest.mark.usefixtures("row_by_row")
def test_votes_that_two_imports_bring_stay_when_the_one_that_wrote_them_fails(engine):
    fails = begin(engine, [*some(3), BAD], dataset="fails", written=2)
    second = begin(engine, some(3), dataset="d", written=3)

    with pytest.raises(BadFile):
        list(fails)
    counts = list(second)[-1]

    assert (counts.added, counts.duplicates) == (3, 0)
    assert labels_of(engine, "d") == given(some(3))


@pytest.mark.usefixtures("row_by_row")
def test_a_reader_sees_no_vote_of_an_import_that_goes_on_beside(engine):
    going = begin(engine, [triplet(1, "p", "x", "y"), triplet(2, "p", "y", "x")], dataset="going", written=2)

    load(engine, [triplet(1, "p", "x", "y")])
    before = labels_of(engine, "d")
    list(going)

    assert before == given([triplet(1, "p", "x", "y")])
    assert labels_of(engine, "d") == labels_of(engine, "going") == {"p": (0.5, 2)}


@pytest.mark.usefixtures("row_by_row")
def test_an_unlabeled_pair_shows_no_label_of_an_import_that_goes_on_beside(engine):
    going = begin(engine, some(2), dataset="going", written=2)

    load(engine, some(2, labeler=None))

    assert labels_of(engine, "d") == {}
    list(going)
    assert labels_of(engine, "d") == labels_of(engine, "going") == given(some(2))


@pytest.mark.usefixtures("row_by_row")
def test_labels_of_an_import_that_was_killed_right_after_publishing_follow_at_the_next_start(engine, monkeypatch):
    load(engine, some(3, labeler=None))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("db.import_publishing.derive_late", killed)
        with pytest.raises(KeyboardInterrupt):
            load(engine, some(3))
    lose_process(engine, "d")
    remove_unpublished(engine)

    assert labels_of(engine, "d") == given(some(3))
    assert num_rows(engine, late_labels) == 0
    with connect.read(engine) as conn:
        assert [one.num_labels for one in labelers.summaries(conn, datasets.get(conn, "d").id)] == [3]


@pytest.mark.usefixtures("row_by_row")
def test_an_import_that_was_taken_for_dead_writes_no_more_even_if_its_number_is_given_again(engine):
    slow = begin(engine, some(4), dataset="slow", written=1)
    assert remove_unpublished(engine, older_than=0.0) == 1  # it was silent, and a number is free again
    other = begin(engine, some(4), dataset="d", written=1)

    with pytest.raises(StoreError, match=r"was taken for dead and removed; import the file again"):
        list(slow)
    list(other)

    assert labels_of(engine, "d") == given(some(4))
    with connect.read(engine) as conn:
        assert [one.name for one in datasets.all(conn)] == ["d"]


@pytest.mark.usefixtures("row_by_row")
def test_nothing_is_purged_while_an_import_may_count_on_it(engine):
    load(engine, some(2))
    going = begin(engine, some(2), dataset="going", written=1)

    refused = pytest.raises(StoreError, match=r"going\.jsonl is being imported; purge when that has ended")
    with refused, connect.write(engine) as conn:
        datasets.purge(conn, "d")

    list(going)
    assert prompts_of(engine, "going") == ["prompt 1", "prompt 2"]


@pytest.mark.usefixtures("row_by_row")
def test_a_text_that_a_failed_import_gave_back_stays_where_another_import_needs_it(engine):
    load(engine, some(2))
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")
    fails = begin(engine, some(2), dataset="fails", written=2)
    second = begin(engine, some(2), dataset="d", written=1)

    fails.close()
    list(second)

    assert prompts_of(engine, "d") == ["prompt 1", "prompt 2"]


@pytest.mark.usefixtures("row_by_row")
def test_a_text_that_two_failed_imports_gave_back_is_purged_again(engine):
    load(engine, some(1, labeler=None))
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")
    first = begin(engine, some(1), dataset="first", written=1)
    second = begin(engine, some(1), dataset="second", written=1)

    first.close()
    second.close()

    with connect.read(engine) as conn:
        stored = conn.execute(select(pair_table)).one()
    assert (stored.response_a, stored.response_b, stored.purged) == ("", "", True)


@pytest.mark.usefixtures("row_by_row")
def test_an_id_of_a_row_that_is_not_published_yet_finds_nothing(engine):
    load(engine, some(1))
    going = begin(engine, [triplet(2, "p", "x", "y", row_id="soon")], dataset="d", written=1)

    with connect.read(engine) as conn, pytest.raises(NotFound, match="no pair 'soon' in the dataset"):
        pairs.with_row_id(conn, datasets.get(conn, "d").id, "soon")
    going.close()


def some_file(chance):
    """Rows about a handful of pairs, so that files share pairs and votes, and contradict each other."""
    rows = []
    for line in range(1, chance.randint(2, 5)):
        chosen, rejected = chance.choice([("x", "y"), ("y", "x")])
        prompt = f"prompt {chance.randint(1, 4)}"
        rows.append(triplet(line, prompt, chosen, rejected, labeler=chance.choice(["judge", "judge", None])))
    return rows


@pytest.mark.usefixtures("row_by_row")
@pytest.mark.parametrize("seed", range(12))
def test_in_whatever_order_imports_go_on_fail_and_die_readers_see_whole_files_only(engine, monkeypatch, seed):
    chance = random.Random(seed)
    published = {name: [] for name in "abc"}
    going = {}

    for _ in range(40):
        name = chance.choice("abc")
        if name not in going:
            rows = some_file(chance)
            given_rows = [*rows, BAD] if chance.random() < 0.3 else rows
            going[name] = (begin(engine, given_rows, dataset=name), rows, len(given_rows))
        if chance.random() < 0.1:
            kill(engine, going.pop(name)[0], name, monkeypatch)
        else:
            step(going, name, published)
        see_whole_files(engine, published)

    for name in list(going):
        while name in going:
            step(going, name, published)
    remove_unpublished(engine)
    see_whole_files(engine, published)
    everything = [row for rows in published.values() for row in rows]
    assert num_rows(engine, pair_table) == len({row.pair for row in everything})
    assert num_rows(engine, votes) == len({(row.pair, vote) for row in everything for vote in row.votes})
    assert num_rows(engine, borrowed_votes) == num_rows(engine, late_labels) == 0


def step(going, name, published):
    at, rows, left = going[name]
    try:
        next(at)
    except BadFile:
        del going[name]
        return
    going[name] = (at, rows, left - 1)
    if left == 0:  # one yield a row, and one once all is published
        published[name] += rows
        del going[name]


def see_whole_files(engine, published):
    everything = given([row for rows in published.values() for row in rows])
    with connect.read(engine) as conn:
        names = {one.name: one.num_pairs for one in datasets.all(conn)}
    for name, num_pairs in names.items():
        held = {row.pair.prompt[0].content for row in published[name]}
        assert prompts_of(engine, name) == sorted(held)
        assert num_pairs == len(held)
        assert labels_of(engine, name) == {p: label for p, label in everything.items() if p in held}
    assert set(names) == {name for name, rows in published.items() if rows}
