"""Training: a generator of steps. The worker pulls, stores them, and stops by not pulling."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import Precision, TrainConfig
from core.engine.model import Loaded, batch_of
from core.engine.objective import TieParameter, bradley_terry_loss, preference_loss
from core.engine.prepare import EncodedPair, Prepared
from core.errors import RunFailed
from core.records import Step

EVALUATIONS = 8
CLIP_NORM = 1.0
_GROUPED_BATCHES = 50
# A tie parameter is one number of the size of a logit: at a backbone's rate it would end where it began.
_TIE_LEARNING_RATE = 1e-2


def train(loaded: Loaded, config: TrainConfig, prepared: Prepared) -> Iterator[Step]:
    """Yield optimizer steps. However it ends (its last step, or no more pulling), the best weights are in the model.

    The best are those with the lowest NLL on valid; without valid pairs, the last. Where ties are learned, the model
    has its `tie_parameter` after it.
    """
    model = loaded.model
    model.tie_parameter = _tie_parameter(config, prepared.train, loaded.device)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(loaded, config)
    pairs_a_step = config.batch_pairs * config.accumulation
    steps_an_epoch = math.ceil(len(prepared.train) / pairs_a_step)
    num_steps = steps_an_epoch * config.epochs
    evaluate_every = max(1, num_steps // EVALUATIONS)
    keeper = _Best(trainable)
    scaler = torch.amp.GradScaler(loaded.device.type, enabled=_dtype(loaded, config) is torch.float16)
    order: list[int] = []
    try:
        yield _first_step(loaded, config, prepared, keeper, num_steps)
        for step in range(1, num_steps + 1):
            epoch, within = divmod(step - 1, steps_an_epoch)
            if within == 0:
                order = _length_grouped(prepared.train, config.batch_pairs, seed=config.seed * 1000 + epoch)
            chosen = order[within * pairs_a_step : (within + 1) * pairs_a_step]
            began = time.monotonic()
            share = _schedule(step, num_steps, config.warmup)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * share
            loss, right, norm = _step(loaded, config, [prepared.train[i] for i in chosen], optimizer, scaler, trainable)
            rate_of_pairs = len(chosen) / max(time.monotonic() - began, 1e-9)
            evaluated = step % evaluate_every == 0 or step == num_steps
            measured = evaluate(loaded, config, prepared.valid) if evaluated and prepared.valid else None
            is_best = keeper.offer(measured.nll) if measured is not None else False
            yield Step(
                step=step,
                num_steps=num_steps,
                epoch=step / steps_an_epoch,
                loss=loss,
                accuracy=right,
                learning_rate=config.peak_learning_rate * share,
                gradient_norm=norm,
                pairs_per_second=rate_of_pairs,
                valid_nll=None if measured is None else measured.nll,
                valid_accuracy=None if measured is None else measured.accuracy,
                is_best=is_best,
            )
    finally:
        keeper.restore()
        model.eval()


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean NLL (nats) and accuracy over pairs; accuracy None where no pair is decided."""

    nll: float
    accuracy: float | None


@torch.no_grad()
def evaluate(loaded: Loaded, config: TrainConfig, pairs: Sequence[EncodedPair]) -> Measured:
    """Per pair, in float32, whatever the batches: never a mean of batch means.

    The NLL is Bradley-Terry's on p_a whatever the objective is, so that checkpoints and runs compare.
    """
    loaded.model.eval()
    nll, right, decided = 0.0, 0.0, 0
    order = sorted(range(len(pairs)), key=lambda i: pairs[i].num_tokens)
    for start in range(0, len(order), config.batch_pairs * 2):
        batch = [pairs[i] for i in order[start : start + config.batch_pairs * 2]]
        with _autocast(loaded, config):
            reward_a, reward_b = _rewards(loaded, batch)
        margin = reward_a - reward_b
        target = torch.tensor([pair.p_a for pair in batch], device=margin.device)
        nll += float(bradley_terry_loss(margin, target).sum())
        credit, count = _credit(margin, target)
        right, decided = right + credit, decided + count
    return Measured(nll / len(pairs), right / decided if decided else None)


def _first_step(loaded: Loaded, config: TrainConfig, prepared: Prepared, keeper: "_Best", num_steps: int) -> Step:
    """Step 0: where training starts from."""
    some = evaluate(loaded, config, prepared.train[: config.batch_pairs * 4])
    valid = evaluate(loaded, config, prepared.valid) if prepared.valid else None
    is_best = keeper.offer(valid.nll) if valid is not None else False
    return Step(
        step=0,
        num_steps=num_steps,
        epoch=0.0,
        loss=some.nll,
        accuracy=some.accuracy,
        valid_nll=None if valid is None else valid.nll,
        valid_accuracy=None if valid is None else valid.accuracy,
        is_best=is_best,
    )


