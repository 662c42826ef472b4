"""How a backbone reads text: its tokenizer and the token rules, from its config alone and without its weights."""

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from core.config import TrainConfig
from core.engine import backbone as backbones
from core.engine.tokens import DEFAULT_MAX_TOKENS, TokenRules
from core.errors import BadConfig, NotFound

# Texts are trimmed by our own rule; a tokenizer that also warns about their length says nothing new.
_UNLIMITED = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What turns text into a backbone's tokens.

    Attributes:
        architecture: the backbone's transformers config.
        positions: how many tokens the backbone takes at most; None where its config names no end.
        shipped_pad: the padding token as the tokenizer came; `tokenizer` may have another (`choose_pad_token`).
    """

    backbone: backbones.Backbone
    architecture: Any
    tokenizer: PreTrainedTokenizerBase
    rules: TokenRules
    positions: int | None
    shipped_pad: str | None


def load_reader(config: TrainConfig) -> Reader:
    """The tokenizer and rules that `config` trains with. Reads no weights; raises NotFound or BadConfig."""
    found = backbones.resolve(config.backbone)
    try:
        architecture = AutoConfig.from_pretrained(found.path, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(found.path, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError) as error:
        raise cannot_be_loaded(found, error) from None
    if not tokenizer.is_fast:
        raise BadConfig(f"backbone {found.name!r} has no fast tokenizer (tokenizer.json), which Tiebreak needs")
    shipped_pad = tokenizer.pad_token
    pools_last = is_decoder(architecture)
    if pools_last:
        choose_pad_token(tokenizer)
    elif shipped_pad is None:
        raise BadConfig(f"backbone {found.name!r} is an encoder whose tokenizer has no padding token")
    tokenizer.model_max_length = _UNLIMITED
    positions = positions_of(architecture)
    rules = TokenRules(
        max_tokens=_max_tokens(positions, config.max_tokens),
        pooling="last" if pools_last else "mean",
        append_eos=pools_last and tokenizer.eos_token_id is not None,
    )
    return Reader(
        backbone=found,
        architecture=architecture,
        tokenizer=tokenizer,
        rules=rules,
        positions=positions,
        shipped_pad=shipped_pad,
    )


def architecture_of(name: str) -> Any:
    """The config of a backbone, its weights not looked for. NotFound if it is not to be had."""
    folder = backbones.config_folder(name)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise NotFound(f"backbone {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None


def token_limit(architecture: Any, asked: int | None) -> int:
    """Tokens of the longest text: as many as asked, else 1,024 or the model's positions. BadConfig beyond these."""
    return _max_tokens(positions_of(architecture), asked)


def cannot_be_loaded(backbone: backbones.Backbone, error: Exception) -> NotFound:
    return NotFound(f"backbone {backbone.name!r} cannot be loaded: {str(error).splitlines()[0]}")


def is_decoder(architecture: Any) -> bool:
    """BERT can be a causal model too; what also has a masked-language head is an encoder here."""
    kind = architecture.model_type
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def choose_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """A padding id that no pooled position can have: public libraries pool the last id that is not padding."""
    pooled = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id}
    if tokenizer.pad_token is not None and tokenizer.pad_token_id not in pooled:
        return
    unused = [
        str(token)
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special and token_id not in pooled and "pad" in str(token).lower()
    ]
    # Adds the token where the vocabulary lacks it; setting pad_token alone would name the unknown token's id.
    tokenizer.add_special_tokens({"pad_token": unused[0] if unused else "[PAD]"})


def positions_of(architecture: Any) -> int | None:
    """Tokens of the longest text that a backbone takes; None where its config names no end."""
    text = architecture.get_text_config()
    positions = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if not positions:
        return None
    # RoBERTa counts positions from its padding id.
    return int(positions) - 2 if text.model_type in {"roberta", "xlm-roberta", "camembert"} else int(positions)


def _max_tokens(positions: int | None, asked: int | None) -> int:
    limit = positions or DEFAULT_MAX_TOKENS
    if asked is not None and asked > limit:
        raise BadConfig(f"max_tokens must be at most the model's {limit} positions, got {asked}")
    return asked or min(DEFAULT_MAX_TOKENS, limit)
