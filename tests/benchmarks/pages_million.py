"""Time every page of the app on a store of a million pairs, with a trained run and out-of-fold margins for all of them.

    .venv/bin/python tests/benchmarks/store_million.py --keep FOLDER
    .venv/bin/python tests/benchmarks/pages_million.py FOLDER

The rewards and margins are drawn at random: what is timed is the pages, not a model. The first view of a page may
compute what later ones reuse, so it is told apart.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.config import Targets, TrainConfig
from core.records import Margin, Part, Reward, RunKind, RunState, Step
from db import connect, datasets, labelers, rewards, runs, snapshots
from ui import actions, evaluation
from ui.processes import Store, open_store

HOUSE = Path(__file__).parents[2]
PAGES = ("overview", "import", "browse", "train", "runs", "calibration", "disagreements", "export")
RERUNS = 15
LIMIT_MILLISECONDS = 300


def add_runs(store: Store) -> None:
    """A trained run with rewards of its held-out pairs, and a crossfit run with two margins a pair."""
    random = np.random.default_rng(0)
    with connect.write(store.engine) as conn:
        dataset = datasets.get(conn, "million")
        if runs.newest(conn, kind=RunKind.CROSSFIT, dataset_id=dataset.id) is not None:
            return
        labeler = labelers.resolve(conn, dataset.id, None)
        snapshot = snapshots.freeze(conn, dataset_id=dataset.id, labeler=labeler, targets=Targets.SOFT)
    with connect.read(store.engine) as conn:
        rows = snapshots.rows(conn, snapshot.id)
    for kind in (RunKind.TRAIN, RunKind.CROSSFIT):
        with connect.write(store.engine) as conn:
            settings = actions.settings_of(TrainConfig())
            run_id = runs.add(
                conn, kind=kind, dataset_id=dataset.id, labeler=labeler, config=settings, device="cpu", name=None
            )
            runs.set_snapshot(conn, run_id, snapshot.id)
            margin = random.normal(size=len(rows)) + [2 * row.p_a - 1 for row in rows]
            if kind is RunKind.TRAIN:
                taken = [Step(step=at, num_steps=400, epoch=at / 400, loss=0.7, valid_nll=0.7) for at in range(400)]
                runs.add_steps(conn, run_id, taken)
                scored = [
                    Reward(pair_id=row.pair_id, reward_a=float(one), reward_b=0.0)
                    for row, one in zip(rows, margin, strict=True)
                    if row.part is not Part.TRAIN
                ]
                rewards.add(conn, run_id, scored)
            else:
                for repeat in range(2):
                    made = [
                        Margin(pair_id=row.pair_id, fold=at % 5, repeat=repeat, epoch=0, margin=float(margin[at]))
                        for at, row in enumerate(rows)
                    ]
                    rewards.add_margins(conn, run_id, made)
        with connect.read(store.engine) as conn:
            run = runs.get(conn, run_id)
        metrics = evaluation.measure_run(store, run, temperature=1.0) if kind is RunKind.TRAIN else {}
        with connect.write(store.engine) as conn:
            runs.finish(
                conn, run_id, state=RunState.FINISHED, metrics=metrics, checkpoint=str(store.folder), error=None
            )


def timed() -> Iterator[tuple[str, float, float, float]]:
    """Of each page: its name, the first view, and the median and slowest of its reruns, milliseconds."""
    for page in PAGES:
        app = AppTest.from_file(str(HOUSE / "streamlit_app.py"), default_timeout=600).run()
        began = time.perf_counter()
        app.switch_page(f"ui/pages/{page}.py").run()
        first = time.perf_counter() - began
        assert not app.exception, [error.value for error in app.exception]
        seconds = []
        for _ in range(RERUNS):
            began = time.perf_counter()
            app.run()
            seconds.append(time.perf_counter() - began)
        yield page, 1000 * first, 1000 * statistics.median(seconds), 1000 * max(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what store_million.py --keep made")
    folder = parser.parse_args().folder.resolve()
    os.environ["TIEBREAK_STORE"] = f"sqlite:///{folder / 'store.db'}"
    add_runs(open_store())
    sys.stdout.write("| page | first view ms | rerun median ms | slowest ms |\n|---|---:|---:|---:|\n")
    for page, first, median, slowest in timed():
        mark = " (over)" if median > LIMIT_MILLISECONDS else ""
        sys.stdout.write(f"| {page} | {first:,.0f} | {median:,.0f}{mark} | {slowest:,.0f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
