import pytest
from sqlalchemy import delete, func, select

from core.records import Consistency, Kind, Order
from db import connect, labels
from db.schema import labels as label_table
from tests.db.made import dataset_id, load, pair_ids, some, vote, voted


def frame(engine, labeler):
    with connect.read(engine) as conn:
        return labels.frame(conn, labeler=labeler, dataset_id=dataset_id(engine))


@pytest.fixture
def opinions(engine):
    rows = [
        voted(
            1, "one", vote("a", labeler="judge"), vote("b", labeler="critic"), vote("a", labeler="ann", kind=Kind.HUMAN)
        ),
        voted(2, "two", vote("b"), vote("b", labeler="critic")),
        voted(3, "three", vote("tie", labeler="ann", kind=Kind.HUMAN), vote("b", labeler="bo", kind=Kind.HUMAN)),
    ]
    load(engine, rows)
    return engine


def test_a_labelers_label_is_of_its_own_votes(opinions):
    assert list(frame(opinions, "judge")["p_a"]) == [1.0, 0.0]
    assert list(frame(opinions, "critic")["p_a"]) == [0.0, 0.0]


def test_people_and_ai_are_pooled_each_by_itself(opinions):
    ai, people = frame(opinions, "ai"), frame(opinions, "people")

    one, two, three = pair_ids(opinions)
    assert list(ai["pair_id"]) == [one, two]
    assert list(ai["p_a"]) == [0.5, 0.0]  # (1 + 0) / 2; both b
    assert list(ai["consistency"]) == ["repeat-split", "consistent"]
    assert list(people["pair_id"]) == [one, three]
    assert list(people["p_a"]) == [1.0, 0.25]  # (tie at half + 0) / 2
    assert list(people["p_tie"]) == [0.0, 0.5]
    assert list(people["num_votes"]) == [1, 2]


def test_pairs_without_a_label_are_absent(opinions):
    with connect.read(opinions) as conn:
        found = labels.for_pairs(conn, "judge", pair_ids(opinions), dataset_id=dataset_id(opinions))

    assert sorted(found) == pair_ids(opinions)[:2]


def test_order_of_showing_tells_a_flip_from_a_split(engine):
    load(
        engine,
        [
            voted(1, "flip", vote("a", order=Order.AB), vote("b", order=Order.BA)),
            voted(2, "split", vote("a", order=Order.AB), vote("b", order=Order.AB)),
            voted(3, "agree", vote("a", order=Order.AB), vote("a", order=Order.BA)),
        ],
    )

    assert list(frame(engine, "judge")["consistency"]) == ["order-flipped", "repeat-split", "consistent"]


def test_labels_can_be_rebuilt_from_the_votes(opinions):
    before = frame(opinions, "judge")
    with connect.write(opinions) as conn:
        conn.execute(delete(label_table))
    assert frame(opinions, "judge").empty

    with connect.write(opinions) as conn:
        labels.rebuild(conn, pair_ids(opinions))

    assert frame(opinions, "judge").equals(before)


def test_rebuilding_twice_changes_nothing(opinions):
    with connect.write(opinions) as conn:
        first = labels.rebuild(conn, pair_ids(opinions))
        second = labels.rebuild(conn, pair_ids(opinions))
        num_rows = conn.execute(select(func.count()).select_from(label_table)).scalar_one()

    assert first == second
    assert num_rows == len(first) == 3 + 2 + 2  # labelers on one, two and three


def test_a_pair_shows_its_labels_and_votes_with_the_labelers_names(opinions):
    with connect.read(opinions) as conn:
        given = labels.of_pair(conn, pair_ids(opinions)[0])
        votes = labels.votes_of(conn, pair_ids(opinions)[0])

    assert {name: (label.p_a, label.consistency) for name, label in given} == {
        "judge": (1.0, Consistency.SINGLE),
        "critic": (0.0, Consistency.SINGLE),
        "ann": (1.0, Consistency.SINGLE),
    }
    assert {vote.labeler for vote in votes} == {"judge", "critic", "ann"}


def test_labels_are_counted_within_the_dataset(opinions):
    load(opinions, some(4, labeler="judge"), dataset="e")

    with connect.read(opinions) as conn:
        counted = labels.count_labels(conn, dataset_id(opinions))

    assert sorted(counted.values()) == [1, 2, 2, 2]  # bo; judge, critic, ann


def test_a_dataset_that_nobody_labeled_has_an_empty_frame_with_its_columns(engine):
    load(engine, some(2, labeler=None))

    found = frame(engine, "ai")

    assert found.empty
    assert list(found.columns) == labels.COLUMNS


def test_votes_whose_shown_order_is_known_tell_what_stood_first(engine):
    load(
        engine,
        [
            voted(1, "one", vote("a", order=Order.AB), vote("a", order=Order.BA), vote("b", labeler="critic")),
            voted(2, "two", vote("tie", order=Order.AB), vote("b")),
        ],
    )

    with connect.read(engine) as conn:
        found = labels.shown_votes(conn, labeler="judge", dataset_id=dataset_id(engine))

    one, _ = pair_ids(engine)
    assert found.to_dict("list") == {"pair_id": [one, one], "a_first": [1, 0], "p_a": [1, 1]}
