"""Rows for the tests of the store, and short ways to put them there."""

from collections.abc import Iterable

from sqlalchemy import Engine

from core.records import Decision, Kind, Order, PairRow, Part, Preference, Vote, pair_of
from db import connect, datasets, pairs, search, verdicts
from db.imports import ImportCounts, import_rows


def triplet(line, prompt, chosen, rejected, *, labeler="judge", kind=Kind.AI, row_id=None, subset=None, rationale=None):
    """A row whose labeler prefers `chosen`; labeler None: nobody said anything yet."""
    oriented = pair_of(prompt, chosen, rejected)
    votes = ()
    if labeler is not None:
        vote = Vote(labeler=labeler, kind=kind, preference=Preference.A, rationale=rationale)
        votes = (vote.swapped() if oriented.swapped else vote,)
    return PairRow(
        line=line, id=row_id, pair=oriented.pair, swapped=oriented.swapped, votes=votes, subset=subset, meta=None
    )


def some(count, **keywords):
    return [triplet(i, f"prompt {i}", f"good {i}", f"bad {i}", **keywords) for i in range(1, count + 1)]


def voted(line, prompt, *votes: Vote):
    """The pair of "x" and "y" under a prompt; the votes are about its stored order."""
    oriented = pair_of(prompt, "x", "y")
    return PairRow(line=line, id=None, pair=oriented.pair, swapped=oriented.swapped, votes=votes)


def vote(preference, *, labeler="judge", kind=Kind.AI, p_a=None, order=None, rationale=None):
    return Vote(
        labeler=labeler, kind=kind, preference=Preference(preference), p_a=p_a, order=order, rationale=rationale
    )


def load(engine: Engine, rows: Iterable[PairRow], *, dataset="d", split: Part | None = None) -> ImportCounts:
    return list(import_rows(engine, rows, dataset=dataset, file=f"{dataset}.jsonl", split=split))[-1]


def dataset_id(engine: Engine, name="d") -> int:
    with connect.read(engine) as conn:
        return datasets.get(conn, name).id


def pair_ids(engine: Engine, name="d") -> list[int]:
    """In the file's order."""
    with connect.read(engine) as conn:
        return [member.pair_id for member in pairs.members(conn, datasets.get(conn, name).id)]


def index_all(engine: Engine) -> None:
    while True:
        with connect.write(engine) as conn:
            if search.index_more(conn).is_complete:
                return


def decide(engine: Engine, pair_id: int, decision, *, reviewer="me", labeler="judge") -> int:
    with connect.write(engine) as conn:
        return verdicts.decide(
            conn,
            pair_id=pair_id,
            reviewer=reviewer,
            decision=Decision(decision),
            shown=Order.AB,
            blind=False,
            labeler=labeler,
        )
