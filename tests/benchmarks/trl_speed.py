"""Time TRL's RewardTrainer beside Tiebreak's engine on one CPU machine: same weights, tokens, pairs a step, float32.

    python tests/benchmarks/trl_speed.py DATA_FOLDER [NAME ...] [--steps N] [--rounds N] [--kept FOLDER] [--parts loss]

The model is a Llama with random weights, the tokenizer the embedded backbone's. In a round all sides train on the same
pairs, in turn (A B C A B C ...), an epoch of a few optimizer steps. Those pairs are evenly spread batches of TRL's own
length-grouped plan for the whole file, so that its grouping is as good as on the whole file however few are run; the
other sides order the same pairs as they always do. For a file of groups they are evenly spread steps of the engine's
plan, so there TRL groups by length among these pairs only. With --kept, rounds lie in a folder and are not run again:
a call runs those that fit in 3 minutes, the next one goes on, and each prints the table of all that are there.

    as it comes   TRL's defaults: gradient checkpointing, random order, fused AdamW; only precision and device are set
    at its best   the same without gradient checkpointing, grouped by length, the whole step in one batch
    ideal         what the floating-point operations of those very batches allow: padded rows against shared ones, the
                  weights' and the attention's, 3 times the forward pass, 4 times where it is computed again
    share         6 x weights outside the embeddings x tokens computed (padding too) a second, of torch.mm's rate
"""

import os

# As the worker has it, for all sides: threads that spin for work are many times slower beside other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import gzip
import importlib.metadata
import json
import logging
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
    PrinterCallback,
    TrainerCallback,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils.logging import disable_progress_bar
from trl import RewardConfig, RewardTrainer

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.config import Method, Precision, TrainConfig
from core.engine import layout
from core.engine.backbone import resolve
from core.engine.batches import group_pairs
from core.engine.model import Loaded, load_backbone
from core.engine.prepare import EncodedPair, Prepared, prepare
from core.engine.score import score
from core.engine.tokens import encode_pairs
from core.engine.train import train
from core.records import Message, Origin, Pair, Part, Role, SnapshotPair, pair_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A file, how many of its pairs are planned, and how much of the plan is run in under 3 minutes on 2 cores."""

    file: str
    count: int
    steps: int
    rounds: int = 3
    grouped: bool = False  # many pairs share a prompt


DATASETS = {
    "hh_helpful": Data(file="hh_helpful_train.jsonl.gz", count=1352, steps=3),
    "alpaca_eval": Data(file="alpaca_eval_train.jsonl.gz", count=1500, steps=2, grouped=True),
    "ukp_convarg": Data(file="ukp_convarg.jsonl.gz", count=2000, steps=3, grouped=True),
}
SIDES = AS_IT_COMES, OURS, AT_ITS_BEST = "TRL as it comes", "Tiebreak", "TRL at its best"
THREADS = 2
MOST_SECONDS = 180  # no round is begun that would end later
MAX_TOKENS = 1024
LEARNING_RATE = 1e-4  # TRL's default
LOSS_PAIRS_A_STEP = 2
ROW_TOKENS = 2048  # as the engine has it on a CPU
TEXTS_A_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The model on disk and what its arithmetic needs."""

    folder: Path
    pairs_a_step: int
    layers: int
    width: int  # heads times their size
    weights: int  # of matrix products, without embeddings
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one side did with the pairs.

    Attributes:
        cpu_seconds: of all threads; what other processes take from the cores is not in them.
        shapes: (rows, tokens) of each forward pass.
        losses: of each optimizer step, nats.
    """

    seconds: float
    cpu_seconds: float
    shapes: tuple[tuple[int, int], ...]
    losses: tuple[float, ...]

    @property
    def num_tokens(self) -> int:
        return sum(rows * tokens for rows, tokens in self.shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What all sides did with the same pairs.

    Attributes:
        rates: of the matrix product before the first side and after each, floating-point operations a second.
        load: average of the machine's minute before.
    """

    epochs: dict[str, Epoch]
    rates: tuple[float, ...]
    load: float


def round_from(kept: dict[str, Any]) -> Round:
    return Round(
        epochs={side: Epoch(**epoch) for side, epoch in kept["epochs"].items()},
        rates=tuple(kept["rates"]),
        load=kept["load"],
    )


