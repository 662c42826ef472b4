"""What a run's rewards were worth against a labeler, people or verdicts."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.records import Part
from db.schema import evaluations

ALL_PARTS = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvaluation:
    """Measures of one run on one part of a dataset against one labeler; `part` None means every pair."""

    run_id: int
    dataset_id: int
    part: Part | None
    against: str
    metrics: Mapping[str, Any]
    created: float


def add(conn: Connection, measured: StoredEvaluation) -> None:
    """Store measures in place of older ones of the same run, part and labeler."""
    key = {
        "run_id": measured.run_id,
        "dataset_id": measured.dataset_id,
        "part": ALL_PARTS if measured.part is None else measured.part.value,
        "against": measured.against,
    }
    conn.execute(delete(evaluations).where(*(evaluations.c[name] == value for name, value in key.items())))
    metrics = json.dumps(measured.metrics, allow_nan=False)
    conn.execute(insert(evaluations).values(**key, metrics=metrics, created=measured.created or time.time()))


def of_run(conn: Connection, run_id: int) -> list[StoredEvaluation]:
    """In the order in which they were made."""
    rows = conn.execute(select(evaluations).where(evaluations.c.run_id == run_id).order_by(evaluations.c.id))
    return [
        StoredEvaluation(
            run_id=row.run_id,
            dataset_id=row.dataset_id,
            part=None if row.part == ALL_PARTS else Part(row.part),
            against=row.against,
            metrics=json.loads(row.metrics),
            created=row.created,
        )
        for row in rows
    ]
