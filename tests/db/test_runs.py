import math

import pytest

from core.errors import NotFound
from core.records import RunKind, RunState, Step
from db import connect, runs
from tests.db.made import dataset_id, load, some

ENDED = (RunState.FINISHED, RunState.STOPPED, RunState.FAILED)


def add(engine, kind=RunKind.TRAIN, **keywords):
    with connect.write(engine) as conn:
        return runs.add(conn, kind=kind, config={"epochs": 1}, device="cpu", **keywords)


def get(engine, run_id):
    with connect.read(engine) as conn:
        return runs.get(conn, run_id)


def claim(engine, run_id, pid=1):
    with connect.write(engine) as conn:
        return runs.claim(conn, run_id, pid=pid, pid_started=1.0, host="here")


def finish(engine, run_id, state=RunState.FINISHED, **keywords):
    values = {"metrics": {}, "checkpoint": None, "error": None} | keywords
    with connect.write(engine) as conn:
        runs.finish(conn, run_id, state=state, **values)


def queue(engine):
    with connect.read(engine) as conn:
        return [run.id for run in runs.queued(conn)]


def test_a_run_waits_until_it_is_claimed(engine):
    run_id = add(engine, name="first")

    run = get(engine, run_id)
    assert (run.state, run.name, run.config, run.pid) == (RunState.QUEUED, "first", {"epochs": 1}, None)
    assert run.metrics == {}


def test_a_run_is_claimed_once(engine):
    run_id = add(engine)

    assert claim(engine, run_id, pid=1)
    assert not claim(engine, run_id, pid=2)

    run = get(engine, run_id)
    assert (run.state, run.pid, run.host) == (RunState.RUNNING, 1, "here")
    assert run.started is not None
    assert run.heartbeat is not None


def test_runs_of_a_dataset_and_a_labeler_are_found_whatever_their_state(engine):
    load(engine, some(1))
    mine = {"dataset_id": dataset_id(engine), "kind": RunKind.PREFLIGHT}
    first, _ = add(engine, labeler="judge", **mine), add(engine, labeler="critic", **mine)
    unlabeled, _ = add(engine, **mine), add(engine, labeler="judge", dataset_id=dataset_id(engine))
    last = add(engine, labeler="judge", **mine)
    finish(engine, first, RunState.FAILED)

    with connect.read(engine) as conn:
        found = [runs.of_dataset(conn, dataset_id(engine), kind=RunKind.PREFLIGHT, labeler=w) for w in ("judge", None)]

    assert [[run.id for run in runs_] for runs_ in found] == [[last, first], [unlabeled]]


def test_runs_start_in_the_order_they_came_unless_moved(engine):
    first, second, third = (add(engine) for _ in range(3))
    assert queue(engine) == [first, second, third]

    move(engine, third, up=True)
    assert queue(engine) == [first, third, second]
    move(engine, first, up=False)
    assert queue(engine) == [third, first, second]


def move(engine, run_id, *, up):
    with connect.write(engine) as conn:
        runs.move(conn, run_id, up=up)


def test_at_the_ends_of_the_queue_nothing_moves(engine):
    first, second = add(engine), add(engine)

    move(engine, first, up=True)
    move(engine, second, up=False)

    assert queue(engine) == [first, second]


def test_what_does_not_wait_cannot_be_moved(engine):
    run_id = add(engine)
    claim(engine, run_id)

    with pytest.raises(NotFound, match=f"run {run_id} is not in the queue"):
        move(engine, run_id, up=True)


def test_a_new_run_stands_last_after_moves(engine):
    first, second = add(engine), add(engine)
    move(engine, second, up=True)

    third = add(engine)

    assert queue(engine) == [second, first, third]


def test_a_queued_run_that_is_stopped_is_withdrawn_at_once(engine):
    run_id = add(engine)
    with connect.write(engine) as conn:
        runs.ask_stop(conn, run_id)

    run = get(engine, run_id)
    assert run.state is RunState.STOPPED
    assert run.ended is not None
    assert not claim(engine, run_id)
    assert queue(engine) == []


