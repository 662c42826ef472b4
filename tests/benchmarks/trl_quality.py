"""Accuracy of Tiebreak's full fine-tuning beside TRL's RewardTrainer: same weights, tokens, pairs and settings.

    python tests/benchmarks/trl_quality.py DATA_FOLDER KEPT_FOLDER [NAME ...] [--sides tiebreak trl]

Needs the extra `bench`. Both sides train the embedded backbone with mean pooling and a head without bias, from the same
weights, on the same tokens (trimmed by Tiebreak's rule, since TRL would drop what is too long), for one epoch; each in
its own seeded order and batches, and neither chooses among checkpoints. What they learn is scored alike. A training is
kept as a file in KEPT_FOLDER and not run again: a killed or a second process goes on, and the tables are of what is
there. Training pairs are seeded ones of the training file (ukp_convarg: of the train part, by prompt); the test part is
the whole test file (ukp_convarg: the test part). Beside them the probe of the same pairs, and "always the longer".
"""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import importlib.metadata
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset, disable_progress_bars
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.logging import disable_progress_bar
from trl import RewardConfig, RewardTrainer

sys.path.insert(0, str(Path(__file__).parents[2]))

from trl_speed import read_pairs

from core.config import Method, Precision, TrainConfig
from core.engine import features, probe
from core.engine.cache import cache_for
from core.engine.model import Loaded, load_backbone
from core.engine.prepare import EncodedPair, Prepared, prepare
from core.engine.score import rewards_of
from core.engine.tokens import TokenPair, encode_pairs
from core.engine.train import train
from core.measure.accuracy import Array, accuracy
from core.measure.compare import Comparison, compare
from core.records import Part, SnapshotPair
from core.split import part_of

# From the one with the fewest tokens to the one with the most: (training file, test file).
DATASETS = {
    "ukp_convarg": ("ukp_convarg.jsonl.gz", None),
    "hh_helpful": ("hh_helpful_train.jsonl.gz", "hh_helpful_test.jsonl.gz"),
    "alpaca_eval": ("alpaca_eval_train.jsonl.gz", "alpaca_eval_test.jsonl.gz"),
}
SIDES = OURS, THEIRS = "tiebreak", "trl"
SEEDS = (0, 1, 2)
TRAIN_PAIRS = 1500
PAIRS_A_STEP = 16
LEARNING_RATE = 5e-5  # usual for an encoder of 22M parameters
ALL = 10**9
BOUND = -0.02  # of the accuracy's difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Pairs of one dataset, train and test apart, and their tokens."""

    pairs: list[SnapshotPair]
    tokens: list[TokenPair]
    prepared: Prepared

    @property
    def test(self) -> list[tuple[SnapshotPair, TokenPair]]:
        both = zip(self.pairs, self.tokens, strict=True)
        return [(pair, sides) for pair, sides in both if pair.part is Part.TEST]


class MeanPooled(PreTrainedModel):
    """What TRL trains: a sequence classifier that pools as the embedded backbone does, of Tiebreak's own weights."""

    _supports_sdpa = True

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded.model.backbone.config)
        self.config.num_labels = 1
        self.backbone, self.head = loaded.model.backbone, loaded.model.head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask / attention_mask.sum(dim=1, keepdim=True)
        return SequenceClassifierOutput(logits=self.head(torch.einsum("btd,bt->bd", states, weights)))


def config_of(*, seed: int, max_tokens: int) -> TrainConfig:
    # Without warm-up both sides' schedules are the same line from the peak to zero.
    return TrainConfig(
        method=Method.FULL,
        batch_pairs=PAIRS_A_STEP,
        learning_rate=LEARNING_RATE,
        warmup=0.0,
        weight_decay=0.0,
        max_tokens=max_tokens,
        precision=Precision.FP32,
        device="cpu",
        seed=seed,
    )


def read_split(data: Path, name: str, *, max_tokens: int) -> Split:
    train_file, test_file = DATASETS[name]
    pool = read_pairs(data / train_file, ALL, grouped=False)  # in seeded order
    if test_file is None:
        parts = [part_of(one.pair.prompt_hash) for one in pool]
        learned = [one for one, part in zip(pool, parts, strict=True) if part is Part.TRAIN]
        tested = [one for one, part in zip(pool, parts, strict=True) if part is Part.TEST]
    else:
        learned, tested = pool, read_pairs(data / test_file, ALL, grouped=False)
    chosen = [*learned[:TRAIN_PAIRS], *(replace(one, part=Part.TEST) for one in tested)]
    pairs = [replace(one, pair_id=number) for number, one in enumerate(chosen)]
    config = config_of(seed=0, max_tokens=max_tokens)
    loaded = load_backbone(config, torch.device("cpu"))
    tokens = encode_pairs(loaded.tokenizer, loaded.rules, [one.pair for one in pairs])
    return Split(pairs=pairs, tokens=tokens, prepared=prepare(config, pairs, tokens))


