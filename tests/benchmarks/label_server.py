"""How fast votes come in from a server with many calls in flight, and whether memory stays flat.

    .venv/bin/python tests/benchmarks/label_server.py [NUM_REQUESTS] [--in-flight N]

A judge on this machine answers each call after 50 ms with a letter and its log-probabilities, in a process of its own;
the run is a real worker's, into a store of its own in a temporary folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.formats import ReadOptions
from db import connect, requests, runs
from tests.core.labelers.judge_server import MODEL, Reply, letter, serving
from ui import actions, files, labeling
from ui.processes import Store, is_over, open_store

SECONDS_A_CALL = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("num_requests", nargs="?", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.num_requests, options.in_flight)


def serve() -> None:
    """Say where, then answer until the caller closes the pipe."""
    answer = Reply(**{**letter().__dict__, "seconds": SECONDS_A_CALL})
    with serving(lambda call, number: answer) as judge:
        say(judge.url)
        sys.stdin.read()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def measure(folder: Path, num_requests: int, in_flight: int) -> None:
    store = store_of(folder, num_requests // 2)
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        wish = labeling.asked(dataset="d", labeler=f"openai:{MODEL}", settings={"base_url": url}, in_flight=in_flight)
        run = actions.wait_for(store, labeling.start_labels(store, wish))
        memory = []
        while not is_over(run.state):
            time.sleep(1.0)
            run = actions.wait_for(store, run.id)
            memory += resident(run)
        server.stdin.close()
    report(store, run, memory, in_flight)


def store_of(folder: Path, num_pairs: int) -> Store:
    rows = ({"prompt": f"Question {i}?", "response_a": f"one {i}", "response_b": f"two {i}"} for i in range(num_pairs))
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    for _ in files.import_file(store, file, dataset="d", options=ReadOptions()):
        pass
    return store


def resident(run: runs.Run) -> list[int]:
    """Bytes of the worker now; nothing once it is gone."""
    try:
        return [psutil.Process(run.pid).memory_info().rss]
    except psutil.NoSuchProcess:
        return []


def report(store: Store, run: runs.Run, memory: list[int], in_flight: int) -> None:
    with connect.read(store.engine) as conn:
        spent = requests.spent(conn, run.id)
    answered = spent.by_status.get("ok", 0)
    early, late = memory[min(3, len(memory) - 1)], memory[-1]
    each = f"{SECONDS_A_CALL * 1000:.0f} ms each"
    say(f"{answered:,} votes of {spent.num_attempts:,} calls, {in_flight} in flight, {each}")
    say(f"{answered / run.metrics['seconds']:,.0f} votes/s, {run.metrics['seconds']:.1f} s from claim to end")
    say(f"worker's memory {early / 2**20:,.0f} MiB after 3 s, {late / 2**20:,.0f} MiB at the end")


if __name__ == "__main__":
    main()
