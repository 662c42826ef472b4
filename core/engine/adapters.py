"""LoRA adapters on a frozen backbone."""

from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from core.config import ALL_LINEAR, TrainConfig
from core.errors import BadConfig


def add(backbone: nn.Module, config: TrainConfig) -> nn.Module:
    """The backbone with adapters that do nothing yet; BadConfig if a target is no linear layer of it.

    Dropout acts on what goes into an adapter, token by token, and only while training. A prompt that its responses
    share is computed once, so they see it under the same mask: it cannot tell a pair's rewards apart.
    """
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - seconds of import

    targets = _targets(backbone, config)
    adapter = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_dora=config.dora,
        use_rslora=config.rank_stabilised,
        target_modules=sorted(targets),
        # GPT-2 and its kin keep their weights transposed.
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in targets.values()),
    )
    wrapped: Any = get_peft_model(backbone, adapter)  # type: ignore[arg-type]  # a PreTrainedModel
    return wrapped  # type: ignore[no-any-return]


def _targets(backbone: nn.Module, config: TrainConfig) -> dict[str, nn.Module]:
    """The layers to adapt, under their full names; the head is not among them, as it stands beside the backbone."""
    linear = {name: layer for name, layer in backbone.named_modules() if isinstance(layer, (nn.Linear, Conv1D))}
    if config.lora_targets == ALL_LINEAR:
        return linear
    chosen: dict[str, nn.Module] = {}
    for ending in (one.strip() for one in config.lora_targets.split(",")):
        found = {name: layer for name, layer in linear.items() if f".{name}".endswith(f".{ending}")}
        if not found:
            there = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
            raise BadConfig(
                f"lora_targets names {ending!r}, but no linear layer of {config.backbone} ends in that; "
                f"there are {there}, and {ALL_LINEAR} means all of them"
            )
        chosen |= found
    return chosen
