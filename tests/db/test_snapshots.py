import math
import random

import pytest
from sqlalchemy import func, select

from core.config import Targets
from core.errors import NotFound
from core.records import Consistency, Origin, Part
from db import connect, datasets, snapshots
from db.schema import snapshots as snapshot_table
from tests.db.made import dataset_id, decide, load, pair_ids, some, vote, voted


def freeze(engine, *, name="d", labeler="judge", targets=Targets.SOFT):
    with connect.write(engine) as conn:
        return snapshots.freeze(conn, dataset_id=dataset_id(engine, name), labeler=labeler, targets=targets)


def would_be(engine, *, labeler="judge", targets=Targets.SOFT):
    with connect.read(engine) as conn:
        return snapshots.would_be(conn, dataset_id=dataset_id(engine), labeler=labeler, targets=targets)


def targets_of(engine, snapshot):
    """pair_id -> (p_a, p_tie, origin)."""
    with connect.read(engine) as conn:
        return {row.pair_id: (row.p_a, row.p_tie, row.origin) for row in snapshots.rows(conn, snapshot.id)}


@pytest.fixture
def five(engine):
    rows = [
        voted(1, "sure", vote("a", p_a=0.9)),
        voted(2, "other", vote("b", p_a=0.4)),
        voted(3, "tie", vote("tie")),
        voted(4, "torn", vote("b"), vote("a")),
        voted(5, "unlabeled"),
    ]
    load(engine, rows)
    return engine


def test_soft_targets_are_p_a_and_a_pair_without_a_label_is_left_out_and_counted(five):
    frozen = freeze(five)

    sure, other, tie, torn, _ = pair_ids(five)
    assert targets_of(five, frozen) == {
        sure: (0.9, 0.0, Origin.LABEL),
        other: (0.4, 0.0, Origin.LABEL),
        tie: (0.5, 1.0, Origin.LABEL),
        torn: (0.5, 0.0, Origin.LABEL),
    }
    assert (frozen.num_without_label, frozen.num_dropped, frozen.num_verdicts) == (1, 0, 0)


def test_hard_targets_are_the_labels_side(five):
    frozen = freeze(five, targets=Targets.HARD)

    sure, other, tie, torn, _ = pair_ids(five)
    assert targets_of(five, frozen) == {
        sure: (1.0, 0.0, Origin.LABEL),
        other: (0.0, 0.0, Origin.LABEL),
        tie: (0.5, 1.0, Origin.LABEL),  # a tie has no side
        torn: (0.0, 0.0, Origin.LABEL),  # cancelled votes: the side of the first
    }


@pytest.mark.parametrize("labeler", ["judge", "ai"])
@pytest.mark.parametrize("decisions", [[], ["b", "tie", "a", "drop", "a"], ["drop", "drop", "drop", "drop", "drop"]])
def test_counting_says_what_freezing_would_hold_and_writes_nothing(five, decisions, labeler):
    for pair_id, decision in zip(pair_ids(five), decisions, strict=False):
        decide(five, pair_id, decision)

    with connect.read(five) as conn:
        counted = snapshots.count(conn, dataset_id=dataset_id(five), labeler=labeler)
        written = conn.execute(select(func.count()).select_from(snapshot_table)).scalar_one()

    frozen = freeze(five, labeler=labeler)
    assert written == 0
    assert counted == snapshots.Contents(
        parts=frozen.parts,
        num_without_label=frozen.num_without_label,
        num_dropped=frozen.num_dropped,
        num_verdicts=frozen.num_verdicts,
        num_ties=None if labeler == "ai" else frozen.num_ties,
    )


def test_ties_are_counted_and_votes_that_cancel_are_none(five):
    with connect.read(five) as conn:
        counted = snapshots.count(conn, dataset_id=dataset_id(five), labeler="judge")
    frozen = freeze(five)
    with connect.read(five) as conn:
        stored = snapshots.counts(conn, frozen.id)

    assert counted.num_ties == frozen.num_ties == stored.num_ties == 1


def test_a_verdict_wins_over_the_label_and_decides_pairs_without_one(five):
    sure, other, tie, torn, unlabeled = pair_ids(five)
    for pair_id, decision in [(sure, "b"), (other, "tie"), (tie, "a"), (torn, "drop"), (unlabeled, "a")]:
        decide(five, pair_id, decision)

    frozen = freeze(five)

    assert targets_of(five, frozen) == {
        sure: (0.0, 0.0, Origin.VERDICT),
        other: (0.5, 1.0, Origin.VERDICT),
        tie: (1.0, 0.0, Origin.VERDICT),
        unlabeled: (1.0, 0.0, Origin.VERDICT),
    }
    assert (frozen.num_without_label, frozen.num_dropped, frozen.num_verdicts) == (0, 1, 4)


def test_while_reviewers_differ_the_label_holds(five):
    sure = pair_ids(five)[0]
    decide(five, sure, "b", reviewer="ann")
    decide(five, sure, "drop", reviewer="bo")

    assert targets_of(five, freeze(five))[sure] == (0.9, 0.0, Origin.LABEL)