def _step(
    loaded: Loaded,
    config: TrainConfig,
    chosen: Sequence[EncodedPair],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    trainable: Sequence[nn.Parameter],
) -> tuple[float, float | None, float]:
    """One optimizer step over all its micro-batches: mean loss, accuracy, gradient norm before clipping."""
    loaded.model.train()
    optimizer.zero_grad(set_to_none=True)
    total_weight = sum(pair.weight for pair in chosen)
    loss_sum, right, decided = 0.0, 0.0, 0
    for start in range(0, len(chosen), config.batch_pairs):
        batch = chosen[start : start + config.batch_pairs]
        with _autocast(loaded, config):
            reward_a, reward_b = _rewards(loaded, batch)
        facts = [(pair.p_a, pair.p_tie, pair.weight) for pair in batch]
        target, p_tie, weight = torch.tensor(facts, device=reward_a.device).unbind(1)
        tie = None if loaded.model.tie_parameter is None else loaded.model.tie_parameter()
        losses = preference_loss(reward_a, reward_b, target, p_tie, objective=config, tie_parameter=tie)
        # The mean is over the step's pairs, however they fall into micro-batches.
        loss = (losses * weight).sum() / total_weight
        scaler.scale(loss).backward()
        loss_sum += float(loss.detach())
        credit, count = _credit((reward_a - reward_b).detach(), target)
        right, decided = right + credit, decided + count
    scaler.unscale_(optimizer)
    norm = float(nn.utils.clip_grad_norm_(trainable, CLIP_NORM))
    scaler.step(optimizer)
    scaler.update()
    if not math.isfinite(loss_sum):
        raise RunFailed(f"the loss became {loss_sum}; use a smaller learning_rate than {config.peak_learning_rate:g}")
    return loss_sum, right / decided if decided else None, norm


def _optimizer(loaded: Loaded, config: TrainConfig) -> torch.optim.Optimizer:
    tie = loaded.model.tie_parameter
    weights = [p for p in loaded.model.parameters() if p.requires_grad and (tie is None or p is not tie.raw)]
    groups: list[dict[str, object]] = [{"params": weights, "initial_lr": config.peak_learning_rate}]
    if tie is not None:
        groups.append({"params": [tie.raw], "initial_lr": _TIE_LEARNING_RATE, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=config.peak_learning_rate, weight_decay=config.weight_decay)


def _tie_parameter(config: TrainConfig, pairs: Sequence[EncodedPair], device: torch.device) -> TieParameter | None:
    """Begun at the rate of ties among the pairs; a half tie more in one pair more keeps the rate from 0 and 1."""
    if not config.learns_ties:
        return None
    rate = (sum(pair.p_tie for pair in pairs) + 0.5) / (len(pairs) + 1)
    return TieParameter.from_tie_rate(config.ties, rate).to(device)


def _rewards(loaded: Loaded, batch: Sequence[EncodedPair]) -> Tensor:
    """Of both sides, shape (2, B)."""
    rewards: Tensor = loaded.model(*batch_of(loaded, [pair.a for pair in batch] + [pair.b for pair in batch]))
    return rewards.view(2, len(batch))


def _credit(margin: Tensor, target: Tensor) -> tuple[float, int]:
    decided = target != 0.5
    agrees = torch.sign(margin[decided]) * torch.sign(target[decided] - 0.5)
    return float((0.5 + 0.5 * agrees).sum()), int(decided.sum())


def _schedule(step: int, num_steps: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to zero just after the last step."""
    warm = max(1, round(warmup * num_steps))
    if step <= warm:
        return step / warm
    return (num_steps - step + 1) / (num_steps - warm + 1)


def _length_grouped(pairs: Sequence[EncodedPair], batch_pairs: int, *, seed: int) -> list[int]:
    """A seeded order in which neighbours are of like length, so that little is padding."""
    shuffled = random.Random(seed)
    order = list(range(len(pairs)))
    shuffled.shuffle(order)
    size = batch_pairs * _GROUPED_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        part = sorted(order[start : start + size], key=lambda i: pairs[i].num_tokens)
        batches += [part[i : i + batch_pairs] for i in range(0, len(part), batch_pairs)]
    # A short batch stays last, so that every other step has its full number of pairs.
    short = [batch for batch in batches if len(batch) < batch_pairs]
    full = [batch for batch in batches if len(batch) == batch_pairs]
    shuffled.shuffle(full)
    return [i for batch in full + short for i in batch]


def _dtype(loaded: Loaded, config: TrainConfig) -> torch.dtype | None:
    wanted = config.precision
    if wanted is Precision.AUTO:
        has_bf16 = loaded.device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if has_bf16 else None
    return {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(wanted)


def _autocast(loaded: Loaded, config: TrainConfig) -> AbstractContextManager[object]:
    dtype = _dtype(loaded, config)
    return nullcontext() if dtype is None else torch.autocast(loaded.device.type, dtype=dtype)


class _Best:
    """Keeps the trainable weights of the lowest NLL on valid, on the CPU."""

    def __init__(self, trainable: Sequence[nn.Parameter]) -> None:
        self._trainable = trainable
        self._nll = math.inf
        self._kept: list[Tensor] | None = None

    def offer(self, nll: float) -> bool:
        if not nll < self._nll:
            return False
        self._nll = nll
        self._kept = [parameter.detach().to("cpu", copy=True) for parameter in self._trainable]
        return True

    @torch.no_grad()
    def restore(self) -> None:
        if self._kept is not None:
            for parameter, kept in zip(self._trainable, self._kept, strict=True):
                parameter.copy_(kept)
