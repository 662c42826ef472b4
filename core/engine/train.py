"""Training: a generator of steps. The worker pulls, stores them, and stops by not pulling."""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from core.config import TrainConfig
from core.engine import resume, shard
from core.engine.attention import Sharing, self_check
from core.engine.batches import Cost, Planner, StepPlan, group_pairs
from core.engine.device import half_precision
from core.engine.model import Loaded
from core.engine.objective import TieParameter, bradley_terry_loss, preference_loss
from core.engine.prepare import EncodedPair, Prepared
from core.engine.ranks import ALONE, Ranks
from core.engine.resume import Best, Training
from core.errors import RunFailed
from core.records import Step

EVALUATIONS = 8  # at most, after the one of step 0
CLIP_NORM = 1.0
KEEP_SECONDS = 60.0  # what a killed run loses at most
# A tie parameter is one number of the size of a logit: at a backbone's rate it would end where it began.
_TIE_LEARNING_RATE = 1e-2


def train(
    loaded: Loaded,
    config: TrainConfig,
    prepared: Prepared,
    *,
    sharing: Sharing | None = None,
    state: Path | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Step]:
    """Yield optimizer steps. However it ends (its last step, or no more pulling), the best weights are in the model.

    The best are those with the lowest NLL on valid; without valid pairs, the last. It ends before its last step once
    `patience` evaluations in a row were no better. Where ties are learned, the model has its `tie_parameter` after it.

    Args:
        sharing: what `attention.self_check` said of this model; None: it is asked here.
        state: a file that keeps the exact state of training after every evaluation and every minute. If it is there,
            training goes on from it.
        ranks: several processes that each call this and must pull in step; the first one's Steps and weights count.
    """
    loaded.model.tie_parameter = tie_parameter(config, prepared.train, loaded.device)
    if sharing is None:
        sharing = check_sharing(loaded, prepared)
    train_pairs, valid_pairs = (
        Planner(
            loaded, some, sharing=sharing, batch_pairs=config.batch_pairs, row_tokens=config.row_tokens, ranks=ranks
        )
        for some in (prepared.train, prepared.valid)
    )
    training = _begin(loaded, config)
    ranks.begin_alike(training.parameters.values())
    pairs_a_step = config.batch_pairs * config.accumulation
    steps_an_epoch = math.ceil(len(prepared.train) / pairs_a_step)
    num_steps = steps_an_epoch * config.epochs
    evaluate_every = math.ceil(num_steps / EVALUATIONS)
    plan = _plan_of(config, prepared, train_pairs)
    done, best = resume.load(state, training, plan=plan) if state is not None and state.exists() else (0, None)
    planned: list[StepPlan] = []
    kept_at = time.monotonic()
    try:
        if not done:
            first, best = _first_step(loaded, config, train_pairs, valid_pairs, num_steps)
            yield first
        for step in range(done + 1, num_steps + 1):
            # Asked before a step, not after one: a run killed once it had stopped stays stopped when it is resumed.
            if _is_stale(best, step - 1, evaluate_every=evaluate_every, patience=config.patience):
                break
            epoch, within = divmod(step - 1, steps_an_epoch)
            if not planned or within == 0:
                planned = train_pairs.epoch(pairs_a_step=pairs_a_step, seed=config.seed * 1000 + epoch)
            share = _schedule(step, num_steps, config.warmup)
            _set_learning_rates(training.optimizer, share)
            ranks.seed(config.seed, step)
            taken = _step_that_fits(loaded, config, train_pairs, planned[within], training)
            evaluated = (step % evaluate_every == 0 or step == num_steps) and len(prepared.valid) > 0
            measured = evaluate(loaded, config, valid_pairs) if evaluated else None
            improved = _improved(measured, best, training, step=step, ranks=ranks)
            best = improved or best
            is_time = evaluated or time.monotonic() - kept_at > KEEP_SECONDS
            if state is not None and ranks.leader_says(yes=is_time):
                resume.save(state, training, step=step, best=best, plan=plan, ranks=ranks)
                kept_at = time.monotonic()
            yield Step(
                step=step,
                num_steps=num_steps,
                epoch=step / steps_an_epoch,
                loss=taken.loss,
                accuracy=taken.accuracy,
                learning_rate=config.peak_learning_rate * share,
                gradient_norm=taken.gradient_norm,
                pairs_per_second=planned[within].num_pairs / taken.seconds,
                tokens_per_second=taken.cost.computed / taken.seconds,
                shared=1 - (taken.cost.computed - taken.cost.padding) / taken.cost.plain,
                padding=taken.cost.padding / taken.cost.computed,
                valid_nll=None if measured is None else measured.nll,
                valid_accuracy=None if measured is None else measured.accuracy,
                is_best=improved is not None,
            )
    finally:
        if best is not None:
            _put(best.weights, training.parameters)
        loaded.model.eval()


