import pytest
from sqlalchemy import update

from core.errors import NotFound, StoreError
from core.records import Consistency, Part
from db import connect, pairs, verdicts
from db.imports import import_rows
from db.pairs import PairFilter
from db.schema import memberships
from tests.db.made import dataset_id, decide, index_all, load, pair_ids, some, triplet, vote, voted


def page(engine, *, after=None, before=None, limit=50, **chosen):
    with connect.read(engine) as conn:
        asked = PairFilter(dataset_id=dataset_id(engine), **chosen)
        return pairs.browse(conn, asked, after=after, before=before, limit=limit)


def lines(engine, **chosen):
    """The lines of the file that a filter leaves; the count must agree."""
    found = [int(row.row_id.split(":")[1]) for row in page(engine, limit=1000, **chosen)]
    with connect.read(engine) as conn:
        assert pairs.count(conn, PairFilter(dataset_id=dataset_id(engine), **chosen)) == len(found)
    return found


def pages_forward(engine, limit, **chosen):
    seen, after = [], None
    while rows := page(engine, after=after, limit=limit, **chosen):
        seen += [row.membership_id for row in rows]
        after = rows[-1].membership_id
    return seen


def pages_backward(engine, limit, **chosen):
    seen, before = [], 2**31 - 1
    while rows := page(engine, before=before, limit=limit, **chosen):
        seen = [row.membership_id for row in rows] + seen
        before = rows[0].membership_id
    return seen


FILTERS = [{}, {"subset": "even"}, {"part": Part.TRAIN}, {"words": "common"}, {"words": "common", "subset": "even"}]


@pytest.fixture
def mixed(engine):
    rows = [
        triplet(i, f"common prompt {i}", f"good {i}", f"bad {i}", subset="even" if i % 2 == 0 else "odd")
        for i in range(1, 38)
    ]
    load(engine, rows)
    index_all(engine)
    return engine


@pytest.mark.parametrize("chosen", FILTERS)
@pytest.mark.parametrize("rare_pairs", [20_000, 3])
@pytest.mark.parametrize("limit", [1, 7, 50])
def test_pages_cover_every_row_once_in_the_files_order(mixed, monkeypatch, chosen, rare_pairs, limit):
    # A search that finds much is answered block by block, one that finds little at once: both must agree.
    monkeypatch.setattr(pairs, "RARE_PAIRS", rare_pairs)
    monkeypatch.setattr(pairs, "_FIRST_BLOCK", 2)
    everything = page(mixed, limit=1000, **chosen)

    forward, backward = pages_forward(mixed, limit, **chosen), pages_backward(mixed, limit, **chosen)

    assert forward == backward == sorted({row.membership_id for row in everything})
    assert len(forward) > 10


@pytest.mark.parametrize("rare_pairs", [20_000, 0])
def test_filters_leave_what_they_say(engine, monkeypatch, rare_pairs):
    monkeypatch.setattr(pairs, "RARE_PAIRS", rare_pairs)
    rows = [
        voted(1, "one", vote("a")),
        voted(2, "two", vote("b")),
        voted(3, "three", vote("tie")),
        voted(4, "four", vote("b"), vote("a")),  # cancels: the side is that of the first vote
        voted(5, "five"),
        voted(6, "six", vote("a", labeler="other")),
    ]
    load(engine, rows)
    index_all(engine)
    ids = pair_ids(engine)
    decide(engine, ids[0], "a")
    decide(engine, ids[4], "drop")

    assert lines(engine) == [1, 2, 3, 4, 5, 6]
    assert lines(engine, labeler="judge", side="a") == [1]
    assert lines(engine, labeler="judge", side="b") == [2, 4]
    assert lines(engine, labeler="judge", side="tie") == [3]
    assert lines(engine, labeler="judge", side="none") == [5, 6]
    assert lines(engine, labeler="judge", consistency=Consistency.REPEAT_SPLIT) == [4]
    assert lines(engine, labeler="judge", side="a", consistency=Consistency.REPEAT_SPLIT) == []
    assert lines(engine, labeler="other", side="a") == [6]
    assert lines(engine, reviewed=True) == [1, 5]
    assert lines(engine, reviewed=False) == [2, 3, 4, 6]
    assert lines(engine, reviewed=True, labeler="judge", side="a") == [1]
    assert lines(engine, words="x") == [1, 2, 3, 4, 5, 6]
    assert lines(engine, words="x", labeler="judge", side="b") == [2, 4]
    assert lines(engine, words="two", reviewed=False) == [2]


def test_nothing_is_unlabeled_where_a_labeler_labeled_everything(engine):
    load(engine, some(3))

    assert lines(engine, labeler="judge", side="none") == []


