import math

import pytest

from core.records import Part, RunKind
from db import connect, evaluations, runs
from db.evaluations import StoredEvaluation
from tests.db.made import dataset_id, load, some


@pytest.fixture
def run_id(engine):
    load(engine, some(1))
    with connect.write(engine) as conn:
        return runs.add(conn, kind=RunKind.TRAIN, config={}, device="cpu")


def add(engine, run_id, *, part, against="judge", **metrics):
    measured = StoredEvaluation(
        run_id=run_id, dataset_id=dataset_id(engine), part=part, against=against, metrics=metrics, created=1.0
    )
    with connect.write(engine) as conn:
        evaluations.add(conn, measured)
    return measured


def of_run(engine, run_id):
    with connect.read(engine) as conn:
        return evaluations.of_run(conn, run_id)


def test_measures_come_back_as_they_were_made_in_their_order(engine, run_id):
    made = [
        add(engine, run_id, part=Part.TEST, accuracy={"value": 0.75, "num_decided": 4}, ece=None),
        add(engine, run_id, part=None, nll=0.5),
        add(engine, run_id, part=Part.TEST, against="people", nll=0.25),
    ]

    assert of_run(engine, run_id) == made
    assert of_run(engine, run_id + 1) == []


def test_measuring_again_replaces_the_same_part_and_labeler_only(engine, run_id):
    add(engine, run_id, part=Part.TEST, nll=0.5)
    kept = add(engine, run_id, part=Part.VALID, nll=0.75)

    newer = add(engine, run_id, part=Part.TEST, nll=0.25)

    assert of_run(engine, run_id) == [kept, newer]


def test_a_number_that_is_none_is_refused_rather_than_stored(engine, run_id):
    with pytest.raises(ValueError, match="not JSON compliant"):
        add(engine, run_id, part=Part.TEST, nll=math.nan)
