import pytest

from core.config import Targets
from core.errors import Ambiguous, BadConfig, NotFound
from core.records import Kind
from db import connect, datasets, labelers, labels, pairs, snapshots
from db.pairs import PairFilter
from tests.db.made import dataset_id, load, some, triplet


def resolve(engine, name):
    with connect.read(engine) as conn:
        return labelers.resolve(conn, dataset_id(engine), name)


@pytest.fixture
def three(engine):
    rows = [*some(3, labeler="judge"), *some(2, labeler="ann", kind=Kind.HUMAN), *some(1, labeler="critic")]
    load(engine, rows)
    return engine


def test_without_a_name_the_only_labeler_is_meant(engine):
    load(engine, some(2, labeler="judge"))

    assert resolve(engine, None) == "judge"


def test_without_a_name_several_are_listed_the_most_frequent_first(three):
    with pytest.raises(Ambiguous, match=r"^the dataset has 3 labelers: judge, ann, critic; name one with --labeler"):
        resolve(three, None)


def test_a_name_that_is_not_there_is_said_with_those_that_are(three):
    with pytest.raises(NotFound, match=r"^no labeler 'jugde' in the dataset; it has judge, ann, critic"):
        resolve(three, "jugde")


def test_a_dataset_without_labels_says_what_to_do(engine):
    load(engine, some(2, labeler=None))

    with pytest.raises(NotFound, match=r"^the dataset has no labels yet: import some, or let a labeler label it$"):
        resolve(engine, None)


def test_a_name_and_a_pool_are_themselves(three):
    assert [resolve(three, name) for name in ("critic", "people", "ai")] == ["critic", "people", "ai"]


def test_an_empty_pool_is_refused(engine):
    load(engine, some(2, labeler="judge"))

    with pytest.raises(NotFound, match="no labeler of the dataset is of the kind 'people' means; it has judge"):
        resolve(engine, "people")


def test_only_labelers_of_this_dataset_count(three):
    load(three, [triplet(1, "new", "x", "y", labeler="elsewhere")], dataset="e")

    with pytest.raises(NotFound, match="no labeler 'elsewhere'"):
        resolve(three, "elsewhere")


def test_a_crowd_is_listed_by_its_first_names_and_its_size(engine):
    load(engine, [triplet(i, f"p{i}", "x", "y", labeler=f"worker {i:02}") for i in range(1, 13)])

    with pytest.raises(Ambiguous, match=r"12 labelers: worker 01, .*worker 08 and 4 more;"):
        resolve(engine, None)


@pytest.mark.parametrize("name", ["people", "ai", "verdicts"])
def test_no_labeler_may_take_a_name_that_means_something_else(engine, name):
    with pytest.raises(BadConfig, match=f"a labeler cannot be named '{name}'"):
        load(engine, some(1, labeler=name))


def test_summaries_are_of_one_dataset_or_of_all(three):
    load(three, [triplet(1, "new", "x", "y", labeler="critic"), triplet(2, "newer", "x", "y")], dataset="e")

    with connect.read(three) as conn:
        here = labelers.summaries(conn, dataset_id(three))
        everywhere = labelers.summaries(conn)
    assert [(one.name, one.kind, one.num_labels) for one in here] == [
        ("judge", Kind.AI, 3),
        ("ann", Kind.HUMAN, 2),
        ("critic", Kind.AI, 1),
    ]
    assert {one.name: one.num_labels for one in everywhere} == {"judge": 3 + 1, "ann": 2, "critic": 1 + 1}


def test_one_name_of_two_kinds_is_two_versions_and_the_newest_counts(engine):
    load(
        engine, [triplet(1, "p", "x", "y", labeler="both"), triplet(2, "q", "x", "y", labeler="both", kind=Kind.HUMAN)]
    )

    with connect.read(engine) as conn:
        versions = {one.kind: one.id for one in labelers.summaries(conn)}
        here = dataset_id(engine)
        assert labelers.newest_versions(conn, "both", dataset_id=here) == [versions[Kind.HUMAN]]
        assert labelers.newest_versions(conn, "nobody", dataset_id=here) == []


def test_votes_on_a_shared_pair_count_in_every_dataset_that_holds_it(engine):
    load(engine, some(3, labeler="judge"))

    load(engine, some(2, labeler="critic"), dataset="e")

    with connect.read(engine) as conn:
        for name, num_judged in [("d", 3), ("e", 2)]:
            found = labelers.summaries(conn, dataset_id(engine, name))
            assert {one.name: one.num_labels for one in found} == {"judge": num_judged, "critic": 2}


def test_a_name_of_another_kind_elsewhere_takes_no_labels_away(engine):
    load(engine, some(3, labeler="imported"))
    elsewhere = [triplet(i, f"other {i}", "x", "y", labeler="imported", kind=Kind.HUMAN) for i in (1, 2)]

    load(engine, elsewhere, dataset="e")

    for name, num_labels in (("d", 3), ("e", 2)):
        here = dataset_id(engine, name)
        with connect.read(engine) as conn:
            assert len(labels.frame(conn, labeler="imported", dataset_id=here)) == num_labels
            counted = snapshots.count(conn, dataset_id=here, labeler="imported")
            assert sum(counted.parts.values()) == num_labels
            assert pairs.count(conn, PairFilter(dataset_id=here, labeler="imported", side="none")) == 0
        with connect.write(engine) as conn:
            frozen = snapshots.freeze(conn, dataset_id=here, labeler="imported", targets=Targets.SOFT)
        assert sum(frozen.parts.values()) == num_labels


def test_an_imported_name_of_two_kinds_means_the_kind_that_labeled_more_of_the_dataset(engine):
    load(engine, some(3, labeler="imported"))

    load(engine, some(1, labeler="imported", kind=Kind.HUMAN), dataset="e")  # shares one pair with d

    with connect.read(engine) as conn:
        assert len(labels.frame(conn, labeler="imported", dataset_id=dataset_id(engine))) == 3


def test_a_pair_of_two_datasets_is_counted_once_everywhere_and_not_at_all_when_both_are_removed(engine):
    load(engine, some(3, labeler="judge"))
    load(engine, some(2, labeler="judge"), dataset="e")

    with connect.write(engine) as conn:
        assert [one.num_labels for one in labelers.summaries(conn)] == [3]
        datasets.remove(conn, "d")
        assert [one.num_labels for one in labelers.summaries(conn)] == [2]
        datasets.remove(conn, "e")
        assert labelers.summaries(conn) == []
