import pytest
from sqlalchemy import select

from core.config import Targets
from core.errors import NotFound
from core.records import RunKind
from db import connect, datasets, labelers, labels, pairs, runs, snapshots, verdicts
from db.pairs import PairFilter
from db.schema import pairs as pair_table
from db.schema import votes
from tests.db.made import dataset_id, decide, index_all, load, pair_ids, some, triplet, vote, voted


def names(engine):
    with connect.read(engine) as conn:
        return [one.name for one in datasets.all(conn)]


def purge(engine, name="d"):
    with connect.write(engine) as conn:
        return datasets.purge(conn, name)


def test_datasets_are_listed_the_newest_first(engine):
    for name in ("first", "second", "third"):
        load(engine, some(1), dataset=name)

    assert names(engine) == ["third", "second", "first"]


def test_a_name_that_is_not_there_is_said_with_those_that_are(engine):
    with connect.read(engine) as conn, pytest.raises(NotFound, match="no dataset 'x'; the store has none yet; import"):
        datasets.get(conn, "x")

    load(engine, some(1))

    with connect.read(engine) as conn, pytest.raises(NotFound, match=r"no dataset 'x'; the store has d$"):
        datasets.get(conn, "x")


def test_a_removed_dataset_is_hidden_and_comes_back_whole(engine):
    load(engine, some(3))
    before = pair_ids(engine)

    with connect.write(engine) as conn:
        datasets.remove(conn, "d")
    assert names(engine) == []

    with connect.write(engine) as conn:
        datasets.restore(conn, "d")
    assert pair_ids(engine) == before


def test_only_a_removed_dataset_comes_back(engine):
    load(engine, some(1))
    load(engine, [triplet(1, "else", "x", "y")], dataset="e")
    with connect.write(engine) as conn:
        datasets.remove(conn, "e")

    with connect.write(engine) as conn:
        for name in ("d", "nope"):
            with pytest.raises(NotFound, match=f"no removed dataset '{name}' to bring back; removed are e"):
                datasets.restore(conn, name)


def test_a_purged_dataset_does_not_come_back_empty(engine):
    load(engine, some(1))
    purge(engine)
    with connect.write(engine) as conn:
        datasets.remove(conn, "d")

    with connect.write(engine) as conn, pytest.raises(NotFound, match="all of it was purged"):
        datasets.restore(conn, "d")


def test_a_snapshot_keeps_what_it_froze_of_a_removed_dataset(engine):
    load(engine, some(3))
    with connect.write(engine) as conn:
        frozen = snapshots.freeze(conn, dataset_id=dataset_id(engine), labeler="judge", targets=Targets.SOFT)
        datasets.remove(conn, "d")

        assert len(snapshots.pairs(conn, frozen.id)) == 3


def test_importing_into_a_removed_dataset_brings_it_back(engine):
    load(engine, some(2))
    with connect.write(engine) as conn:
        datasets.remove(conn, "d")

    load(engine, some(2))

    assert names(engine) == ["d"]


def test_a_purge_takes_only_what_no_other_visible_dataset_holds(engine):
    load(engine, some(5))
    load(engine, some(2), dataset="shares")

    with connect.read(engine) as conn:
        assert datasets.purge_count(conn, "d") == 3
    assert purge(engine) == 3

    assert len(pair_ids(engine)) == len(pair_ids(engine, "shares")) == 2
    with connect.read(engine) as conn:
        assert len(dict(pairs.texts(conn, pair_ids(engine)))) == 2
        assert datasets.get(conn, "d").num_pairs == 2
        assert [one.num_labels for one in labelers.summaries(conn, dataset_id(engine))] == [2]
        assert datasets.purge_count(conn, "d") == 0


@pytest.mark.usefixtures("only_sqlite")
def test_a_purge_erases_every_text_and_keeps_hashes_votes_and_verdicts(engine):
    secret = "xyzzy"
    load(engine, [triplet(1, f"{secret} p", f"{secret} x", f"{secret} y", rationale=f"because {secret}", row_id="u1")])
    index_all(engine)
    (pair_id,) = pair_ids(engine)
    decide(engine, pair_id, "b")
    with connect.read(engine) as conn:
        digest = conn.execute(select(pair_table.c.hash)).scalar_one()

    purge(engine)

    with connect.write(engine) as conn:
        conn.exec_driver_sql("INSERT INTO pair_words(pair_words) VALUES ('integrity-check')")
        stored = conn.execute(select(pair_table)).one()
        given = conn.execute(select(votes)).one()
        assert (stored.hash, stored.prompt, stored.response_a, stored.response_b) == (digest, "[]", "", "")
        assert (given.preference in ("a", "b"), given.rationale) == (True, None)
        assert len(verdicts.of_pair(conn, pair_id)) == 1
        assert dict(pairs.texts(conn, [pair_id])) == {}
        for table in ("pairs", "votes", "labels", "memberships"):
            assert secret not in str(conn.exec_driver_sql(f"SELECT * FROM {table}").all())


def test_a_purge_marks_the_runs_that_trained_on_what_is_gone(engine):
    load(engine, some(3))
    load(engine, [triplet(1, "else", "x", "y")], dataset="e")
    made = {}
    with connect.write(engine) as conn:
        for name in ("d", "e"):
            here = dataset_id(engine, name)
            made[name] = runs.add(conn, kind=RunKind.TRAIN, config={}, device="cpu", dataset_id=here)
            frozen = snapshots.freeze(conn, dataset_id=here, labeler="judge", targets=Targets.SOFT)
            runs.set_snapshot(conn, made[name], frozen.id)

    purge(engine)

    with connect.read(engine) as conn:
        assert runs.get(conn, made["d"]).unreproducible
        assert not runs.get(conn, made["e"]).unreproducible


def test_a_hidden_dataset_does_not_keep_text_alive_and_holds_what_is_left_when_it_comes_back(engine):
    load(engine, some(2))
    load(engine, some(3), dataset="hidden")
    with connect.write(engine) as conn:
        datasets.remove(conn, "hidden")

    assert purge(engine) == 2

    with connect.write(engine) as conn:
        datasets.restore(conn, "hidden")
    with connect.read(engine) as conn:
        hidden = datasets.get(conn, "hidden")
        shown = pairs.browse(conn, PairFilter(dataset_id=hidden.id))
    assert hidden.num_pairs == 1
    assert [row.row_id for row in shown] == ["hidden:3"]


def test_what_changes_a_datasets_pairs_or_labels_raises_its_version(engine):
    load(engine, some(3))
    versions = [version(engine)]

    load(engine, [voted(1, "new", vote("a"))], dataset="d")
    versions.append(version(engine))
    load(engine, some(1, labeler="critic"), dataset="e")  # a label on a pair that d holds too
    versions.append(version(engine))
    purge(engine)
    versions.append(version(engine))

    assert versions == sorted(set(versions))


def version(engine):
    with connect.read(engine) as conn:
        return datasets.get(conn, "d").data_version


def test_labels_of_purged_pairs_are_in_no_frame(engine):
    load(engine, some(3))
    here = dataset_id(engine)
    purge(engine)

    with connect.read(engine) as conn:
        assert labels.frame(conn, labeler="judge", dataset_id=here).empty
