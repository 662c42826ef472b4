"""The exact state of training on disk: a run killed at any moment goes on to the weights it would have had.

One safetensors file, written beside and renamed. The order of pairs follows from seeds and the step number, so that
number is the sampler's whole position.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.engine.ranks import ALONE, Ranks
from core.engine.shard import cut, local, put_together
from core.errors import RunFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Trainable weights of the lowest NLL on valid, on the CPU, and the step they are of."""

    step: int
    nll: float
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What training changes as it goes."""

    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler


def save(file: Path, training: Training, *, step: int, best: Best | None, plan: str, ranks: Ranks = ALONE) -> None:
    """Keep the state after a step.

    Args:
        plan: names what the order of pairs follows from; another one cannot be resumed.
        ranks: the first of them writes; where weights lie in pieces, all must call this.
    """
    if not ranks.leads and not ranks.is_sharded:
        return
    tensors = {}
    for name, tensor in _tensors(training, best):
        whole = put_together(tensor, like=training.parameters.get(name.removeprefix("best.")))
        if ranks.leads:
            tensors[name] = whole.cpu().contiguous()
    if not ranks.leads:
        return
    tensors["rng"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    facts = {
        "step": step,
        "best_step": None if best is None else best.step,
        "best_nll": None if best is None else best.nll,
        "scaler": training.scaler.state_dict(),
        "threads": torch.get_num_threads(),
        "plan": plan,
    }
    beside = file.with_name(file.name + ".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, beside, metadata={"facts": json.dumps(facts)})
    beside.replace(file)


def _tensors(training: Training, best: Best | None) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in training.parameters.items():
        yield f"weight.{name}", parameter.detach()
    for place, values in training.optimizer.state_dict()["state"].items():
        for key, value in values.items():
            yield f"optimizer.{place}.{key}", value
    if best is not None:
        for name, weight in best.weights.items():
            yield f"best.{name}", weight


def load(file: Path, training: Training, *, plan: str) -> tuple[int, Best | None]:
    """Put a kept state back; the step it was kept after, and the best weights so far.

    Sets torch's threads to those of the killed run: other numbers of threads add in another order, to other bits.
    Raises RunFailed if the state is of another plan.
    """
    with safe_open(file, framework="pt") as content:
        facts = json.loads(content.metadata()["facts"])
        if facts["plan"] != plan:
            raise RunFailed(f"{file} was kept under other settings or pairs and cannot be gone on from")
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - a handle, not a dict
    torch.set_num_threads(facts["threads"])
    with torch.no_grad():
        for name, parameter in training.parameters.items():
            parameter.copy_(cut(tensors[f"weight.{name}"], like=parameter))
    optimized = [parameter for group in training.optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, place, key = name.split(".", 2)
            state.setdefault(int(place), {})[key] = cut(tensor, like=optimized[int(place)])
    training.optimizer.load_state_dict(
        {"state": state, "param_groups": training.optimizer.state_dict()["param_groups"]}
    )
    training.scaler.load_state_dict(facts["scaler"])
    torch.set_rng_state(tensors["rng"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    if facts["best_nll"] is None:
        return facts["step"], None
    kept = {name: local(cut(tensors[f"best.{name}"], like=like)) for name, like in training.parameters.items()}
    return facts["step"], Best(step=facts["best_step"], nll=facts["best_nll"], weights=kept)
