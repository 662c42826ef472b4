"""A reward model: a transformers backbone and a scalar head without bias, the head in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from core.config import Method, TrainConfig, require_extras
from core.engine import adapters
from core.engine import backbone as backbones
from core.engine.objective import TieParameter
from core.engine.reader import (
    Reader,
    architecture_of,
    cannot_be_loaded,
    choose_pad_token,
    is_decoder,
    load_reader,
)
from core.engine.tokens import TokenRules, Tokens


class RewardModel(nn.Module):
    """r(x, y) = w . pooled(x, y).

    Attributes:
        shell: for decoders, the AutoModelForSequenceClassification that owns backbone and head; it is what is saved.
        tie_parameter: of a model that learned ties; no part of a reward.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear, *, pooling: str, shell: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone, self.head, self.pooling = backbone, head, pooling
        self.tie_parameter: TieParameter | None = None
        object.__setattr__(self, "shell", shell)  # not a submodule: its weights are backbone and head already

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Rewards, shape (B,), float32, of right-padded ids and mask, shape (B, T)."""
        return self.reward(self.pool(self.hidden(input_ids, attention_mask), attention_mask))

    def rewards_at(self, places: Tensor, *, input_ids: Tensor, **inputs: Any) -> Tensor:
        """Rewards, shape (R,), of the tokens at `places` in one row, shape (1, T); only they go through the head.

        Args:
            inputs: what the backbone takes beside ids: attention_mask and position_ids of `attention.py`.
        """
        hidden: Tensor = self.backbone(input_ids=input_ids, use_cache=False, **inputs).last_hidden_state
        return self.reward(_at_least_float32(hidden[0, places]))

    def reward(self, pooled: Tensor) -> Tensor:
        """Rewards, shape (B,), of pooled states, shape (B, D), in their precision."""
        with torch.autocast(pooled.device.type, enabled=False):
            return nn.functional.linear(pooled, self.head.weight.to(pooled.dtype)).squeeze(-1)

    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states, shape (B, T, D)."""
        output: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """What the head sees, float32, shape (B, D). The position comes from the mask, never from an id."""
        states = _at_least_float32(hidden)
        if self.pooling == "mean":
            return (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = (positions * mask).argmax(dim=1)
        return states[torch.arange(len(states), device=mask.device), last]


def _at_least_float32(states: Tensor) -> Tensor:
    return states if states.dtype is torch.float64 else states.float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A reward model with everything that turns text into its rewards."""

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    rules: TokenRules
    device: torch.device
    backbone: backbones.Backbone
    temperature: float | None = None

    @property
    def tie_parameter(self) -> float | None:
        """Alpha of Rao-Kupper or nu of Davidson, at least 0; None where ties were not learned."""
        return None if self.model.tie_parameter is None else self.model.tie_parameter.value


def load_backbone(config: TrainConfig, device: torch.device) -> Loaded:
    """A pretrained backbone with a fresh head, ready to train by `config.method`. Seeds the head by `config.seed`."""
    require_extras(config)
    reader = load_reader(config)
    torch.manual_seed(config.seed)
    try:
        weights = adapters.frozen_weights(config, device) if config.method is Method.LORA else {"dtype": torch.float32}
        model = (_decoder if reader.rules.pooling == "last" else _encoder)(reader, weights)
    except (OSError, ValueError, SafetensorError) as error:
        raise cannot_be_loaded(reader.backbone, error) from None
    model.head.float()
    nn.init.normal_(model.head.weight, std=(model.head.in_features + 1) ** -0.5)
    _disable_dropout(model)
    _choose_trainable(model, config)
    return Loaded(
        model=model.to(device),
        tokenizer=reader.tokenizer,
        rules=reader.rules,
        device=device,
        backbone=reader.backbone,
    )


def empty_model(config: TrainConfig, *, dtype: torch.dtype, layers: int | None = None) -> RewardModel:
    """What `load_backbone` makes, without weights (on the meta device); of a deep model its first layers alone.

    Args:
        dtype: of the backbone's weights.
    """
    architecture = architecture_of(config.backbone)
    with torch.device("meta"):
        if is_decoder(architecture):
            architecture.num_labels = 1
            shell = AutoModelForSequenceClassification.from_config(architecture, dtype=dtype, trust_remote_code=False)
            model = RewardModel(shell.base_model, shell.score.float(), pooling="last", shell=shell)
        else:
            backbone = AutoModel.from_config(architecture, dtype=dtype, trust_remote_code=False)
            head = nn.Linear(architecture.hidden_size, 1, bias=False)
            model = RewardModel(backbone, head, pooling="mean")
        if layers is not None:
            _keep_layers(model.backbone, architecture.get_text_config().num_hidden_layers, layers)
        _choose_trainable(model, config)
    return model


def _keep_layers(backbone: nn.Module, num_layers: int, layers: int) -> None:
    """Cut the list of layers, wherever a model has it; one that repeats a single layer has none and stays as it is."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ModuleList) and len(child) == num_layers:
                setattr(module, name, child[:layers])


def _decoder(reader: Reader, weights: dict[str, Any]) -> RewardModel:
    shell = AutoModelForSequenceClassification.from_pretrained(
        reader.backbone.path,
        num_labels=1,
        problem_type="regression",
        trust_remote_code=False,
        use_safetensors=True,
        **weights,
    )
    ensure_pad_token(reader.tokenizer, shell)
    return RewardModel(shell.base_model, shell.score, pooling="last", shell=shell)


def _encoder(reader: Reader, weights: dict[str, Any]) -> RewardModel:
    path = reader.backbone.path
    backbone = AutoModel.from_pretrained(path, trust_remote_code=False, use_safetensors=True, **weights)
    head = nn.Linear(backbone.config.hidden_size, 1, bias=False)
    return RewardModel(backbone, head, pooling="mean")


def ensure_pad_token(tokenizer: PreTrainedTokenizerBase, shell: Any) -> None:
    """A padding id of its own, with a row in the embedding and a name in the config."""
    choose_pad_token(tokenizer)
    if len(tokenizer) > shell.get_input_embeddings().num_embeddings:
        shell.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    shell.config.pad_token_id = tokenizer.pad_token_id
    shell.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def _disable_dropout(model: nn.Module) -> None:
    # A pair's two rewards must differ by their responses, not by two random masks.
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        # Llama and its kin pass this share to the attention kernel and have no module for it.
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]  # a float, as it was


def _choose_trainable(model: RewardModel, config: TrainConfig) -> None:
    if config.method is not Method.FULL:
        model.backbone.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    if config.gradient_checkpointing and config.method is not Method.PROBE:
        # Before peft wraps the backbone: its wrapper has only the deprecated name of this.
        enable: Any = model.backbone.activation_checkpointing_enable
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if config.method is Method.LORA:
        model.backbone = adapters.add(model.backbone, config)
    model.head.requires_grad_(True)  # noqa: FBT003 - torch's own signature


def batch_of(loaded: Loaded, rows: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Right-padded ids and mask, shape (B, T), on the model's device."""
    longest = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), longest), int(loaded.tokenizer.pad_token_id), dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row.input_ids)] = torch.tensor(row.input_ids)
        mask[place, : len(row.input_ids)] = 1
    return ids.to(loaded.device), mask.to(loaded.device)
