import json

import pytest
from sqlalchemy import select

from core.judging import Answer, Attempt, Constitution, LabelerConfig, Principle, PrincipleUse, Source, Status
from core.judging import PrincipleVerdict as Said
from core.labelers.plan import plan, version_of
from core.records import Consistency, Order, Preference, RunKind
from db import connect, constitutions, labelers, labels, pairs, requests, runs
from db.schema import requests as rows
from tests.db.made import load, pair_ids, some

JUDGE = LabelerConfig(source=Source.OPENAI, model="m", principles=PrincipleUse.EACH)
HELPFUL, SHORT = Principle(id="helpful", text="Helps.", weight=2.0), Principle(id="short", text="Short.")
MINE = Constitution(name="mine", principles=(HELPFUL, SHORT))


def a_run(engine, *, state="running"):
    with connect.write(engine) as conn:
        run_id = runs.add(conn, kind=RunKind.LABEL, config={}, device="judge")
        if state == "running":
            assert runs.claim(conn, run_id, pid=1, pid_started=0.0, host="here")
    return run_id


def a_labeler(engine, constitution=MINE):
    with connect.write(engine) as conn:
        kept = constitutions.add(conn, constitution)
        return labelers.asked(conn, JUDGE.name, version_of(JUDGE, constitution), config={}, constitution_id=kept.id)


def planned(engine, constitution=MINE, config=JUDGE):
    with connect.read(engine) as conn:
        return list(plan(pairs.texts(conn, pair_ids(engine)), config, constitution))


def reserve(engine, run_id, labeler_id, asked, **more):
    with connect.write(engine) as conn:
        return requests.reserve(conn, asked, run_id=run_id, labeler_id=labeler_id, **more)


def asked_before(conn, request):
    same = rows.c.key == bytes.fromhex(request.key)
    found = conn.execute(select(rows.c.id, rows.c.pair_id).where(same)).one()
    return requests.Asked(id=found.id, pair_id=found.pair_id, request=request)


def keys(reserved):
    return {one.request.key for one in reserved.to_ask}


def answer(engine, run_id, labeler_id, request, said):
    with connect.write(engine) as conn:
        attempt = Attempt(key=request.key, reply="A", tokens_in=10, tokens_out=2, cost=0.5)
        requests.keep(conn, attempt, said, asked_before(conn, request), run_id=run_id, by=(labeler_id, JUDGE.name))


def ok(p_first=0.9, **more):
    preference = Preference.A if p_first > 0.5 else Preference.B
    return Answer(status=Status.OK, preference=preference, p_first=p_first, **more)


def test_two_running_runs_never_get_the_same_request(engine):
    load(engine, some(5))
    one, other, labeler_id = a_run(engine), a_run(engine), a_labeler(engine)
    asked = planned(engine)

    first = reserve(engine, one, labeler_id, asked[:12])
    second = reserve(engine, other, labeler_id, asked)

    assert keys(first) == {request.key for _, request in asked[:12]}
    assert keys(second) == {request.key for _, request in asked[12:]}
    assert second.elsewhere == 12


def test_what_a_dead_run_was_asking_is_asked_again(engine):
    load(engine, some(2))
    dead, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, dead, labeler_id, asked)
    with connect.write(engine) as conn:
        runs.fail_dead(conn, runs.get(conn, dead), "it died")

    again = reserve(engine, a_run(engine), labeler_id, asked)

    assert len(again.to_ask) == len(asked)


def test_a_resumed_run_asks_what_it_was_asking_when_it_was_killed(engine):
    load(engine, some(1))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    reserve(engine, run_id, labeler_id, planned(engine))

    assert len(reserve(engine, run_id, labeler_id, planned(engine)).to_ask) == 4


def test_an_answered_request_is_never_asked_again(engine):
    load(engine, some(1))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, labeler_id, asked)
    answer(engine, run_id, labeler_id, asked[0][1], ok())

    later = reserve(engine, a_run(engine), labeler_id, asked[:1])

    assert (later.to_ask, later.answered) == ((), 1)


@pytest.mark.parametrize("status", [Status.UNPARSED, Status.REFUSED, Status.TRUNCATED, Status.FAILED])
def test_a_failure_is_no_vote_and_is_asked_again_when_that_is_wanted(engine, status):
    load(engine, some(1, labeler=None))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)[:1]
    reserve(engine, run_id, labeler_id, asked)
    answer(engine, run_id, labeler_id, asked[0][1], Answer(status=status, why="it would not"))

    with connect.read(engine) as conn:
        assert labels.votes_of(conn, asked[0][0]) == []
    left_alone = reserve(engine, run_id, labeler_id, asked, again=())
    asked_again = reserve(engine, run_id, labeler_id, asked, again=[status])

    assert (left_alone.failed, len(left_alone.to_ask)) == (1, 0)
    assert len(asked_again.to_ask) == 1