@dataclass(slots=True)
class Passes:
    """Fills with the ids of every forward pass of training while `watched`."""

    input_ids: list[torch.Tensor] = field(default_factory=list)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        if module.training and torch.is_grad_enabled():
            self.input_ids.append((args[0] if args else inputs["input_ids"]).clone())


@contextmanager
def watched(backbone: nn.Module) -> Iterator[Passes]:
    passes = Passes()
    handle = backbone.register_forward_pre_hook(passes, with_kwargs=True)
    yield passes
    handle.remove()


def save_model(folder: Path, *, pairs_a_step: int) -> Bench:
    """A Llama of 49 million parameters, 32 million of them outside the embeddings."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("minilm").path)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=9,
        num_key_value_heads=9,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        num_labels=1,
    )
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    linear = [module for module in model.model.modules() if isinstance(module, nn.Linear)]
    return Bench(
        folder=folder,
        pairs_a_step=pairs_a_step,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        weights=sum(module.weight.numel() for module in linear),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def config_of(bench: Bench, *, pairs_a_step: int, seed: int = 0) -> TrainConfig:
    # Without warm-up both sides' schedules are the same line from the peak to zero.
    return TrainConfig(
        backbone=str(bench.folder),
        method=Method.FULL,
        batch_pairs=pairs_a_step,
        learning_rate=LEARNING_RATE,
        warmup=0.0,
        weight_decay=0.0,
        max_tokens=MAX_TOKENS,
        precision=Precision.FP32,
        device="cpu",
        seed=seed,
    )


def public_model(bench: Bench) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(bench.folder, dtype=torch.float32)


def loaded_for(bench: Bench, config: TrainConfig) -> Loaded:
    """Tiebreak's model with the head of the folder, which `load_backbone` draws anew."""
    loaded = load_backbone(config, torch.device("cpu"))
    with torch.no_grad():
        loaded.model.head.weight.copy_(public_model(bench).score.weight)
    return loaded


def read_pairs(file: Path, count: int, *, grouped: bool) -> list[SnapshotPair]:
    """Decided pairs of a file: seeded ones, or all of seeded prompts until there are `count`."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = []
    for number, row in enumerate(rows):
        votes = [label["preference"] for label in row["labels"]]
        lead = votes.count("a") - votes.count("b")
        if lead and row["response_a"] != row["response_b"]:
            told = row["prompt"]
            prompt = told if isinstance(told, str) else [Message(Role(turn["role"]), turn["content"]) for turn in told]
            oriented = pair_of(prompt, row["response_a"], row["response_b"])
            p_a = float((lead > 0) != oriented.swapped)
            kept.append(
                SnapshotPair(
                    pair_id=number, pair=oriented.pair, p_a=p_a, p_tie=0.0, part=Part.TRAIN, origin=Origin.LABEL
                )
            )
    prompts = sorted({one.pair.prompt_hash for one in kept})
    random.Random(0).shuffle(prompts)
    place = {prompt: at for at, prompt in enumerate(prompts)}
    if not grouped:
        return random.Random(0).sample(kept, min(count, len(kept)))
    return sorted(kept, key=lambda one: place[one.pair.prompt_hash])[:count]


def prepared_pool(bench: Bench, pairs: list[SnapshotPair]) -> Prepared:
    """As a run prepares them; pairs that are too long are left out, since TRL drops what Tiebreak trims."""
    config = config_of(bench, pairs_a_step=bench.pairs_a_step)
    loaded = load_backbone(config, torch.device("cpu"))
    tokens = encode_pairs(loaded.tokenizer, loaded.rules, [one.pair for one in pairs])
    prepared = prepare(config, pairs, tokens)
    return replace(prepared, train=tuple(one for one in prepared.train if not one.a.trimmed))


def spread(plan: Sequence[Any], count: int) -> list[Any]:
    """`count` of a plan at even distances."""
    return [plan[int((at + 0.5) * len(plan) / count)] for at in range(min(count, len(plan)))]


def longest(pair: EncodedPair) -> int:
    return max(len(pair.a.input_ids), len(pair.b.input_ids))


def grouped_by_length(bench: Bench, pool: Sequence[EncodedPair]) -> list[list[EncodedPair]]:
    """The batches of TRL's sampler over the pool."""
    lengths, size = [longest(pair) for pair in pool], bench.pairs_a_step
    order = get_length_grouped_indices(lengths, size, generator=torch.Generator().manual_seed(0))
    return [[pool[i] for i in order[at : at + size]] for at in range(0, len(order), size)]