def test_a_running_run_hears_of_the_stop_at_its_next_heartbeat(engine):
    run_id = add(engine)
    claim(engine, run_id)
    assert not heartbeat(engine, run_id)

    with connect.write(engine) as conn:
        runs.ask_stop(conn, run_id)

    assert heartbeat(engine, run_id)
    run = get(engine, run_id)
    assert (run.state, run.ended) == (RunState.STOPPING, None)
    assert (run.progress, run.progress_text, run.seconds_left) == (0.25, "step 1 of 4", 3.0)


def heartbeat(engine, run_id):
    with connect.write(engine) as conn:
        return runs.heartbeat(conn, run_id, progress=0.25, text="step 1 of 4", seconds_left=3.0)


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_run_stays_as_it_ended(engine, state):
    run_id = add(engine)
    claim(engine, run_id)
    finish(engine, run_id, state, metrics={"nll": 0.5}, error="why" if state is RunState.FAILED else None)
    before = get(engine, run_id)

    with connect.write(engine) as conn:
        runs.ask_stop(conn, run_id)
        runs.fail_dead(conn, before, "gone")

    assert get(engine, run_id) == before
    assert before.state is state
    assert before.metrics == {"nll": 0.5}


@pytest.mark.parametrize("is_stopping", [False, True])
def test_a_run_whose_worker_is_gone_has_failed_with_its_last_words(engine, is_stopping):
    run_id = add(engine)
    claim(engine, run_id)
    with connect.write(engine) as conn:
        if is_stopping:
            runs.ask_stop(conn, run_id)
        runs.fail_dead(conn, runs.get(conn, run_id), "killed: out of memory")

    run = get(engine, run_id)
    assert (run.state, run.error) == (RunState.FAILED, "killed: out of memory")
    assert run.ended is not None


def test_a_run_that_was_resumed_since_its_worker_was_seen_dead_is_left_alone(engine):
    run_id = add(engine)
    claim(engine, run_id, pid=1)
    seen = get(engine, run_id)
    with connect.write(engine) as conn:  # meanwhile another process saw it too, and somebody resumed the run
        runs.fail_dead(conn, seen, "gone")
        runs.put_back(conn, run_id)
    claim(engine, run_id, pid=2)

    with connect.write(engine) as conn:
        runs.fail_dead(conn, seen, "gone")

    assert get(engine, run_id).state is RunState.RUNNING


@pytest.mark.parametrize("state", [*ENDED, None])
def test_what_an_ended_run_was_doing_is_not_said_any_more(engine, state):
    run_id = add(engine)
    claim(engine, run_id)
    heartbeat(engine, run_id)

    if state is None:
        with connect.write(engine) as conn:
            runs.fail_dead(conn, runs.get(conn, run_id), "gone")
    else:
        finish(engine, run_id, state)

    assert get(engine, run_id).progress_text is None


def test_a_queued_run_without_a_process_is_not_dead_and_one_whose_process_died_is(engine):
    waits, launched, gave_up = add(engine), add(engine), add(engine)
    with connect.write(engine) as conn:
        for run_id in (launched, gave_up):
            runs.launch(conn, run_id, pid=5, pid_started=1.0, host="here")
        seen = [runs.get(conn, run_id) for run_id in (waits, launched, gave_up)]
        runs.let_wait(conn, gave_up)
        for run in seen:
            runs.fail_dead(conn, run, "gone")

    assert queue(engine) == [waits, gave_up]
    assert get(engine, launched).state is RunState.FAILED


def test_running_runs_are_those_with_a_worker(engine):
    waits, runs_now, stops, ended = (add(engine) for _ in range(4))
    for run_id in (runs_now, stops, ended):
        claim(engine, run_id)
    finish(engine, ended)
    with connect.write(engine) as conn:
        runs.ask_stop(conn, stops)

        assert {run.id for run in runs.running(conn)} == {runs_now, stops}
        assert [run.id for run in runs.all(conn)] == [ended, stops, runs_now, waits]
        assert [run.id for run in runs.all(conn, limit=1)] == [ended]


