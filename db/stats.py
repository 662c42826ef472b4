"""What the store holds, in numbers that are kept or small to count: a million pairs are never gone through."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from core.records import Kind, RunState
from db import verdicts as verdict_rows
from db.schema import dataset_labelers, datasets, imports, labelers, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Counts over visible datasets; a pair or label that two datasets hold counts in each.

    Attributes:
        num_labelers: labeler versions with at least one label.
        num_verdicts: standing verdicts.
        num_runs_by_state: every state, also those without a run.
    """

    num_datasets: int
    num_pairs: int
    num_labels_ai: int
    num_labels_human: int
    num_verdicts: int
    num_runs_by_state: Mapping[RunState, int]
    num_labelers: int


def overview(conn: Connection) -> Overview:
    published = select(imports.c.dataset_id).where(imports.c.published.is_not(None))
    visible = datasets.c.removed.is_(None) & datasets.c.id.in_(published)
    totals = select(func.count(), func.coalesce(func.sum(datasets.c.num_pairs), 0)).where(visible)
    num_datasets, num_pairs = conn.execute(totals).one()
    by_labeler = conn.execute(
        select(labelers.c.kind, func.sum(dataset_labelers.c.num_labels))
        .join(dataset_labelers, dataset_labelers.c.labeler_id == labelers.c.id)
        .where(dataset_labelers.c.dataset_id.in_(select(datasets.c.id).where(visible)))
        .group_by(labelers.c.id, labelers.c.kind)
    ).all()
    num_labels = Counter[str]()
    for kind, counted in by_labeler:
        num_labels[kind] += int(counted)
    states = conn.execute(select(runs.c.state, func.count()).group_by(runs.c.state))
    by_state = {RunState(state): int(num_runs) for state, num_runs in states}
    return Overview(
        num_datasets=int(num_datasets),
        num_pairs=int(num_pairs),
        num_labels_ai=num_labels[Kind.AI.value],
        num_labels_human=num_labels[Kind.HUMAN.value],
        num_verdicts=verdict_rows.count(conn),
        num_runs_by_state={state: by_state.get(state, 0) for state in RunState},
        num_labelers=sum(int(counted) > 0 for _, counted in by_labeler),
    )