def train_tiebreak(loaded: Loaded, config: TrainConfig, prepared: Prepared) -> list[float]:
    """Losses of the steps."""
    return [step.loss for step in train(loaded, config, prepared) if step.step]


class _Kept(RewardTrainer):
    losses: list[float]

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        loss = super().training_step(*args, **kwargs)
        self.losses.append(float(loss))
        return loss


def train_trl(loaded: Loaded, config: TrainConfig, pairs: Sequence[EncodedPair]) -> list[float]:
    """Losses of the steps; TRL's defaults but for what is named."""
    rows = [
        {"chosen_ids": list(chosen.input_ids), "rejected_ids": list(rejected.input_ids)}
        for chosen, rejected in ((pair.a, pair.b) if pair.p_a > 0.5 else (pair.b, pair.a) for pair in pairs)
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = RewardConfig(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=config.batch_pairs,
            learning_rate=config.peak_learning_rate,
            max_length=loaded.rules.max_tokens,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            seed=config.seed,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = _Kept(
            model=MeanPooled(loaded),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.losses = []
        trainer.train()
    return trainer.losses


def margins_of(loaded: Loaded, tokens: Sequence[TokenPair]) -> Array:
    """Reward(a) - reward(b), each distinct text scored once."""
    distinct = list({side.input_ids: side for sides in tokens for side in sides}.values())
    rewards = dict(zip((side.input_ids for side in distinct), rewards_of(loaded, distinct), strict=True))
    return np.array([rewards[a.input_ids] - rewards[b.input_ids] for a, b in tokens])


def same_start(loaded: Loaded, tokens: Sequence[TokenPair]) -> float:
    """Largest difference of a reward between the two sides' models before training."""
    rows = [side.input_ids for sides in tokens[:8] for side in sides]
    shell = MeanPooled(loaded).eval()
    padded = loaded.tokenizer.pad({"input_ids": [list(row) for row in rows]}, return_tensors="pt")
    with torch.no_grad():
        theirs = shell(padded["input_ids"], padded["attention_mask"]).logits.squeeze(-1)
    ours = torch.tensor(rewards_of(loaded, [side for sides in tokens[:8] for side in sides]))
    return float((theirs - ours).abs().max())


def run_side(split: Split, side: str, *, seed: int, max_tokens: int) -> dict[str, Any]:
    config = config_of(seed=seed, max_tokens=max_tokens)
    loaded = load_backbone(config, torch.device("cpu"))
    tokens = [sides for _, sides in split.test]
    apart = same_start(loaded, tokens)
    if apart > 1e-5:
        raise SystemExit(f"the two sides' models differ by {apart:.1e} before training")
    began = time.perf_counter()
    if side == OURS:
        losses = train_tiebreak(loaded, config, split.prepared)
    else:
        losses = train_trl(loaded, config, split.prepared.train)
    return {
        "train_pairs": len(split.prepared.train),
        "seconds": time.perf_counter() - began,
        "losses": losses,
        "margins": margins_of(loaded, tokens).tolist(),
    }


def probe_margins(split: Split, *, max_tokens: int) -> Array:
    """The probe of the same training pairs; a fifth of the prompts among them choose its ridge."""
    config = TrainConfig(max_tokens=max_tokens, device="cpu")
    loaded = load_backbone(config, torch.device("cpu"))
    # Another seed than that of the parts: all these prompts are in the train part already.
    is_valid = [part_of(pair.prompt_hash, seed=1) is not Part.TRAIN for pair in split.prepared.train]
    both = list(zip(split.prepared.train, is_valid, strict=True))
    learned, valid = ([pair for pair, held_out in both if held_out is wanted] for wanted in (False, True))
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_for(loaded, Path(folder)).features
        for _ in features.compute(loaded, cache, split.tokens):
            pass
        for _ in probe.train(loaded, config, cache, replace(split.prepared, train=tuple(learned), valid=tuple(valid))):
            pass
        found = probe.rewards(loaded, cache, list(range(len(split.test))), [sides for _, sides in split.test])
    return np.array([one.margin for one in found])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Files of results, by what they depend on."""

    folder: Path
    max_tokens: int

    def file(self, name: str, side: str, seed: int) -> Path:
        return self.folder / f"{name}-{self.max_tokens}-{side}-{seed}.json"

    def read(self, name: str, side: str, seed: int) -> dict[str, Any] | None:
        file = self.file(name, side, seed)
        return json.loads(file.read_text()) if file.exists() else None

    def write(self, name: str, side: str, seed: int, found: dict[str, Any]) -> None:
        file = self.file(name, side, seed)
        beside = file.with_suffix(".partial")
        beside.write_text(json.dumps(found))
        beside.replace(file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """Margins on the test pairs of one dataset.

    Attributes:
        margins: by method; one after another for each seed that both sides have.
    """

    name: str
    num_train: int
    p_a: Array
    prompt: npt.NDArray[np.object_]
    longer: Array
    seeds: list[int]
    margins: dict[str, Array]

    def against(self, method: str, other: Array) -> Comparison:
        """The method beside margins that are the same for every seed, or as many as its own."""
        times, repeats = (len(self.margins[method]) // len(one) for one in (self.p_a, other))
        p_a, prompt = np.tile(self.p_a, times), np.tile(self.prompt, times)
        return compare(self.margins[method], np.tile(other, repeats), p_a, prompt=prompt)

    def accuracy(self, margin: Array) -> str:
        times = len(margin) // len(self.p_a)
        one = accuracy(margin, np.tile(self.p_a, times), prompt=np.tile(self.prompt, times))
        return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def tested(name: str, split: Split, kept: Kept) -> Tested:
    test = [pair for pair, _ in split.test]
    lengths = np.array([(len(one.pair.response_a), len(one.pair.response_b)) for one in test], dtype=np.float64).T
    found = {side: [kept.read(name, side, seed) for seed in SEEDS] for side in SIDES}
    seeds = [seed for place, seed in enumerate(SEEDS) if all(found[side][place] for side in SIDES)]
    margins = {"probe": np.array((kept.read(name, "probe", 0) or {"margins": []})["margins"])}
    for side, results in found.items():
        margins[side] = np.array(
            [one["margins"] for one, seed in zip(results, SEEDS, strict=True) if one and seed in seeds]
        )
        margins[side] = margins[side].reshape(-1)
    return Tested(
        name=name,
        num_train=len(split.prepared.train),
        p_a=np.array([one.p_a for one in test]),
        prompt=np.array([one.pair.prompt_hash for one in test], dtype=object),
        longer=np.sign(lengths[0] - lengths[1]),
        seeds=seeds,
        margins={method: margin for method, margin in margins.items() if len(margin)},
    )


def points(one: Comparison) -> str:
    values = (100 * value for value in (one.accuracy, one.accuracy_low, one.accuracy_high))
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*values)


def tables(found: Sequence[Tested]) -> Iterator[str]:
    yield "| data | pairs to train, test | seeds | Tiebreak | TRL | Tiebreak minus TRL, points | not below -2 |"
    yield "|---|---|---:|---|---|---|---|"
    for one in found:
        line = f"| {one.name} | {one.num_train:,}, {len(one.p_a):,} | {len(one.seeds)} of {len(SEEDS)} |"
        if not one.seeds:
            yield f"{line} | | | |"
            continue
        both = one.against(OURS, one.margins[THEIRS])
        told = " | ".join(one.accuracy(one.margins[side]) for side in SIDES)
        yield f"{line} {told} | {points(both)} | {'yes' if both.accuracy_low >= BOUND else 'no'} |"
    yield "\n| data | method | accuracy | minus always the longer, points | above it |\n|---|---|---|---|---|"
    for one in found:
        yield f"| {one.name} | always the longer | {one.accuracy(one.longer)} | | |"
        for method, margin in one.margins.items():
            beside = one.against(method, one.longer)
            above = "yes" if beside.accuracy_low > 0 else "not surely" if beside.accuracy > 0 else "no"
            yield f"| {one.name} | {method} | {one.accuracy(margin)} | {points(beside)} | {above} |"


def train_missing(splits: dict[str, Split], kept: Kept, sides: Sequence[str]) -> None:
    """Seed by seed, so that what is there of a part of them says something of every dataset."""
    for seed, (name, split), side in product(SEEDS, splits.items(), sides):
        if kept.read(name, side, seed) is None:
            found = run_side(split, side, seed=seed, max_tokens=kept.max_tokens)
            kept.write(name, side, seed, found)
            sys.stderr.write(f"{name}, {side}, seed {seed}: {found['seconds']:.0f} s\n")
    for name, split in splits.items():
        if kept.read(name, "probe", 0) is None:
            kept.write(name, "probe", 0, {"margins": probe_margins(split, max_tokens=kept.max_tokens).tolist()})


def quiet() -> None:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("kept", type=Path, help="folder of the results so far; made where it is absent")
    parser.add_argument("names", nargs="*", default=list(DATASETS))
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=SIDES, help="to train; none: print")
    parser.add_argument("--max-tokens", type=int, default=128)
    arguments = parser.parse_args()
    quiet()
    arguments.kept.mkdir(parents=True, exist_ok=True)
    kept = Kept(folder=arguments.kept, max_tokens=arguments.max_tokens)
    splits = {name: read_split(arguments.data, name, max_tokens=kept.max_tokens) for name in arguments.names}
    for name, split in splits.items():
        sys.stderr.write(f"{name}: {split.prepared.counts}\n")
    train_missing(splits, kept, arguments.sides)
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "trl"))
    settings = f"learning rate {LEARNING_RATE:g}, {PAIRS_A_STEP} pairs a step, at most {kept.max_tokens} tokens"
    sys.stdout.write(f"{versions}; {settings}\n\n")
    for line in tables([tested(name, split, kept) for name, split in splits.items()]):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
