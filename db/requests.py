"""Questions to labelers: who asks them, how each ended, what every call brought. No question is asked twice."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.judging import Answer, Attempt, Request, Status, vote_of
from core.records import Order, Preference, RunState, Vote
from db.connect import read, take_turn, write
from db.import_publishing import count_again
from db.labels import rebuild
from db.schema import attempts, labelers, labels, memberships, requests, runs, votes

ASKED = "asked"
_ALIVE = (RunState.RUNNING.value, RunState.STOPPING.value)
_PAIRS_AT_ONCE = 500  # keeps a transaction under 200 ms on two slow cores
_KEY_OF_VOTE = 16  # bytes of a request's key that name its vote


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that one run alone may ask."""

    id: int
    pair_id: int
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What became of planned requests.

    Attributes:
        to_ask: those that this run alone may ask now, in the order of the plan.
        answered: that need no call: their votes are there.
        failed: that ended without a vote before and are not asked again.
        elsewhere: that another run is asking.
    """

    to_ask: tuple[Asked, ...]
    answered: int
    failed: int
    elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the calls of a run add up to.

    Attributes:
        cost: US dollars of the calls with a known price; num_unpriced counts the others.
        by_status: requests of the run by how they ended; `asked` are in flight.
    """

    num_attempts: int
    tokens_in: int
    tokens_out: int
    cost: float
    num_unpriced: int
    by_status: dict[str, int]


def reserve(
    conn: Connection,
    planned: Sequence[tuple[int, Request]],
    *,
    run_id: int,
    labeler_id: int,
    again: Collection[Status] = (Status.FAILED,),
) -> Reserved:
    """Take the requests that nobody has asked, and give the labeler the votes of those that were answered before.

    Args:
        again: ends without a vote after which a request is asked once more.
    """
    keys = [bytes.fromhex(request.key) for _, request in planned]
    rows = [
        {
            "run_id": run_id,
            "pair_id": pair_id,
            "labeler_id": labeler_id,
            "key": key,
            "shown": request.order.value,
            "state": ASKED,
            "principle": request.principles[0].id if len(request.principles) == 1 else None,
            "repeat": request.repeat,
        }
        for (pair_id, request), key in zip(planned, keys, strict=True)
    ]
    kind = postgresql if conn.dialect.name == "postgresql" else sqlite
    new = kind.insert(requests).on_conflict_do_nothing().returning(requests.c.key, requests.c.id)
    mine = {row.key: row.id for row in conn.execute(new, rows)}
    alive = select(runs.c.id).where(runs.c.state.in_(_ALIVE), runs.c.id != run_id)
    free = or_(
        requests.c.state.in_([status.value for status in again]),
        (requests.c.state == ASKED) & requests.c.run_id.not_in(alive),
    )
    taken = conn.execute(
        update(requests)
        .where(requests.c.key.in_(keys), free)
        .values(run_id=run_id, state=ASKED, why=None)
        .returning(requests.c.key, requests.c.id)
    )
    mine |= {row.key: row.id for row in taken}
    rest = [key for key in keys if key not in mine]
    ended = conn.execute(
        select(requests.c.id, requests.c.pair_id, requests.c.state).where(requests.c.key.in_(rest))
    ).all()
    _give_votes(conn, {row.id: row.pair_id for row in ended if row.state == Status.OK.value}, labeler_id)
    states = [row.state for row in ended]
    answered, elsewhere = states.count(Status.OK.value), states.count(ASKED)
    return Reserved(
        to_ask=tuple(
            Asked(id=mine[key], pair_id=pair_id, request=request)
            for (pair_id, request), key in zip(planned, keys, strict=True)
            if key in mine
        ),
        answered=answered,
        failed=len(states) - answered - elsewhere,
        elsewhere=elsewhere,
    )


