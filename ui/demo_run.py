"""The whole loop on the shipped demo pairs, told as it goes; and the app's start."""

import os
import subprocess
import sys
import time
from pathlib import Path

from core.config import Method
from core.errors import RunFailed
from core.measure.triage import precision_at
from core.records import RunKind, RunState
from db import connect, datasets, runs
from ui import actions, demo_pairs, files, review, show
from ui.files import DEMO, DEMO_LABELER
from ui.processes import Store

REVEALED = 50
# A larger rate than the default, which is for thousands of steps; chosen on the valid part.
DEMO_SETTINGS: dict[str, object] = {"method": Method.LORA.value, "learning_rate": 1e-3, "batch_pairs": 8}


def run_loop(store: Store) -> None:
    """Import, train, evaluate, triage, reveal. A second call on the same store reuses what is finished."""
    began = time.monotonic()
    show.say("1/4  Load the demo pairs: written for Tiebreak, labeled by a stated rule, 8 % of the labels flipped.")
    counts = show.counting(files.load_demo(store))
    show.indexing(files.index_words(store))
    show.say(f"     {counts.read:,} pairs read, {counts.added:,} new in this store.")

    show.say("2/4  Train a preference model: LoRA on the embedded 22M-parameter backbone.")
    trained = _finished_run(store, RunKind.TRAIN)
    show.say(f"     Run {trained.id}, checkpoint proven with a public library: {_relative(trained.checkpoint)}")

    show.say("3/4  Is it accurate, is it calibrated?")
    show.measured(trained.metrics or {})

    show.say("4/4  Which labels are wrong? Cross-fitted probes rank them; no model judges a prompt it trained on.")
    _finished_run(store, RunKind.CROSSFIT)
    _reveal(store)
    show.say(f"The loop took {time.monotonic() - began:.0f} s.")


def _relative(path: str | None) -> str:
    if path is None:
        return "none"
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def _finished_run(store: Store, kind: RunKind) -> runs.Run:
    with connect.read(store.engine) as conn:
        dataset = datasets.get(conn, DEMO)
        done = runs.newest(conn, dataset_id=dataset.id, labeler=DEMO_LABELER, kind=kind)
    if done is not None and (kind is RunKind.CROSSFIT or (done.checkpoint and Path(done.checkpoint).is_dir())):
        show.say(f"     Run {done.id} is already there.")
        return done
    if kind is RunKind.TRAIN:
        run_id = actions.start_training(store, dataset=DEMO, labeler=DEMO_LABELER, settings=DEMO_SETTINGS, name="demo")
    else:
        run_id = actions.start_crossfit(store, dataset=DEMO, labeler=DEMO_LABELER)
    run = show.follow(store, run_id)
    if run.state is not RunState.FINISHED:
        raise RunFailed(f"run {run_id} {run.state}: {run.error or 'it was stopped before its end'}")
    return run


def _reveal(store: Store) -> None:
    ranked = review.triage(store, dataset=DEMO, labeler=DEMO_LABELER)
    _tell_kinds(ranked)
    planted = demo_pairs.planted_ids()
    ids = [str(row_id) for row_id in ranked.frame["row_id"]]
    hits = precision_at(ids, planted, REVEALED) * REVEALED
    lines = [row for row in review.triage_rows(ranked) if row["doubt"] is not None][:5]
    show.table("the most doubtful labels", [{**_short(row), "planted": str(row["id"]) in planted} for row in lines])
    show.say(
        f"{hits:.0f} of the {REVEALED} most doubtful labels were planted errors "
        f"({len(planted)} of {len(ids):,} were planted)."
    )


def _tell_kinds(ranked: review.Triage) -> None:
    """Where models beat a coin and where not; out of fold and on all pairs, as test alone has too few of a kind."""
    agrees = ranked.frame.assign(agrees=ranked.frame["p_model"] >= 0.5)
    grouped = agrees.groupby("subset")["agrees"].agg(["mean", "size"]).sort_values("mean", ascending=False)
    rows = [{"kind": kind, "agreement": show.percent(mean), "pairs": size} for kind, mean, size in grouped.itertuples()]
    show.table("cross-fitted models and labels agree, by kind of prompt", rows)


def _short(row: dict[str, object]) -> dict[str, object]:
    doubt = row["doubt"]
    return {
        "rank": row["rank"],
        "id": row["id"],
        "doubt": f"{doubt:.2f}",
        "bucket": row["bucket"],
        "label": row["side"],
    }


def open_app(store: Store, *, port: int) -> int:
    """Serve the app on this machine only, until it is stopped; Streamlit's exit code."""
    script = Path(__file__).resolve().parents[1] / "streamlit_app.py"
    show.say(f"The app is at http://localhost:{port} (Ctrl-C stops it; runs go on without it).")
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    command += ["--server.address", "localhost", "--browser.gatherUsageStats", "false"]
    try:
        return subprocess.run(command, env=os.environ | {"TIEBREAK_STORE": store.url}, check=False).returncode
    except KeyboardInterrupt:
        return 0
