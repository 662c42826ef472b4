"""LoRA adapters on a frozen backbone: added, published beside the name of their backbone, loaded and merged again.

What is published is the backbone as it lies on disk, in float32, with its adapter, whatever precision a run computed
in: that is what anybody can load to the same rewards.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, BitsAndBytesConfig, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from core.config import ALL_LINEAR, Quantise, TrainConfig
from core.engine import backbone as backbones
from core.engine.device import half_precision
from core.errors import BadConfig

# Arguments of transformers' BitsAndBytesConfig: nf4 with double quantisation, as QLoRA (arXiv 2305.14314). Norms and
# embeddings stay as they are, and so does the head, which could not be trained in 4 bits.
FOUR_BIT: dict[str, Any] = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "llm_int8_skip_modules": ["score"],
}
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # peft's own names


def are_on(backbone: nn.Module) -> bool:
    return hasattr(backbone, "merge_and_unload")


def frozen_weights(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """How the weights under adapters are loaded: arguments of `from_pretrained`. The adapters are float32 over any."""
    dtype = half_precision(config.precision, device) or torch.float32
    if config.quantise is Quantise.NONE:
        return {"dtype": dtype}
    if device.type not in {"cpu", "cuda"}:
        raise BadConfig(f"quantise=4bit works on CUDA and on a CPU, not on {device}; use device=cpu or quantise=none")
    settings = BitsAndBytesConfig(**FOUR_BIT, bnb_4bit_compute_dtype=dtype)
    return {"dtype": dtype, "quantization_config": settings, "device_map": {"": device}}


def add(backbone: Any, config: TrainConfig) -> nn.Module:
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
    wrapped: nn.Module = get_peft_model(backbone, adapter)
    return wrapped


def _targets(backbone: nn.Module, config: TrainConfig) -> dict[str, nn.Module]:
    """The layers to adapt, under their full names; the head is not among them, as it stands beside the backbone."""
    linear: dict[str, nn.Module] = {
        name: layer for name, layer in backbone.named_modules() if isinstance(layer, (nn.Linear, Conv1D))
    }
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


def save(backbone: Any, shell: Any, trained_on: backbones.Backbone, folder: Path) -> None:
    """Write the adapter and the head as peft reads them for the whole sequence classifier that `shell` is."""
    from peft import get_peft_model_state_dict  # noqa: PLC0415 - seconds of import

    embedding = backbone.get_input_embeddings().num_embeddings
    has_grown = embedding > AutoConfig.from_pretrained(trained_on.path).get_text_config().vocab_size
    # A row for [PAD] is no part of the backbone on disk. Peft knows embeddings as a whole or not at all.
    within = get_peft_model_state_dict(backbone, save_embedding_layers=has_grown)
    prefix = f"base_model.model.{shell.base_model_prefix}."
    weights = {prefix + _as_all_read(name.removeprefix("base_model.model.")): one for name, one in within.items()}
    weights["base_model.model.score.weight"] = shell.score.weight
    copies = {name: one.detach().cpu().contiguous() for name, one in weights.items()}
    save_file(copies, folder / WEIGHTS, metadata={"format": "pt"})
    settings = copy.deepcopy(backbone.peft_config["default"])
    settings.base_model_name_or_path = trained_on.public_name
    settings.revision = trained_on.public_revision
    settings.task_type, settings.modules_to_save = "SEQ_CLS", ["score"]
    settings.target_modules = sorted(settings.target_modules)
    settings.inference_mode = True
    settings.save_pretrained(folder)


def _as_all_read(name: str) -> str:
    # Peft writes DoRA's sizes without the last word. transformers 5.23 then finds none and goes on with fresh ones:
    # rewards off by 0.3. Both read them under the full name.
    return f"{name}.weight" if name.endswith("lora_magnitude_vector") else name


def load_merged(
    folder: Path, trained_on: backbones.Backbone, tokenizer: PreTrainedTokenizerBase, *, quantisation: Any = None
) -> nn.Module:
    """The sequence classifier that a published adapter stands for, its weights merged, in float32.

    Args:
        quantisation: of the backbone that the adapter was trained on, as in `FOUR_BIT`. Its weights are then those that
            4 bits stand for, written out in float32.

    Raises NotFound if the backbone is gone or no longer the one that the adapter was trained on.
    """
    from peft import PeftModel  # noqa: PLC0415 - seconds of import

    base = backbones.again(trained_on)
    shell = AutoModelForSequenceClassification.from_pretrained(
        base.path,
        num_labels=1,
        problem_type="regression",
        dtype=torch.float32,
        trust_remote_code=False,
        use_safetensors=True,
        **_quantised(quantisation),
    )
    if quantisation is not None:
        shell = shell.dequantize(dtype=torch.float32)
    if len(tokenizer) > shell.get_input_embeddings().num_embeddings:
        shell.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    shell.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    adapted: Any = PeftModel.from_pretrained(shell, folder)
    plain: nn.Module = adapted.merge_and_unload()
    return plain


def _quantised(quantisation: Any) -> dict[str, Any]:
    if quantisation is None:
        return {}
    return {"quantization_config": BitsAndBytesConfig(**quantisation), "device_map": {"": "cpu"}}


def merged(backbone: Any) -> nn.Module:
    """A copy of a backbone with its adapter merged in float32; the backbone itself keeps its adapter."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415 - as above

    whole = copy.deepcopy(backbone)
    if getattr(whole.get_base_model(), "hf_quantizer", None) is not None:
        # Merged in place the sum would be rounded to 4 bits again.
        adapter, settings = get_peft_model_state_dict(whole), whole.peft_config["default"]
        whole = get_peft_model(whole.unload().dequantize(dtype=torch.float32), settings)
        set_peft_model_state_dict(whole, adapter)
    plain: nn.Module = whole.float().merge_and_unload()
    return plain
