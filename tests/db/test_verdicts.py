import time

import pytest

from core.records import Decision, Order, Preference
from db import connect, datasets, verdicts
from tests.db.made import dataset_id, decide, load, pair_ids, some, triplet


@pytest.fixture
def three(engine):
    load(engine, some(3))
    return engine


def effective(engine, **keywords):
    with connect.read(engine) as conn:
        return verdicts.effective(conn, **keywords)


def undo(engine, reviewer="me"):
    with connect.write(engine) as conn:
        return verdicts.undo(conn, reviewer=reviewer)


def test_a_verdict_is_remembered_with_what_was_shown(three):
    first = pair_ids(three)[0]
    with connect.write(three) as conn:
        number = verdicts.decide(
            conn,
            pair_id=first,
            reviewer="me",
            decision=Decision.DROP,
            shown=Order.BA,
            blind=True,
            labeler="judge",
            label_side=Preference.B,
            reason="both refuse",
        )

    with connect.read(three) as conn:
        (kept,) = verdicts.of_pair(conn, first)
    assert (kept.id, kept.reviewer, kept.decision, kept.reason) == (number, "me", Decision.DROP, "both refuse")
    assert (kept.shown, kept.blind, kept.label_side) == (Order.BA, True, Preference.B)


def test_each_reviewers_last_word_counts(three):
    first = pair_ids(three)[0]

    decide(three, first, "a")
    decide(three, first, "tie")

    assert effective(three) == {first: Decision.TIE}


def test_reviewers_who_differ_decide_nothing_until_they_agree(three):
    first, second, _ = pair_ids(three)
    decide(three, first, "a", reviewer="ann")
    decide(three, first, "b", reviewer="bo")
    decide(three, second, "a", reviewer="ann")
    assert effective(three) == {second: Decision.A}

    decide(three, first, "a", reviewer="bo")

    assert effective(three) == {first: Decision.A, second: Decision.A}


def test_undo_takes_back_the_newest_and_then_the_one_before(three):
    first, second, _ = pair_ids(three)
    decide(three, first, "a")
    decide(three, first, "b")
    decide(three, second, "drop")

    assert (undo(three).pair_id, effective(three)) == (second, {first: Decision.B})
    assert (undo(three).decision, effective(three)) == (Decision.B, {first: Decision.A})
    assert (undo(three).decision, effective(three)) == (Decision.A, {})
    assert undo(three) is None


def test_undo_is_of_ones_own_verdicts_only(three):
    first, second, _ = pair_ids(three)
    decide(three, first, "a", reviewer="ann")
    decide(three, second, "b", reviewer="bo")

    assert undo(three, reviewer="ann").pair_id == first
    assert effective(three) == {second: Decision.B}
    assert undo(three, reviewer="cy") is None


def test_undo_and_the_latest_are_of_one_dataset_where_one_is_named(three):
    load(three, some(1), dataset="e")
    shared, other, _ = pair_ids(three)
    decide(three, shared, "a")
    decide(three, other, "b")
    here = dataset_id(three, "e")

    with connect.write(three) as conn:
        last = verdicts.latest(conn, reviewer="me", dataset_id=here)
        undone = verdicts.undo(conn, reviewer="me", dataset_id=here)
        again = verdicts.undo(conn, reviewer="me", dataset_id=here)

    assert [one.pair_id for one in last] == [shared]
    assert undone.pair_id == shared
    assert again is None
    assert effective(three) == {other: Decision.B}


def test_undoing_ends_an_adjudication(three):
    first = pair_ids(three)[0]
    decide(three, first, "a", reviewer="ann")
    decide(three, first, "b", reviewer="bo")

    undo(three, reviewer="bo")

    assert effective(three) == {first: Decision.A}


def test_nothing_is_ever_deleted(three):
    first = pair_ids(three)[0]
    decide(three, first, "a")
    undo(three)
    decide(three, first, "b")

    with connect.read(three) as conn:
        rows = conn.exec_driver_sql("SELECT decision, undoes FROM verdicts ORDER BY id").all()
    assert [tuple(row) for row in rows] == [("a", None), (None, 1), ("b", None)]


def test_verdicts_hold_in_every_dataset_that_has_the_pair(three):
    load(three, some(1), dataset="e")
    first, second, _ = pair_ids(three)
    decide(three, first, "a")
    decide(three, second, "b")

    assert effective(three, dataset_id=dataset_id(three, "e")) == {first: Decision.A}
    assert effective(three, dataset_id=dataset_id(three)) == {first: Decision.A, second: Decision.B}
    assert effective(three, pair_ids=[second]) == {second: Decision.B}
    with connect.read(three) as conn:
        assert (verdicts.count(conn), verdicts.count(conn, dataset_id(three, "e"))) == (2, 1)


def test_the_latest_stand_the_newest_first_without_what_was_undone(three):
    for pair_id in pair_ids(three):
        decide(three, pair_id, "a")
    undo(three)

    with connect.read(three) as conn:
        assert [one.pair_id for one in verdicts.latest(conn)] == pair_ids(three)[1::-1]
        assert [one.pair_id for one in verdicts.latest(conn, limit=1)] == [pair_ids(three)[1]]
        assert verdicts.count(conn) == 2


def test_the_newest_id_rises_with_verdicts_and_undoing_while_the_data_version_stays(three):
    ids, versions = [], []
    for change in (lambda: None, lambda: decide(three, pair_ids(three)[0], "a"), lambda: undo(three)):
        change()
        with connect.read(three) as conn:
            ids.append(verdicts.newest_id(conn))
            versions.append(datasets.get(conn, "d").data_version)

    assert ids[0] == 0
    assert ids == sorted(set(ids))
    assert len(set(versions)) == 1


def test_a_verdict_counts_as_a_change_of_the_datasets_that_hold_its_pair(three):
    load(three, [triplet(1, "elsewhere", "good", "bad")], dataset="e")
    before = time.time() - 1.0
    decide(three, pair_ids(three)[0], "a")

    with connect.read(three) as conn:
        changed = [
            verdicts.any_since(conn, dataset_id=dataset_id(three, name), when=when)
            for name, when in (("d", before), ("d", time.time() + 1.0), ("e", before))
        ]

    assert changed == [True, False, False]