def _give_votes(conn: Connection, pair_of: Mapping[int, int], labeler_id: int) -> None:
    """Another version of the labeler was answered the same requests: its votes are this one's too."""
    if not pair_of:
        return
    # By pair: the votes' own key begins with it, and a million of them have no other.
    there = votes.c.pair_id.in_(set(pair_of.values())) & votes.c.request_id.in_(pair_of)
    found = conn.execute(select(votes).where(there).order_by(votes.c.id)).mappings().all()
    mine = {row["request_id"] for row in found if row["labeler_id"] == labeler_id}
    for row in found:
        if row["request_id"] not in mine:
            mine.add(row["request_id"])
            copied = {name: value for name, value in row.items() if name != "id"}
            conn.execute(insert(votes).values(**copied | {"labeler_id": labeler_id}))


def answered(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Those of some requests, a few hundred, that need no call any more."""
    same = requests.c.key.in_([bytes.fromhex(key) for key in keys])
    found = conn.execute(select(requests.c.key).where(same, requests.c.state == Status.OK.value))
    return {key.hex() for key in found.scalars()}


def keep(
    conn: Connection, attempt: Attempt, answer: Answer | None, asked: Asked, *, run_id: int, by: tuple[int, str]
) -> None:
    """Keep a call as it came back. Its answer, of the last call of a request, says how that ended.

    An answer that is ok becomes a vote, and nothing else does.

    Args:
        by: the labeler's id and name.
    """
    facts = {name: value for name, value in asdict(attempt).items() if name not in {"key", "is_last"}}
    conn.execute(
        _ADD_ATTEMPT, {**facts, "request_id": asked.id, "asked": asked.id, "run_id": run_id, "created": time.time()}
    )
    if answer is None:
        return
    conn.execute(_END, {"asked": asked.id, "ended": answer.status.value, "because": answer.why})
    if answer.status is Status.OK:
        labeler_id, labeler = by
        vote = _vote_row(vote_of(answer, asked.request, labeler), answer, asked.request)
        conn.execute(
            insert(votes), {**vote, "pair_id": asked.pair_id, "labeler_id": labeler_id, "request_id": asked.id}
        )


# Made once: a run executes them with every call. Attempts are numbered over all runs that asked a request.
_ADD_ATTEMPT = insert(attempts).values(
    number=select(func.coalesce(func.max(attempts.c.number), 0) + 1)
    .where(attempts.c.request_id == bindparam("asked"))
    .scalar_subquery()
)
_END = (
    update(requests)
    .where(requests.c.id == bindparam("asked"))
    .values(state=bindparam("ended"), why=bindparam("because"))
)


def _vote_row(vote: Vote, answer: Answer, request: Request) -> dict[str, object]:
    return {
        "key": bytes.fromhex(request.key)[:_KEY_OF_VOTE],
        "preference": vote.preference.value,
        "p_a": vote.p_a,
        "strength": vote.strength,
        "shown": request.order.value,
        "rationale": vote.rationale,
        "principle": vote.principle,
        "weight": vote.weight,
        "off_format": answer.off_format,
        "contradicts": answer.contradicts,
        "by_principle": _by_principle(answer, request),
    }


def _by_principle(answer: Answer, request: Request) -> str | None:
    """What the reply said under each principle, in the pair's stored order, as the column keeps it."""
    if not answer.by_principle:
        return None
    mirror = {Preference.A: Preference.B, Preference.B: Preference.A} if request.order is Order.BA else {}
    said = []
    for one in answer.by_principle:
        preference = None if one.preference is None else mirror.get(one.preference, one.preference).value
        said.append([one.principle, preference, one.strength])
    return json.dumps(said)


def release(conn: Connection, run_id: int) -> None:
    """Give back what a run reserved and never asked; what an earlier run had asked in vain has failed as before."""
    waiting = (requests.c.run_id == run_id) & (requests.c.state == ASKED)
    asked_before = requests.c.id.in_(select(attempts.c.request_id))
    conn.execute(update(requests).where(waiting, asked_before).values(state=Status.FAILED.value))
    conn.execute(delete(requests).where(waiting))


def add_up(engine: Engine, pair_ids: Sequence[int], *, labeler_id: int) -> None:
    """Derive a labeler's labels of pairs that got its votes, in short transactions."""
    for start in range(0, len(pair_ids), _PAIRS_AT_ONCE):
        with write(engine) as conn:
            take_turn(conn)
            rebuild(conn, pair_ids[start : start + _PAIRS_AT_ONCE], labeler_id=labeler_id)


def owed(conn: Connection, labeler_id: int) -> list[int]:
    """Pairs on which a labeler has votes that its label does not know of: a killed run had no time to add them up."""
    voted = (
        select(votes.c.pair_id, func.count().label("number"))
        .where(votes.c.labeler_id == labeler_id)
        .group_by(votes.c.pair_id)
        .subquery()
    )
    mine = (labels.c.pair_id == voted.c.pair_id) & (labels.c.labeler_id == labeler_id)
    joined = voted.outerjoin(labels, mine)
    found = select(voted.c.pair_id).select_from(joined)
    differs = labels.c.num_votes.is_distinct_from(voted.c.number)
    return list(conn.execute(found.where(differs).order_by(voted.c.pair_id)).scalars())


def count_up(engine: Engine, pair_ids: Sequence[int]) -> None:
    """Count again how many labels each labeler has in the datasets that hold some pairs."""
    holding: set[int] = set()
    with read(engine) as conn:
        for start in range(0, len(pair_ids), _PAIRS_AT_ONCE):
            mine = memberships.c.pair_id.in_(pair_ids[start : start + _PAIRS_AT_ONCE])
            holding |= set(conn.execute(select(memberships.c.dataset_id).where(mine).distinct()).scalars())
    for dataset_id in holding:
        count_again(engine, dataset_id)


def spent(conn: Connection, run_id: int) -> Spent:
    """Exact totals of a run's calls, those without an answer among them."""
    calls = select(
        func.count(),
        func.coalesce(func.sum(attempts.c.tokens_in), 0),
        func.coalesce(func.sum(attempts.c.tokens_out), 0),
        func.coalesce(func.sum(attempts.c.cost), 0.0),
        func.count().filter(attempts.c.cost.is_(None)),
    ).where(attempts.c.run_id == run_id)
    count, tokens_in, tokens_out, cost, unpriced = conn.execute(calls).one()
    ended = select(requests.c.state, func.count()).where(requests.c.run_id == run_id).group_by(requests.c.state)
    return Spent(
        num_attempts=count,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost,
        num_unpriced=unpriced,
        by_status={row.state: row[1] for row in conn.execute(ended)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a labeler's answers took, over all runs.

    Attributes:
        seconds: of all calls, one after the other.
    """

    by_status: dict[str, int]
    num_attempts: int
    cost: float
    num_unpriced: int
    seconds: float


def effort(conn: Connection, labeler: str) -> Effort:
    """Of every version of a labeler."""
    mine = requests.c.labeler_id.in_(select(labelers.c.id).where(labelers.c.name == labeler))
    ended = select(requests.c.state, func.count()).where(mine).group_by(requests.c.state)
    calls = (
        select(
            func.count(),
            func.coalesce(func.sum(attempts.c.cost), 0.0),
            func.count().filter(attempts.c.cost.is_(None)),
            func.coalesce(func.sum(attempts.c.seconds), 0.0),
        )
        .join(requests, requests.c.id == attempts.c.request_id)
        .where(mine)
    )
    num_attempts, cost, unpriced, seconds = conn.execute(calls).one()
    return Effort(
        by_status={row.state: row[1] for row in conn.execute(ended)},
        num_attempts=num_attempts,
        cost=cost,
        num_unpriced=unpriced,
        seconds=seconds,
    )