def chosen_pairs(bench: Bench, pool: Sequence[EncodedPair], count: int) -> list[list[EncodedPair]]:
    """Evenly spread batches of TRL's length-grouped plan for the pool, from the shortest to the longest."""
    batches = grouped_by_length(bench, pool)
    full = [one for one in batches if len(one) == bench.pairs_a_step]
    return spread(sorted(full, key=lambda one: longest(one[0])), count)


def chosen_groups(bench: Bench, pool: Sequence[EncodedPair], count: int) -> list[list[EncodedPair]]:
    """Evenly spread steps of the engine's plan for the pool."""
    stepped = [[pair for unit in step for pair in unit] for step in planned(bench, pool)]
    return spread([step for step in stepped if len(step) == bench.pairs_a_step], count)


def planned(bench: Bench, pairs: Sequence[EncodedPair]) -> list[list[list[EncodedPair]]]:
    """The units of shared prompts that the engine makes of an epoch, by step."""
    groups = group_pairs(pairs)
    units = layout.units_to_train(
        [group.texts for group in groups],
        [group.sides for group in groups],
        budget=ROW_TOKENS,
        max_pairs=bench.pairs_a_step,
        seed=0,
    )
    stepped = layout.steps(units, pairs_a_step=bench.pairs_a_step, seed=0)
    return [
        [[pairs[groups[unit.group].places[pair.index]] for pair in unit.pairs] for unit in step] for step in stepped
    ]


def padded_operations(bench: Bench, shapes: Sequence[tuple[int, int]]) -> float:
    """Of a forward pass over padded rows, causal attention counted by the half that is seen."""
    return sum(rows * (2 * bench.weights * long + 2 * bench.layers * bench.width * long**2) for rows, long in shapes)


def shared_work(bench: Bench, pairs: Sequence[EncodedPair]) -> tuple[int, float]:
    """Tokens and operations of a forward pass in which each unit's prompt is computed once and nothing is padded."""
    tokens, operations = 0, 0.0
    for unit in chain.from_iterable(planned(bench, pairs)):
        texts = list({tuple(side.input_ids) for pair in unit for side in (pair.a, pair.b)})
        shared = layout.shared_prefix(texts)
        squares = sum(len(text) ** 2 for text in texts) - (len(texts) - 1) * shared**2
        tokens += layout.num_tokens(texts)
        operations += 2 * bench.weights * layout.num_tokens(texts) + 2 * bench.layers * bench.width * squares
    return tokens, operations


def run_tiebreak(bench: Bench, prepared: Prepared, *, seed: int, pairs_a_step: int) -> tuple[Epoch, Passes]:
    config = config_of(bench, pairs_a_step=pairs_a_step, seed=seed)
    loaded = loaded_for(bench, config)
    with watched(loaded.model.backbone) as passes:
        running = train(loaded, config, prepared)
        next(running)  # step 0: evaluation before training, which TRL does not do
        began, began_cpu = time.perf_counter(), time.process_time()
        losses = tuple(step.loss for step in running)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    shapes = tuple((ids.shape[0], ids.shape[1]) for ids in passes.input_ids)
    return Epoch(seconds=seconds, cpu_seconds=cpu_seconds, shapes=shapes, losses=losses), passes


class _Watch(TrainerCallback):
    def __init__(self) -> None:
        self.began = self.ended = self.began_cpu = self.ended_cpu = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began, self.began_cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ended, self.ended_cpu = time.perf_counter(), time.process_time()


class _Unrounded(RewardTrainer):
    losses: list[float]

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        self.losses.append(float(loss))
        return loss