def check_sharing(loaded: Loaded, prepared: Prepared) -> Sharing:
    """Whether this model computes a prompt once for all its responses, proven on the run's own data."""
    return self_check(loaded, [group.texts for group in group_pairs(prepared.train)])


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean NLL (nats) and accuracy over pairs; accuracy None where no pair is decided."""

    nll: float
    accuracy: float | None


@torch.no_grad()
def evaluate(loaded: Loaded, config: TrainConfig, planner: Planner) -> Measured:
    """Per pair, in float32, whatever the passes: never a mean of batch means.

    The NLL is Bradley-Terry's on p_a whatever the objective is, so that checkpoints and runs compare.
    """
    loaded.model.eval()
    nll, right, decided, count = 0.0, 0.0, 0.0, 0.0
    for one in planner.all():
        with _autocast(loaded, config):
            reward_a, reward_b = planner.rewards(loaded, one)
        margin = reward_a - reward_b
        target = torch.tensor([pair.p_a for pair in planner.pairs_of(one)], device=margin.device)
        nll += float(bradley_terry_loss(margin, target).sum())
        credit, num_decided = _credit(margin, target)
        right, decided, count = right + credit, decided + num_decided, count + len(one.pairs)
    nll, right, decided, count = planner.ranks.sum(nll, right, decided, count)
    return Measured(nll / count, right / decided if decided else None)


def _first_step(
    loaded: Loaded, config: TrainConfig, train_pairs: Planner, valid_pairs: Planner, num_steps: int
) -> tuple[Step, Best | None]:
    """Step 0: where training starts from."""
    some = evaluate(loaded, config, train_pairs.first(config.batch_pairs * 4))
    valid = evaluate(loaded, config, valid_pairs) if len(valid_pairs) else None
    step = Step(
        step=0,
        num_steps=num_steps,
        epoch=0.0,
        loss=some.nll,
        accuracy=some.accuracy,
        valid_nll=None if valid is None else valid.nll,
        valid_accuracy=None if valid is None else valid.accuracy,
        is_best=valid is not None,
    )
    return step, None if valid is None else Best(
        step=0, nll=valid.nll, weights=_copy(trainable(loaded), train_pairs.ranks)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What one optimizer step did.

    Attributes:
        gradient_norm: before clipping; None where it overflowed fp16 and the scaler left the step out.
    """

    loss: float
    accuracy: float | None
    gradient_norm: float | None
    seconds: float
    cost: Cost


def _step_that_fits(
    loaded: Loaded, config: TrainConfig, planner: Planner, planned: StepPlan, training: Training
) -> _Taken:
    """The step, in smaller passes where the device runs out of memory: the mean over its pairs stays the same."""
    while True:
        try:
            return _step(loaded, config, planner, planned, training)
        except torch.OutOfMemoryError:
            training.optimizer.zero_grad(set_to_none=True)
            if loaded.device.type == "cuda":
                torch.cuda.empty_cache()
            if not planner.halve():
                raise


def _step(loaded: Loaded, config: TrainConfig, planner: Planner, planned: StepPlan, training: Training) -> _Taken:
    """One optimizer step over all its passes."""
    began = time.monotonic()
    loaded.model.train()
    training.optimizer.zero_grad(set_to_none=True)
    total_weight = planner.weight(planned)
    loss_sum, right, decided, cost = 0.0, 0.0, 0.0, Cost()
    with planner.ranks.out_of_memory_together():
        for one in planner.passes(planned):
            with _autocast(loaded, config):
                reward_a, reward_b = planner.rewards(loaded, one)
            facts = [(pair.p_a, pair.p_tie, pair.weight) for pair in planner.pairs_of(one)]
            target, p_tie, weight = torch.tensor(facts, device=reward_a.device).reshape(-1, 3).unbind(1)
            tie = None if loaded.model.tie_parameter is None else loaded.model.tie_parameter()
            losses = preference_loss(reward_a, reward_b, target, p_tie, objective=config, tie_parameter=tie)
            # The mean is over the step's pairs, however they fall into passes.
            loss = (losses * weight).sum() / total_weight
            training.scaler.scale(loss).backward()
            loss_sum += float(loss.detach())
            credit, count = _credit((reward_a - reward_b).detach(), target)
            right, decided, cost = right + credit, decided + count, cost + planner.cost(one)
    planner.ranks.sum_gradients(training.parameters.values())
    loss_sum, right, decided, *tokens = planner.ranks.sum(
        loss_sum, right, decided, cost.computed, cost.padding, cost.plain
    )
    computed, padding, plain = map(int, tokens)
    training.scaler.unscale_(training.optimizer)
    norm = shard.clip_gradients(training.parameters.values(), CLIP_NORM)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if not math.isfinite(loss_sum):
        raise RunFailed(f"the loss became {loss_sum}; use a smaller learning_rate than {config.peak_learning_rate:g}")
    return _Taken(
        loss=loss_sum,
        accuracy=right / decided if decided else None,
        gradient_norm=norm if math.isfinite(norm) else None,
        seconds=max(time.monotonic() - began, 1e-9),
        cost=Cost(computed=computed, padding=padding, plain=plain),
    )


