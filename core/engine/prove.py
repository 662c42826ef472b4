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
    is_adapter = (folder / "adapter_config.json").exists()
    if is_adapter and (folder / "config.json").exists():
        # transformers would take it for a model with an adapter of its own, and apply it without a word.
        _say("an adapter_config.json that is not of this checkpoint lies in its folder")
        return 1
    if (folder / "modules.json").exists():
        rewards = _by_sentence_transformers(folder, canaries)
    else:
        rewards = (_by_peft if is_adapter else _by_transformers)(folder, canaries)
    for number, (canary, reward) in enumerate(zip(canaries, rewards, strict=True), start=1):
        allowed = TOLERANCE * max(1.0, abs(canary["reward"]))
        if not abs(reward - canary["reward"]) <= allowed:
            _say(f"canary {number}: reward {reward:.6f} after the reload, {canary['reward']:.6f} in the run")
            return 1
    return 0


def _by_transformers(folder: Path, canaries: list[dict[str, Any]]) -> list[float]:
    import torch
    from transformers import AutoModelForSequenceClassification

    return _rewards(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32), canaries)


def _by_peft(folder: Path, canaries: list[dict[str, Any]]) -> list[float]:
    import torch
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoTokenizer, BitsAndBytesConfig

    how = json.loads((folder / "tiebreak.json").read_text(encoding="utf-8"))["quantisation"]
    quantised: dict[str, Any] = (
        {} if how is None else {"quantization_config": BitsAndBytesConfig(**how), "device_map": "cpu"}
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoPeftModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, problem_type="regression", dtype=torch.float32, **quantised
    )
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return _rewards(model, canaries)


def _rewards(model: Any, canaries: list[dict[str, Any]]) -> list[float]:
    """The longest two alone; the others padded to one batch, which a wrong padding id would show in."""
    by_length = sorted(range(len(canaries)), key=lambda place: len(canaries[place]["input_ids"]))
    rewards = [float("nan")] * len(canaries)
    for places in (by_length[:-2], by_length[-2:-1], by_length[-1:]):
        values = _batch(model, [canaries[place]["input_ids"] for place in places])
        for place, value in zip(places, values, strict=True):
            rewards[place] = value
    return rewards


def _batch(model: Any, rows: list[list[int]]) -> list[float]:
    import torch

    longest, pad = max(map(len, rows)), model.config.get_text_config().pad_token_id
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        values: list[float] = model.eval()(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
    return values


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