def run_trl(
    bench: Bench, pairs: Sequence[EncodedPair], *, seed: int, pairs_a_step: int, in_order: bool, **settings: Any
) -> Epoch:
    """One epoch of pairs, in random order or in their own."""
    rows = [
        {"chosen_ids": list(chosen.input_ids), "rejected_ids": list(rejected.input_ids)}
        for chosen, rejected in ((pair.a, pair.b) if pair.p_a > 0.5 else (pair.b, pair.a) for pair in pairs)
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = RewardConfig(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=pairs_a_step,
            learning_rate=LEARNING_RATE,
            max_length=MAX_TOKENS,
            bf16=False,
            use_cpu=True,
            seed=seed,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            train_sampling_strategy="sequential" if in_order else "random",
            **settings,
        )
        watch, model = _Watch(), public_model(bench)
        trainer = _Unrounded(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(bench.folder),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.losses = []
        with watched(model.model) as passes:
            trainer.train()
    shapes = tuple((ids.shape[0], ids.shape[1]) for ids in passes.input_ids)
    return Epoch(
        seconds=watch.ended - watch.began,
        cpu_seconds=watch.ended_cpu - watch.began_cpu,
        shapes=shapes,
        losses=tuple(trainer.losses),
    )


def matrix_product_rate() -> float:
    """Floating-point operations a second of torch.mm on square matrices of 2,048, the median of 5."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    torch.mm(left, right)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds)


def run_side(bench: Bench, side: str, prepared: Prepared, *, seed: int) -> Epoch:
    size = bench.pairs_a_step
    if side == OURS:
        return run_tiebreak(bench, prepared, seed=seed, pairs_a_step=size)[0]
    if side == AS_IT_COMES:
        return run_trl(bench, prepared.train, seed=seed, pairs_a_step=size, in_order=False)
    order = sorted(prepared.train, key=longest, reverse=True)
    return run_trl(bench, order, seed=seed, pairs_a_step=size, in_order=True, gradient_checkpointing=False)


def padded_shapes(batches: Sequence[Sequence[EncodedPair]]) -> list[tuple[int, int]]:
    return [(2 * len(batch), max(map(longest, batch))) for batch in batches]


def whole_file(bench: Bench, pool: Sequence[EncodedPair]) -> dict[str, float]:
    """The ideal ratios of an epoch of all pairs, which the few that are run stand for."""
    size, order = bench.pairs_a_step, random.Random(0).sample(pool, len(pool))
    mixed = [order[at : at + size] for at in range(0, len(order), size)]
    _, ours = shared_work(bench, pool)
    return {
        AS_IT_COMES: 4 / 3 * padded_operations(bench, padded_shapes(mixed)) / ours,
        AT_ITS_BEST: padded_operations(bench, padded_shapes(grouped_by_length(bench, pool))) / ours,
    }


def run_round(bench: Bench, prepared: Prepared, pairs: list[EncodedPair], *, seed: int) -> Round:
    """All sides on the same pairs, in turn."""
    load, epochs, rates = os.getloadavg()[0], {}, [matrix_product_rate()]
    for side in SIDES:
        epochs[side] = run_side(bench, side, replace(prepared, train=tuple(pairs)), seed=seed)
        rates.append(matrix_product_rate())
        sys.stderr.write(f"round {seed + 1}, {side}: {epochs[side].seconds:.1f} s for {len(pairs)} pairs\n")
    return Round(epochs=epochs, rates=tuple(rates), load=load)


def run_rounds(
    bench: Bench, prepared: Prepared, rounds: Sequence[list[EncodedPair]], kept: Path
) -> list[tuple[list[EncodedPair], Round]]:
    """The rounds that are kept and those that fit in the time, with their pairs."""
    kept.mkdir(parents=True, exist_ok=True)
    began, num_run, done = time.perf_counter(), 0, []
    for seed, pairs in enumerate(rounds):
        file = kept / f"{len(pairs)}-pairs-{bench.pairs_a_step}-a-step-round-{seed}.json"
        if not file.exists():
            if num_run and (time.perf_counter() - began) * (num_run + 1) / num_run > MOST_SECONDS:
                continue
            num_run += 1
            file.write_text(json.dumps(asdict(run_round(bench, prepared, pairs, seed=seed))))
        done.append((pairs, round_from(json.loads(file.read_text()))))
    return done


def measure_speed(bench: Bench, prepared: Prepared, rounds: list[list[EncodedPair]], kept: Path) -> Iterator[str]:
    done = run_rounds(bench, prepared, rounds, kept)
    count = sum(len(pairs) for pairs, _ in done)
    work = [shared_work(bench, pairs) for pairs, _ in done]
    loads = [one.load for _, one in done]
    yield f"rounds: {len(done)} of {len(rounds)}; load average before each {min(loads):.1f} to {max(loads):.1f}"
    yield f"torch.mm, GFLOP/s: {told([rate / 1e9 for _, one in done for rate in one.rates])}"
    yield (
        f"tokens a pair: {sum(pair.num_tokens for pairs, _ in done for pair in pairs) / count:.0f} as two texts, "
        f"{sum(tokens for tokens, _ in work) / count:.0f} in the ideal\n"
    )
    yield "| side | pairs/s | tokens computed a pair | share of the matrix-product rate |\n|---|---|---:|---|"
    for place, side in enumerate(SIDES):
        epochs = [one.epochs[side] for _, one in done]
        found = [len(pairs) / epoch.seconds for (pairs, _), epoch in zip(done, epochs, strict=True)]
        used = [6 * bench.weights * epoch.num_tokens / epoch.seconds for epoch in epochs]
        shares = [
            rate / statistics.mean(one.rates[place : place + 2]) for rate, (_, one) in zip(used, done, strict=True)
        ]
        computed = sum(epoch.num_tokens for epoch in epochs) / count
        yield f"| {side} | {told(found)} | {computed:.0f} | {told(shares)} |"
    yield "\n| Tiebreak beside | measured | in CPU time | ideal | measured of ideal | ideal, whole file |"
    yield "|---|---|---|---|---|---:|"
    of_all = whole_file(bench, prepared.train)
    for side, passes in ((AS_IT_COMES, 4), (AT_ITS_BEST, 3)):
        pairs_of = [
            (
                one.epochs[side].seconds / one.epochs[OURS].seconds,
                one.epochs[side].cpu_seconds / one.epochs[OURS].cpu_seconds,
                passes * padded_operations(bench, one.epochs[side].shapes) / (3 * operations),
            )
            for (_, one), (_, operations) in zip(done, work, strict=True)
        ]
        of_ideal = told([measured / ideal for measured, _, ideal in pairs_of])
        columns = " | ".join(told([one[at] for one in pairs_of]) for at in range(3))
        yield f"| {side} | {columns} | {of_ideal} | {of_all[side]:.2f} |"


def told(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measure_loss(bench: Bench, prepared: Prepared, steps: int) -> list[str]:
    """Tiebreak trains in its own order; TRL then repeats it, told by a token that only one pair's prompt has."""
    unused = [i for token, i in AutoTokenizer.from_pretrained(bench.folder).get_vocab().items() if "[unused" in token]
    short = sorted(prepared.train, key=longest)[: len(prepared.train) // 2]
    some = random.Random(0).sample(short, min(steps * LOSS_PAIRS_A_STEP, len(short)))
    pairs = tuple(marked(pair, mark) for pair, mark in zip(some, unused, strict=False))
    ours, passes = run_tiebreak(bench, replace(prepared, train=pairs), seed=0, pairs_a_step=LOSS_PAIRS_A_STEP)
    by_mark = {int(pair.a.input_ids[1]): pair for pair in pairs}
    seen = [int(i) for ids in passes.input_ids for i in ids.flatten() if int(i) in by_mark]
    order = [by_mark[mark] for mark in dict.fromkeys(seen)]
    trl = run_trl(bench, order, seed=0, pairs_a_step=LOSS_PAIRS_A_STEP, in_order=True, gradient_checkpointing=False)
    apart = [abs(a - b) for a, b in zip(ours.losses, trl.losses, strict=True)]
    return [
        f"loss of {len(apart)} steps of {LOSS_PAIRS_A_STEP} pairs in one order: from {ours.losses[0]:.4f}, least "
        f"{min(ours.losses):.4f}, most {max(ours.losses):.4f}; largest difference from TRL {max(apart):.1e} "
        f"(at step {apart.index(max(apart)) + 1}), mean {statistics.mean(apart):.1e}; tokens computed "
        f"{ours.num_tokens:,}, by TRL {trl.num_tokens:,}"
    ]


def marked(pair: EncodedPair, mark: int) -> EncodedPair:
    """The pair with its second token replaced in both texts."""
    a, b = (replace(side, input_ids=(side.input_ids[0], mark, *side.input_ids[2:])) for side in (pair.a, pair.b))
    return replace(pair, a=a, b=b)


def measure_scoring(bench: Bench, pairs: list[tuple[int, Pair]], rounds: int) -> list[str]:
    """From text to rewards. The plain loop takes texts in the file's order, as such loops do."""
    loaded = loaded_for(bench, config_of(bench, pairs_a_step=bench.pairs_a_step))
    shell = public_model(bench).eval()
    tokenizer = AutoTokenizer.from_pretrained(bench.folder)
    texts = [one.text for both in encode_pairs(loaded.tokenizer, loaded.rules, [p for _, p in pairs]) for one in both]
    ratios, rates, plain_rates, apart = [], [], [], 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        plain = plain_rewards(shell, tokenizer, texts)
        middle = time.perf_counter()
        ours = [reward for one in score(loaded, pairs) for reward in (one.reward_a, one.reward_b)]
        ended = time.perf_counter()
        ratios.append((middle - began) / (ended - middle))
        rates.append(len(pairs) / (ended - middle))
        plain_rates.append(len(pairs) / (middle - began))
        apart = max(abs(x - y) for x, y in zip(plain, ours, strict=True))
    return [
        f"scoring {len(pairs)} pairs: {told(rates)} pairs/s, a plain loop in batches of {TEXTS_A_BATCH} texts "
        f"{told(plain_rates)}; ratio {told(ratios)}; largest difference of a reward {apart:.1e}"
    ]


@torch.no_grad()
def plain_rewards(model: Any, tokenizer: Any, texts: list[str]) -> list[float]:
    rewards: list[float] = []
    for start in range(0, len(texts), TEXTS_A_BATCH):
        batch = tokenizer(texts[start : start + TEXTS_A_BATCH], padding=True, return_tensors="pt")
        del batch["token_type_ids"]
        rewards += model(**batch).logits.squeeze(-1).tolist()
    return rewards


def measure(bench: Bench, name: str, arguments: argparse.Namespace) -> Iterator[str]:
    data = DATASETS[name]
    steps, num_rounds = arguments.steps or data.steps, arguments.rounds or data.rounds
    snapshot = read_pairs(arguments.data / data.file, data.count, grouped=data.grouped)
    texts = {one.pair_id: one.pair for one in snapshot}
    prepared = prepared_pool(bench, snapshot)
    if data.grouped:
        batches = chosen_groups(bench, prepared.train, steps * num_rounds)
    else:
        batches = chosen_pairs(bench, prepared.train, steps * num_rounds)
    # Every round has its own pairs, from the shortest to the longest.
    rounds = [[pair for batch in batches[at::num_rounds] for pair in batch] for at in range(num_rounds)]
    yield f"\n## {name}: {len(prepared.train)} pairs planned, {bench.pairs_a_step} a step\n"
    yield f"{num_rounds} rounds of {steps} steps; load average before {os.getloadavg()}"
    began = time.perf_counter()
    if "speed" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            yield from measure_speed(bench, prepared, rounds, (arguments.kept or Path(folder)) / name)
    if "score" in arguments.parts:
        some = random.Random(0).sample(rounds[0], len(rounds[0]))
        yield from measure_scoring(bench, [(pair.pair_id, texts[pair.pair_id]) for pair in some], num_rounds)
    if "loss" in arguments.parts:
        yield from measure_loss(bench, prepared, arguments.loss_steps)
    yield f"load average after {os.getloadavg()}, {time.perf_counter() - began:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATASETS))
    parser.add_argument("--steps", type=int, help="optimizer steps a round, at least 3 for TRL's usual padding")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--kept", type=Path, help="folder of the rounds so far; made where it is absent")
    parser.add_argument("--pairs", type=int, default=8, help="pairs in an optimizer step")
    parser.add_argument("--loss-steps", type=int, default=50)
    parser.add_argument("--parts", nargs="+", default=["speed", "score"], choices=["speed", "score", "loss"])
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()
    disable_progress_bars()
    # TRL's own default for gradient checkpointing has a name that transformers has retired.
    warnings.simplefilter("ignore", FutureWarning)
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "trl"))
    with tempfile.TemporaryDirectory() as folder:
        bench = save_model(Path(folder) / "model", pairs_a_step=arguments.pairs)
        sys.stdout.write(
            f"{versions}; {THREADS} threads, float32; {bench.parameters / 1e6:.1f} million parameters, "
            f"{bench.weights / 1e6:.1f} million in matrix products\n"
        )
        for name in arguments.names:
            for line in measure(bench, name, arguments):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
