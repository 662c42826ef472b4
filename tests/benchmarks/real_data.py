"""Import, train, evaluate and triage real preference data; prints one line of JSON a stage.

    .venv/bin/python tests/benchmarks/real_data.py DATA_FOLDER [NAME ...] [--methods probe lora full] [--out FILE]

Each NAME and method has its own store in a temporary folder, so that no cached feature makes a later number better.
With --pairs all methods have the same seeded pairs of the training file, so that they compare.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.config import Method, TrainConfig
from core.engine.model import load_backbone

LORA_PAIRS = 1500  # where --pairs says nothing, of lora and full
SEED = 0
# name: (files with the part they declare, labeler)
DATASETS: dict[str, tuple[list[tuple[str, str | None]], str]] = {
    "ukp_convarg": ([("ukp_convarg.jsonl.gz", None)], "people"),
    "hh_helpful": ([("hh_helpful_train.jsonl.gz", None), ("hh_helpful_test.jsonl.gz", "test")], "people"),
    "hh_harmless": ([("hh_harmless_train.jsonl.gz", None), ("hh_harmless_test.jsonl.gz", "test")], "people"),
    "alpaca_eval": ([("alpaca_eval_train.jsonl.gz", None), ("alpaca_eval_test.jsonl.gz", "test")], "ai"),
}


def tiebreak(store: Path, *arguments: str) -> tuple[dict, float]:
    began = time.monotonic()
    command = [sys.executable, "-m", "ui.cli", "--store", str(store), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout), time.monotonic() - began


def sampled(source: Path, folder: Path, count: int) -> Path:
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        rows = list(lines)
    chosen = random.Random(SEED).sample(rows, min(count, len(rows)))
    target = folder / f"sampled-{source.name.removesuffix('.gz')}"
    target.write_text("".join(chosen), encoding="utf-8")
    return target


def numbers(result: dict) -> dict:
    accuracy, longer = result.get("accuracy") or {}, result.get("longer") or {}
    return {
        "accuracy": accuracy.get("value"),
        "low": accuracy.get("low"),
        "high": accuracy.get("high"),
        "num_decided": accuracy.get("num_decided"),
        "longer": longer.get("value"),
        "ece": result.get("ece"),
        "temperature": result.get("temperature"),
        "worker_seconds": result.get("seconds"),
        "peak_gib": (result.get("peak_memory_bytes") or 0) / 2**30,
    }


def trainable_parameters(method: str) -> int:
    model = load_backbone(TrainConfig(method=Method(method)), torch.device("cpu")).model
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def measure(name: str, data: Path, method: str, *, pairs: int | None, settings: list[str]) -> list[dict]:
    files, labeler = DATASETS[name]
    count = LORA_PAIRS if pairs is None and method != "probe" else pairs
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.db"
        for file, part in files:
            source = data / file
            if count is not None and part is None:
                source = sampled(source, Path(folder), count)
            declared = [] if part is None else ["--split", part]
            counts, seconds = tiebreak(store, "import", str(source), "--dataset", name, *declared)
            rate = counts["added"] / seconds
            lines.append({"stage": f"import {file}", **counts, "seconds": seconds, "pairs_per_second": rate})
        told = [word for setting in settings for word in ("--set", setting)]
        result, seconds = tiebreak(store, "train", "--dataset", name, "--labeler", labeler, "--method", method, *told)
        trained = {"trainable_parameters": trainable_parameters(method), "seconds": seconds}
        lines.append({"stage": f"train {method}", **numbers(result), **trained})
        if method == "probe":
            _, seconds = tiebreak(store, "train", "--dataset", name, "--labeler", labeler, *told)
            lines.append({"stage": "train probe again, features cached", "seconds": seconds})
            _, seconds = tiebreak(store, "triage", "--dataset", name, "--labeler", labeler, "--top", "10")
            lines.append({"stage": "triage, features cached", "seconds": seconds})
    return [{"dataset": name, **line} for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATASETS))
    parser.add_argument("--methods", nargs="+", default=["probe", "lora"], choices=list(Method))
    parser.add_argument("--pairs", type=int, help="rows of the training file that every method has")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every training")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for name in arguments.names:
        for method in arguments.methods:
            for line in measure(name, arguments.data, method, pairs=arguments.pairs, settings=arguments.set):
                text = json.dumps(line)
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
                if arguments.out:
                    with arguments.out.open("a", encoding="utf-8") as out:
                        out.write(text + "\n")


if __name__ == "__main__":
    main()
