"""Run alone, in a fresh process: does a checkpoint give its canaries' rewards with the public library alone?

Imports nothing of ours, on purpose: what it can load, anybody can.
"""

import json
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-4


def main(library: str) -> int:
    if library == "sentence_transformers":
        import sentence_transformers  # noqa: F401 - already while the folder is still to come
    else:
        import transformers  # noqa: F401
    folder = sys.stdin.read().strip()
    return _check(Path(folder)) if folder else 0


def _check(folder: Path) -> int:
    lines = (folder / "canaries.jsonl").read_text(encoding="utf-8").splitlines()
    canaries = [json.loads(line) for line in lines]
    is_sentence_transformer = (folder / "modules.json").exists()
    rewards = (_by_sentence_transformers if is_sentence_transformer else _by_transformers)(folder, canaries)
    for number, (canary, reward) in enumerate(zip(canaries, rewards, strict=True), start=1):
        allowed = TOLERANCE * max(1.0, abs(canary["reward"]))
        if not abs(reward - canary["reward"]) <= allowed:
            _say(f"canary {number}: reward {reward:.6f} after the reload, {canary['reward']:.6f} in the run")
            return 1
    return 0


def _by_transformers(folder: Path, canaries: list[dict[str, Any]]) -> list[float]:
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return [float(model(torch.tensor([canary["input_ids"]])).logits[0, 0]) for canary in canaries]


def _by_sentence_transformers(folder: Path, canaries: list[dict[str, Any]]) -> list[float]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    for number, canary in enumerate(canaries, start=1):
        ids = model.tokenize([canary["text"]])["input_ids"][0].tolist()
        if ids != canary["input_ids"]:
            _say(f"canary {number}: the reloaded tokenizer gives other ids")
            return [float("nan")] * len(canaries)
    return [float(reward[0]) for reward in model.encode([canary["text"] for canary in canaries], batch_size=1)]


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