def test_a_pair_whose_verdict_was_undone_counts_as_not_reviewed(engine):
    load(engine, some(2))
    decide(engine, pair_ids(engine)[0], "a")
    with connect.write(engine) as conn:
        verdicts.undo(conn, reviewer="me")

    assert lines(engine, reviewed=True) == []
    assert lines(engine, reviewed=False) == [1, 2]


def test_a_count_stops_where_it_is_told(engine):
    load(engine, some(5))

    with connect.read(engine) as conn:
        assert pairs.count(conn, PairFilter(dataset_id=dataset_id(engine)), at_most=3) == 3


def test_rows_of_an_import_that_still_runs_are_in_no_list(engine):
    load(engine, some(2))
    # More than two batches: the first are in the store when the third is read.
    rows = (triplet(i, f"new {i}", "x", "y") for i in range(1, 5001))
    going = import_rows(engine, rows, dataset="d", file="g.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("db.imports.REPORT_SECONDS", 0.0)
        next(going)

    assert lines(engine) == [1, 2]
    assert len(pair_ids(engine)) == 2
    going.close()


def test_a_preview_is_one_line_and_short(engine):
    load(engine, [triplet(1, "p", "first\n\n  second " + "long " * 100, "y")])

    row = page(engine)[0]

    shown = max(row.response_a, row.response_b, key=len)
    assert shown.startswith("first second long")
    assert len(shown) == pairs.PREVIEW_CHARACTERS
    assert shown.endswith("…")


def test_one_pair_comes_with_everything_said_about_it(engine):
    load(engine, [voted(1, "p", vote("a"), vote("b", labeler="other"))])

    with connect.read(engine) as conn:
        found = pairs.get(conn, pair_ids(engine)[0])

    assert {found.pair.response_a, found.pair.response_b} == {"x", "y"}
    assert [one.labeler for one in found.votes] == ["judge", "other"]
    assert [(name, label.p_a) for name, label in found.labels] == [("judge", 1.0), ("other", 0.0)]


def test_a_pair_that_is_not_there_is_named(engine):
    load(engine, some(1))

    with connect.read(engine) as conn:
        with pytest.raises(NotFound, match="no pair 99 in the store"):
            pairs.get(conn, 99)
        with pytest.raises(NotFound, match="no pair 'd:9' in the dataset"):
            pairs.with_row_id(conn, 1, "d:9")


def test_texts_are_those_of_the_file_whatever_they_hold(engine):
    odd = "a \U0001f600 \x00? 'quotes' \"double\" \\ \u2028 end"
    if engine.dialect.name != "sqlite":
        odd = odd.replace("\x00", "")  # PostgreSQL cannot keep it; the next test tells what happens then
    load(engine, [triplet(1, odd, odd + "1", odd + "2")])

    with connect.read(engine) as conn:
        pair = dict(pairs.texts(conn, pair_ids(engine)))[pair_ids(engine)[0]]
    assert pair.prompt[0].content == odd
    assert {pair.response_a, pair.response_b} == {odd + "1", odd + "2"}


def test_text_that_a_server_cannot_keep_is_said_in_one_sentence(engine):
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite keeps every text")

    with pytest.raises(StoreError, match="NUL"):
        load(engine, [triplet(1, "a", "x \x00", "y")])


def test_members_stand_in_the_files_order_with_their_lengths(engine):
    load(engine, [triplet(1, "p", "four", "sixsix", subset="s"), triplet(2, "q", "x", "yy")])

    with connect.read(engine) as conn:
        found = list(pairs.members(conn, dataset_id(engine)))
    assert [(one.line, one.subset, {one.length_a, one.length_b}) for one in found] == [
        (1, "s", {4, 6}),
        (2, None, {1, 2}),
    ]


def test_members_of_one_part_only(engine):
    load(engine, some(60))

    with connect.read(engine) as conn:
        by_part = {part: [m.line for m in pairs.members(conn, dataset_id(engine), part=part)] for part in Part}
    assert sorted(line for of_part in by_part.values() for line in of_part) == list(range(1, 61))
    assert all(by_part.values())


def test_subsets_are_named_once_in_order(engine):
    load(engine, [triplet(i, f"p{i}", "x", "y", subset=name) for i, name in enumerate(["b", "a", None, "b", "c"], 1)])

    with connect.read(engine) as conn:
        assert pairs.subsets(conn, dataset_id(engine)) == ["a", "b", "c"]
        assert pairs.subsets(conn, dataset_id(engine), at_most=2) == ["a", "b"]


def test_a_pair_in_two_datasets_is_one_pair_with_two_places(engine):
    load(engine, some(3))
    load(engine, some(2), dataset="e")

    assert pair_ids(engine, "e") == pair_ids(engine)[:2]
    with connect.write(engine) as conn:  # a place is the dataset's own
        conn.execute(update(memberships).where(memberships.c.dataset_id == dataset_id(engine, "e")).values(subset="s"))
    assert lines(engine, subset="s") == []
