from sqlalchemy import event

from core.records import Kind, RunKind, RunState
from db import connect, datasets, runs, stats, verdicts
from tests.db.made import decide, load, pair_ids, some, triplet


def overview(engine):
    with connect.read(engine) as conn:
        return stats.overview(conn)


def test_an_empty_store_has_none_of_anything(engine):
    found = overview(engine)

    assert (found.num_datasets, found.num_pairs, found.num_labels_ai, found.num_labels_human) == (0, 0, 0, 0)
    assert (found.num_verdicts, found.num_labelers) == (0, 0)
    assert found.num_runs_by_state == dict.fromkeys(RunState, 0)


def test_labels_are_counted_by_kind_and_verdicts_as_they_stand(engine):
    load(engine, [*some(4), *some(2, labeler="critic"), *some(3, labeler="ann", kind=Kind.HUMAN)])
    load(engine, [triplet(1, "new", "x", "y")], dataset="e")
    decide(engine, pair_ids(engine)[0], "a")
    decide(engine, pair_ids(engine)[1], "b")
    with connect.write(engine) as conn:
        verdicts.undo(conn, reviewer="me")

    found = overview(engine)

    assert (found.num_datasets, found.num_pairs) == (2, 4 + 1)
    assert (found.num_labels_ai, found.num_labels_human, found.num_labelers) == (4 + 2 + 1, 3, 3)
    assert found.num_verdicts == 1


def test_a_removed_dataset_counts_no_more(engine):
    load(engine, some(4))
    load(engine, [triplet(1, "new", "x", "y", labeler="critic")], dataset="e")
    with connect.write(engine) as conn:
        datasets.remove(conn, "d")

    found = overview(engine)

    assert (found.num_datasets, found.num_pairs, found.num_labels_ai, found.num_labelers) == (1, 1, 1, 1)


def test_runs_are_counted_by_state(engine):
    with connect.write(engine) as conn:
        first, second, _ = (runs.add(conn, kind=RunKind.TRAIN, config={}, device="cpu") for _ in range(3))
        runs.claim(conn, first, pid=1, pid_started=1.0, host="here")
        runs.ask_stop(conn, second)

    found = overview(engine).num_runs_by_state

    expected = {RunState.QUEUED: 1, RunState.RUNNING: 1, RunState.STOPPED: 1}
    assert found == dict.fromkeys(RunState, 0) | expected


def test_no_table_that_grows_with_the_pairs_is_read(engine):
    load(engine, some(3))
    asked = []
    event.listen(engine, "before_cursor_execute", lambda conn, cursor, statement, *_: asked.append(statement))

    overview(engine)

    said = " ".join(asked)
    assert "dataset_labelers" in said
    assert not [name for name in ("FROM pairs", "FROM labels", "FROM votes", "memberships") if name in said]