def test_only_a_whole_run_is_at_its_end(engine):
    whole, half = add(engine), add(engine)
    for run_id, state in [(whole, RunState.FINISHED), (half, RunState.STOPPED)]:
        claim(engine, run_id)
        heartbeat(engine, run_id)
        finish(engine, run_id, state)

    assert (get(engine, whole).progress, get(engine, half).progress) == (1.0, 0.25)
    assert get(engine, whole).seconds_left is None


def test_a_number_that_is_none_is_refused_rather_than_stored(engine):
    run_id = add(engine)

    with pytest.raises(ValueError, match="not JSON compliant"):
        finish(engine, run_id, metrics={"nll": math.nan})


def test_the_newest_with_a_result_is_found(engine):
    assert newest(engine, RunKind.TRAIN) is None
    with_checkpoint, without, stopped, failed = (add(engine, labeler="judge") for _ in range(4))
    finish(engine, with_checkpoint, checkpoint="/c1")
    finish(engine, without)
    finish(engine, stopped, RunState.STOPPED, checkpoint="/c3")
    finish(engine, failed, RunState.FAILED, error="why")
    add(engine)
    assert newest(engine, RunKind.TRAIN) == stopped  # a stop leaves a usable checkpoint

    stopped_crossfit = add(engine, RunKind.CROSSFIT)
    finish(engine, stopped_crossfit, RunState.STOPPED)
    assert newest(engine, RunKind.CROSSFIT) is None  # half of the folds are no result

    assert newest(engine, RunKind.TRAIN, labeler="critic") is None


def newest(engine, kind, **keywords):
    with connect.read(engine) as conn:
        run = runs.newest(conn, kind=kind, **keywords)
    return None if run is None else run.id


def test_a_run_that_is_not_there_is_said_with_the_newest(engine):
    with connect.read(engine) as conn, pytest.raises(NotFound, match="no run 9 in the store; there are none yet"):
        runs.get(conn, 9)

    newest_id = add(engine)

    with (
        connect.read(engine) as conn,
        pytest.raises(NotFound, match=f"the newest is {newest_id}"),
    ):
        runs.get(conn, 9)


def test_steps_come_in_order_and_a_repeated_one_replaces_the_older(engine):
    run_id = add(engine)
    steps = [Step(step=n, num_steps=3, epoch=n / 3, loss=1.0 / n) for n in (1, 2)]
    with connect.write(engine) as conn:
        runs.add_steps(conn, run_id, steps)
        runs.add_steps(conn, run_id, [])
        # A resumed run takes up at its checkpoint and says step 2 again.
        again = [Step(step=n, num_steps=3, epoch=n / 3, loss=0.25, valid_nll=0.5, is_best=True) for n in (3, 2)]
        runs.add_steps(conn, run_id, again)

        frame = runs.steps_of(conn, run_id)

    assert list(frame["step"]) == [1, 2, 3]
    assert list(frame["loss"]) == [1.0, 0.25, 0.25]
    assert frame["valid_nll"].isna().tolist() == [True, False, False]


def test_a_run_without_steps_has_an_empty_frame_with_its_columns(engine):
    with connect.read(engine) as conn:
        frame = runs.steps_of(conn, 1)

    assert frame.empty
    assert {"step", "loss", "valid_nll", "is_best"} <= set(frame.columns)


@pytest.mark.parametrize("number", [0, -1, 2**31, 10**30])
def test_a_number_that_no_run_can_have_is_said_as_any_other(engine, number):
    with connect.read(engine) as conn, pytest.raises(NotFound, match=f"no run {number} in the store; there are none"):
        runs.get(conn, number)


def test_all_runs_are_all(engine):
    with connect.write(engine) as conn:
        for _ in range(1001):
            runs.add(conn, kind=RunKind.TRAIN, config={}, device="cpu")

        assert len(runs.all(conn)) == 1001