def _is_stale(best: Best | None, step: int, *, evaluate_every: int, patience: int) -> bool:
    """Whether the last `patience` evaluations up to a step were no better than the best before them."""
    return best is not None and patience > 0 and step // evaluate_every - best.step // evaluate_every >= patience


def _improved(
    measured: Measured | None, best: Best | None, training: Training, *, step: int, ranks: Ranks
) -> Best | None:
    if measured is None or (best is not None and not measured.nll < best.nll):
        return None
    return Best(step=step, nll=measured.nll, weights=_copy(training.parameters, ranks))


def _set_learning_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * share


def _begin(loaded: Loaded, config: TrainConfig) -> Training:
    scaler = torch.amp.GradScaler(
        loaded.device.type, enabled=half_precision(config.precision, loaded.device) is torch.float16
    )
    return Training(parameters=trainable(loaded), optimizer=_optimizer(loaded, config), scaler=scaler)


def trainable(loaded: Loaded) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}


def _plan_of(config: TrainConfig, prepared: Prepared, planner: Planner) -> str:
    """What the order of pairs and the arithmetic follow from, as a hash."""
    digest = hashlib.sha256(repr((config, planner.is_shared)).encode())
    for pair in prepared.train:
        digest.update(repr((pair.pair_id, pair.p_a, pair.p_tie, pair.weight)).encode())
    return digest.hexdigest()


def _copy(parameters: Mapping[str, nn.Parameter], ranks: Ranks) -> dict[str, Tensor]:
    """On the CPU; of whole weights, only in the process whose weights count."""
    if not ranks.leads and not ranks.is_sharded:
        return {}
    return {name: shard.local(parameter.detach()).to("cpu", copy=True) for name, parameter in parameters.items()}


@torch.no_grad()
def _put(weights: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, weight in weights.items():
        shard.local(parameters[name]).copy_(weight)


def _optimizer(loaded: Loaded, config: TrainConfig) -> torch.optim.Optimizer:
    tie = loaded.model.tie_parameter
    weights = [p for p in loaded.model.parameters() if p.requires_grad and (tie is None or p is not tie.raw)]
    groups: list[dict[str, object]] = [
        {"params": kind, "initial_lr": config.peak_learning_rate} for kind in shard.by_kind(weights)
    ]
    if tie is not None:
        groups.append({"params": [tie.raw], "initial_lr": _TIE_LEARNING_RATE, "weight_decay": 0.0})
    # One kernel for all weights: 0.05 s in place of 0.24 s a step at 50M parameters on 2 cores. Always the same one, as
    # a resumed run must add in the same order.
    fused = loaded.device.type in {"cpu", "cuda"}
    return torch.optim.AdamW(groups, lr=config.peak_learning_rate, weight_decay=config.weight_decay, fused=fused)


def tie_parameter(config: TrainConfig, pairs: Sequence[EncodedPair], device: torch.device) -> TieParameter | None:
    """Begun at the rate of ties among the pairs; a half tie more in one pair more keeps the rate from 0 and 1."""
    if not config.learns_ties:
        return None
    rate = (sum(pair.p_tie for pair in pairs) + 0.5) / (len(pairs) + 1)
    return TieParameter.from_tie_rate(config.ties, rate).to(device)


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


def _autocast(loaded: Loaded, config: TrainConfig) -> AbstractContextManager[object]:
    dtype = half_precision(config.precision, loaded.device)
    return nullcontext() if dtype is None else torch.autocast(loaded.device.type, dtype=dtype)