def test_votes_are_kept_in_the_stored_order_with_their_principle(engine):
    load(engine, some(1, labeler=None))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, labeler_id, asked)
    for _, request in asked:  # always the first shown
        answer(engine, run_id, labeler_id, request, ok(0.9, rationale="So it is."))

    with connect.write(engine) as conn:
        found = labels.votes_of(conn, asked[0][0])
        ((_, _, label),) = labels.rebuild(conn, [asked[0][0]])

    assert {(vote.order, vote.principle, vote.weight, round(vote.p_a, 6)) for vote in found} == {
        (Order.AB, "helpful", 2.0, 0.9),
        (Order.BA, "helpful", 2.0, 0.1),
        (Order.AB, "short", 1.0, 0.9),
        (Order.BA, "short", 1.0, 0.1),
    }
    assert (label.p_a, label.consistency) == (0.5, Consistency.ORDER_FLIPPED)


def test_what_was_said_under_principles_is_kept_in_the_stored_order(engine):
    load(engine, some(1, labeler=None))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine, config=LabelerConfig(source=Source.OPENAI, model="m"))
    reserve(engine, run_id, labeler_id, asked)
    said = (
        Said(principle="helpful", preference=Preference.A, strength=2),
        Said(principle="short", preference=None),
    )
    for _, request in asked:
        answer(engine, run_id, labeler_id, request, ok(0.9, by_principle=said))

    with connect.read(engine) as conn:
        kept = dict(conn.exec_driver_sql("SELECT shown, by_principle FROM votes").all())

    assert json.loads(kept["ab"]) == [["helpful", "a", 2], ["short", None, None]]
    assert json.loads(kept["ba"]) == [["helpful", "b", 2], ["short", None, None]]


def test_a_changed_constitution_takes_over_the_votes_of_principles_that_did_not_change(engine):
    load(engine, some(1, labeler=None))
    run_id, before = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, before, asked)
    for _, request in asked:
        answer(engine, run_id, before, request, ok(0.8))
    edited = Constitution(name="mine", principles=(HELPFUL, Principle(id="short", text="Shorter.")))
    after = a_labeler(engine, edited)

    taken = reserve(engine, a_run(engine), after, planned(engine, edited))
    again = reserve(
        engine, a_run(engine), after, [one for one in planned(engine, edited) if one[1].key not in keys(taken)]
    )

    assert (len(taken.to_ask), taken.answered) == (2, 2)
    assert again.answered == 2
    with connect.read(engine) as conn:
        mine = conn.exec_driver_sql(f"SELECT principle FROM votes WHERE labeler_id = {after}").scalars().all()
    assert mine == ["helpful", "helpful"]


def test_what_was_spent_is_exact_and_unknown_prices_are_counted(engine):
    load(engine, some(1))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, labeler_id, asked)
    answer(engine, run_id, labeler_id, asked[0][1], ok())
    with connect.write(engine) as conn:
        refused = Attempt(key=asked[1][1].key, error="HTTP 429", http_status=429, is_last=False)
        requests.keep(conn, refused, None, asked_before(conn, asked[1][1]), run_id=run_id, by=(labeler_id, JUDGE.name))
    answer(engine, run_id, labeler_id, asked[1][1], Answer(status=Status.UNPARSED, why="no verdict"))

    with connect.read(engine) as conn:
        spent = requests.spent(conn, run_id)

    assert (spent.num_attempts, spent.tokens_in, spent.tokens_out) == (3, 20, 4)
    assert (spent.cost, spent.num_unpriced) == (1.0, 1)
    assert spent.by_status == {"ok": 1, "unparsed": 1, "asked": 2}


def test_what_was_reserved_and_not_asked_is_given_back(engine):
    load(engine, some(1))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, labeler_id, asked)
    answer(engine, run_id, labeler_id, asked[0][1], ok())
    answer(engine, run_id, labeler_id, asked[1][1], Answer(status=Status.FAILED, why="HTTP 500"))
    reserve(engine, run_id, labeler_id, asked)  # the failed one is to be asked again, and a stop comes first

    with connect.write(engine) as conn:
        requests.release(conn, run_id)
        left = requests.spent(conn, run_id)

    assert left.by_status == {"ok": 1, "failed": 1}
    assert left.num_attempts == 2
    assert len(reserve(engine, a_run(engine), labeler_id, asked).to_ask) == 3


def test_votes_that_no_label_knows_of_are_owed(engine):
    load(engine, some(2, labeler=None))
    run_id, labeler_id = a_run(engine), a_labeler(engine)
    asked = planned(engine)
    reserve(engine, run_id, labeler_id, asked)
    for _, request in asked[:2]:
        answer(engine, run_id, labeler_id, request, ok())

    with connect.read(engine) as conn:
        owed = requests.owed(conn, labeler_id)
    requests.add_up(engine, owed, labeler_id=labeler_id)
    answer(engine, run_id, labeler_id, asked[2][1], ok())

    with connect.read(engine) as conn:
        assert owed == [asked[0][0]]
        assert requests.owed(conn, labeler_id) == [asked[0][0]]  # its third vote is not in its label
    requests.add_up(engine, owed, labeler_id=labeler_id)
    with connect.read(engine) as conn:
        assert requests.owed(conn, labeler_id) == []