def test_the_hash_knows_no_row_numbers_and_no_order(engine):
    rows = some(20)
    load(engine, rows)
    load(engine, some(7, labeler="noise"), dataset="between")
    random.Random(0).shuffle(rows)
    load(engine, rows, dataset="shuffled")

    first, second = freeze(engine), freeze(engine, name="shuffled")

    assert first.hash == second.hash
    assert first.id == second.id  # equal content is one snapshot


def test_the_hash_is_the_same_in_another_store(engine, tmp_path):
    load(engine, some(6))
    other = connect.open_store(connect.resolve_url(str(tmp_path / "other.db")))
    load(other, [voted(1, "before", vote("a"))], dataset="before")
    load(other, some(6)[::-1])

    assert freeze(engine).hash == freeze(other).hash
    other.dispose()


def test_whatever_a_model_would_see_differently_changes_the_hash(five):
    seen = [would_be(five), would_be(five, targets=Targets.HARD)]
    sure, *_ = pair_ids(five)
    decide(five, sure, "a")
    seen.append(would_be(five))
    decide(five, sure, "drop")
    seen.append(would_be(five))
    load(five, [voted(1, "one more", vote("a"))], dataset="d")
    seen.append(would_be(five))

    assert len(set(seen)) == len(seen)


def test_the_part_is_in_the_hash(engine):
    load(engine, some(4))
    load(engine, some(4), dataset="tested", split=Part.TEST)

    assert freeze(engine).hash != freeze(engine, name="tested").hash


@pytest.mark.parametrize("targets", Targets)
def test_what_would_be_frozen_is_what_is_frozen_and_nothing_is_written(five, targets):
    decide(five, pair_ids(five)[1], "a")
    expected = would_be(five, targets=targets)
    with connect.read(five) as conn:
        assert conn.execute(select(func.count()).select_from(snapshot_table)).scalar_one() == 0

    assert freeze(five, targets=targets).hash == expected


def test_a_snapshot_stays_as_it_was_whatever_comes_later(five):
    frozen = freeze(five)
    before = targets_of(five, frozen)

    decide(five, pair_ids(five)[0], "drop")
    load(five, [voted(1, "sure", vote("b", p_a=0.0))])

    assert targets_of(five, frozen) == before
    assert freeze(five).hash != frozen.hash
    with connect.read(five) as conn:
        assert snapshots.counts(conn, frozen.id) == frozen
        assert snapshots.hash_of(conn, frozen.id) == frozen.hash


def test_parts_are_counted_and_texts_come_along(engine):
    load(engine, some(50))

    frozen = freeze(engine)

    with connect.read(engine) as conn:
        found = snapshots.pairs(conn, frozen.id)
    assert sum(frozen.parts.values()) == len(found) == 50
    assert {part: sum(one.part is part for one in found) for part in Part} == dict(frozen.parts)
    assert all(one.pair.prompt[0].content.startswith("prompt ") for one in found)


def test_pairs_whose_text_was_purged_are_left_out(engine):
    load(engine, some(4))
    load(engine, some(1), dataset="keeps")
    frozen = freeze(engine)
    with connect.write(engine) as conn:
        datasets.purge(conn, "d")

        assert len(snapshots.pairs(conn, frozen.id)) == 1
        assert len(snapshots.rows(conn, frozen.id)) == 4


def test_a_snapshot_that_is_not_there_is_named(engine):
    with connect.read(engine) as conn, pytest.raises(NotFound, match="no snapshot 7 in the store"):
        snapshots.counts(conn, 7)


@pytest.mark.parametrize("labeler", ["judge", "ai"])
def test_candidates_are_what_freezing_would_hold(five, labeler):
    for pair_id, decision in zip(pair_ids(five), ["b", "tie", "drop", None, "a"], strict=True):
        if decision:
            decide(five, pair_id, decision)

    with connect.read(five) as conn:
        found = snapshots.candidates(conn, dataset_id=dataset_id(five), labeler=labeler, targets=Targets.SOFT)
        frozen = snapshots.pairs(conn, freeze(five, labeler=labeler).id)

    assert {(one.pair_id, one.pair, one.p_a, one.p_tie, one.part) for one in found} == {
        (one.pair_id, one.pair, one.p_a, one.p_tie, one.part) for one in frozen
    }
    # In the file's order; what a verdict decided is no conflict of the labeler any more.
    assert [one.pair_id for one in found] == [one for one in pair_ids(five) if one != pair_ids(five)[2]]
    assert {one.pair_id: one.consistency for one in found if one.consistency} == {
        pair_ids(five)[3]: Consistency.REPEAT_SPLIT
    }


def test_without_a_labeler_every_pair_is_a_candidate_without_a_target(five):
    with connect.read(five) as conn:
        found = snapshots.candidates(conn, dataset_id=dataset_id(five), labeler=None, targets=Targets.SOFT)

    assert [one.pair_id for one in found] == pair_ids(five)
    assert all(math.isnan(one.p_a) and one.consistency is None for one in found)
