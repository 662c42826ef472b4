"""How a row of shared prefixes is computed: which models can, with which mask, and the proof on the run's own data.

A model whose attention cannot take our mask is refused with a reason in words, and its texts are padded instead
(`batch_of`): slower, never wrong. What a config cannot tell is caught by `self_check`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from core.engine.layout import Group, Row, num_tokens, pack, units_to_score
from core.engine.model import Loaded, batch_of
from core.engine.reader import is_decoder

BLOCKWISE = "tiebreak_blockwise"
FLEX = "flex_attention"
# flex_attention works in tiles of this many tokens; whole tiles also keep the number of compiled shapes small.
_TILE = 128
_MERGED_BLOCK = 256
_CHECKED_RESPONSES = 4
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
# Their angles depend on the longest position in the batch once it is past the length the model was made for.
_ROPE_BY_LENGTH = {"dynamic", "longrope"}

Mask = Tensor | BlockMask


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Whether a run's prompts are computed once, and what was measured to say so.

    Attributes:
        refused: why not, in words; None if they are.
        difference: largest difference of a reward from that of the same text computed alone; None if not tried.
    """

    refused: str | None
    difference: float | None = None


def sharing_refused(config: Any, *, max_tokens: int) -> str | None:
    """Why texts of up to max_tokens cannot share a prefix in a model of this config; None if they can."""
    text = config.get_text_config()
    if not is_decoder(text):
        return "an encoder: each token of a prompt also sees the response, so responses cannot share it"
    if not getattr(text, "is_causal", True) or getattr(text, "use_bidirectional_attention", False):
        return "its attention is bidirectional: each token of a prompt also sees the response"
    unknown = sorted(set(getattr(text, "layer_types", None) or ()) - _KNOWN_LAYERS)
    if unknown:
        return f"it has layers ({', '.join(unknown)}) that no attention mask can divide"
    return _code_refuses(text) or _rope_refuses(text, max_tokens)


def _code_refuses(config: Any) -> str | None:
    if type(config) not in MODEL_MAPPING:
        return f"transformers has no plain model for {config.model_type}"
    model: Any = MODEL_MAPPING[type(config)]
    if getattr(model, "_is_stateful", False):
        return "it carries a recurrent state from token to token, which no attention mask can divide"
    if not getattr(model, "_supports_attention_backend", False):
        return "its attention does not go through transformers' attention interface, so it may ignore our mask"
    parameters = signature(model.forward).parameters
    if "position_ids" not in parameters:
        return "it takes no positions, and those of a shared row restart"
    if not any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()):
        return "it does not hand our arguments on to its attention"
    return None


def _rope_refuses(config: Any, max_tokens: int) -> str | None:
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    for one in [rope, *(part for part in rope.values() if isinstance(part, dict))]:
        made_for = one.get("original_max_position_embeddings") or config.max_position_embeddings
        if one.get("rope_type") in _ROPE_BY_LENGTH and max_tokens > made_for:
            return (
                f"its positions are scaled by the longest text of a batch beyond {made_for} tokens ({one['rope_type']})"
            )
    return None


def token_budget(loaded: Loaded) -> int:
    """Tokens of a row, unless a run says otherwise."""
    # CPU, 2 cores, Llama of 6 layers and width 576, prompts of 120 with two responses of 60, forward and backward of
    # 2,880 tokens, best of 3 on a busy machine: 4.0 to 4.6 s in rows of 1,024, 3.3 to 3.6 s in rows of 2,048; with one
    # dense mask 5.3 s and 5.8 s. A longer row holds more of a group's responses too: its prompt is computed less often.
    # CUDA: not measured. Sharing reaches nine tenths of its arithmetic in rows over 2,300 tokens (flash-preference,
    # published timings); several times that fills a GPU.
    return budget_of(_implementation(pretrained(loaded)))


def budget_of(implementation: str) -> int:
    return {FLEX: 8192, BLOCKWISE: 2048}.get(implementation, 1024)


def use_packed_attention(loaded: Loaded) -> str:
    """Set and name the fastest attention that takes rows; padded batches are computed as before.

    Eager attention stays (Gemma-2 and gpt-oss have nothing else on CPU).
    """
    model = pretrained(loaded)
    fastest = packed_attention(loaded.model.backbone, loaded.device)
    if fastest != _implementation(model):
        model.set_attn_implementation(fastest)
    return fastest


def packed_attention(backbone: torch.nn.Module, device: torch.device) -> str:
    """The fastest attention for rows that a backbone, as it was loaded, has on a device."""
    model = _unwrapped(backbone)
    if device.type == "cuda" and getattr(model, "_supports_flex_attn", False):
        return FLEX
    return BLOCKWISE if _implementation(model) == "sdpa" else _implementation(model)


def rewards_of_row(loaded: Loaded, row: Row) -> Tensor:
    """Rewards of the row's members, shape (R,), float32 or wider; differentiable."""
    model = pretrained(loaded)
    implementation = _implementation(model)
    filling = -row.num_tokens % _TILE if implementation == FLEX else 0
    ids = torch.tensor([*row.input_ids, *[0] * filling], device=loaded.device)
    positions = torch.tensor([*row.position_ids, *range(filling)], device=loaded.device)
    pooled = torch.tensor([member.pooled for member in row.members], device=loaded.device)
    with _last_mlp_only_at(model, pooled.unique()):
        return loaded.model.rewards_at(
            pooled,
            input_ids=ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            attention_mask=masks_of(model, row, filling=filling),
            **({"row_blocks": merged_blocks(row)} if implementation == BLOCKWISE else {}),
        )


@contextmanager
def _last_mlp_only_at(model: PreTrainedModel, places: Tensor) -> Iterator[None]:
    """Within it the last layer's MLP computes the tokens at `places` alone, and 0 for the others, which nothing reads.

    Elsewhere nothing can be left out: what a token's MLP gives, the next layer's attention may read.
    """
    mlp = _last_mlp(model)
    if mlp is None:
        yield
        return

    def gather(_mlp: torch.nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (states,) = arguments
        lengths.append(states.shape[1])
        return (states[:, places],)

    def scatter(_mlp: torch.nn.Module, _arguments: tuple[Tensor, ...], made: Tensor) -> Tensor:
        return made.new_zeros(made.shape[0], lengths.pop(), made.shape[2]).index_copy(1, places, made)

    lengths: list[int] = []
    handles = [mlp.register_forward_pre_hook(gather), mlp.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _last_mlp(model: PreTrainedModel) -> torch.nn.Module | None:
    """The last layer's, if it works token by token and no backward pass computes it again, without our hooks."""
    layers: Any = getattr(model, "layers", None) or getattr(model, "h", None)
    if not layers or getattr(layers[-1], "gradient_checkpointing", False):
        return None
    mlp: torch.nn.Module | None = getattr(layers[-1], "mlp", None)
    # Experts (a list of modules, or weights of three axes) may choose among the tokens that they are given.
    if mlp is None or any(isinstance(one, torch.nn.ModuleList) for one in mlp.modules()):
        return None
    return mlp if all(weight.ndim <= 2 for weight in mlp.parameters()) else None


def masks_of(model: PreTrainedModel, row: Row, *, filling: int = 0) -> Mask | dict[str, Mask]:
    """What the model takes as attention_mask, for rows that `filling` tokens follow which nothing sees.

    One mask where all layers see alike; by layer type where some see a window that is shorter than a text of the row.
    A window is folded in by position: in a row a token may stand far from a prefix that is near it in its text.
    """
    text = model.config.get_text_config()
    window = _window(text)
    if window is None or window >= row.longest:
        return _mask(model, row, None, filling=filling)
    layers = getattr(text, "layer_types", None)
    if not layers:
        return _mask(model, row, window, filling=filling)
    windows = {"full_attention": None, "sliding_attention": window}
    return {kind: _mask(model, row, windows[kind], filling=filling) for kind in sorted(set(layers))}


def _window(config: Any) -> int | None:
    """Tokens that a sliding layer sees, itself among them; None if no layer slides."""
    layers = getattr(config, "layer_types", None)
    if layers and "sliding_attention" not in layers:
        return None
    if getattr(config, "use_sliding_window", True) is False:
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window


def _mask(model: PreTrainedModel, row: Row, window: int | None, *, filling: int) -> Mask:
    device = model.device
    last = row.segment_ids[-1]
    segments = torch.tensor([*row.segment_ids, *[last + 1] * filling], device=device)
    prefixes = torch.tensor([*row.prefix_ids, *[last + 1] * filling], device=device)
    positions = torch.tensor([*row.position_ids, *range(filling)], device=device)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = segments[key] == segments[query]
        shared = segments[key] == prefixes[query]
        seen = (own | shared) & (key <= query)
        if window is not None:
            seen = seen & (positions[query] - positions[key] < window)
        return seen

    implementation = _implementation(model)
    if implementation == FLEX:
        return create_block_mask(sees, None, None, len(segments), len(segments), device=device, BLOCK_SIZE=_TILE)
    places = torch.arange(len(segments), device=device)
    seen = sees(places, places, places[:, None], places[None, :])[None, None]
    if implementation != "eager":
        return seen
    # Eager attention adds its mask: True and False would be added as 1 and 0 and hide nothing (off by 2 to 9).
    hidden = torch.finfo(model.dtype).min
    return torch.zeros(seen.shape, dtype=model.dtype, device=device).masked_fill(~seen, hidden)


def merged_blocks(row: Row) -> tuple[tuple[int, int], ...]:
    """The row's blocks, neighbours joined up to a few hundred tokens: what one attention call computes."""
    merged: list[tuple[int, int]] = []
    for start, end in row.blocks:
        if merged and end - merged[-1][0] <= _MERGED_BLOCK:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return tuple(merged)


def _attend_blockwise(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_blocks: tuple[tuple[int, int], ...] | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """SDPA one block of a row at a time; SDPA as it is for anything but a row.

    The mask alone decides what is seen. Blocks only leave out what it hides anyway: a row of 2,048 tokens in one call
    takes 1.5 times as long on a CPU, because a dense mask is computed in full.
    """
    if row_blocks is None or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    # Cut at once: the backward pass of a slice fills a whole row with zeros, for each block again.
    sizes = [end - start for start, end in row_blocks]
    cuts = zip(row_blocks, query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True)
    parts = [
        sdpa_attention_forward(module, *cut, attention_mask[:, :, start:end, start:end], **settings)[0]
        for (start, end), *cut in cuts
    ]
    return torch.cat(parts, dim=1), None


AttentionInterface.register(BLOCKWISE, _attend_blockwise)
AttentionMaskInterface.register(BLOCKWISE, sdpa_mask)


def self_check(loaded: Loaded, groups: Sequence[Group]) -> Sharing:
    """Ready the model for rows and prove it on two of the run's groups, or say why it falls back to padding.

    The prompts' rewards from one shared row are compared with those of each text alone under the attention that the
    model was loaded with. What is compared: a group of the longest text, where a window would show, and a middling one.
    """
    model = pretrained(loaded)
    refused = sharing_refused(model.config, max_tokens=loaded.rules.max_tokens)
    if refused is not None:
        return Sharing(refused=refused)
    before = _implementation(model)
    chosen = _telling(groups)
    if not chosen:
        return Sharing(refused="no prompt has two responses, so there is nothing to share")
    with torch.no_grad(), _evaluating(loaded):
        plain = [loaded.model(*batch_of(loaded, [one]))[0] for group in chosen for one in group]
        use_packed_attention(loaded)
        try:
            shared = _shared_rewards(loaded, chosen)
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            # What transformers' models raise for a mask they do not take; each means that this one is padded.
            model.set_attn_implementation(before)
            return Sharing(refused=f"it does not take our mask ({type(error).__name__}: {str(error).splitlines()[0]})")
    alone = torch.stack(plain).double()
    difference = float((shared.double() - alone).abs().max())
    allowed = _tolerance(loaded) * max(1.0, float(alone.abs().max()))
    if not difference <= allowed:
        model.set_attn_implementation(before)
        why = f"shared rewards differ from separate ones by {difference:.2g}, more than {allowed:.2g}"
        return Sharing(refused=why, difference=difference)
    return Sharing(refused=None, difference=difference)


def _telling(groups: Sequence[Group]) -> list[list[Any]]:
    """Of the groups with two or more distinct responses, the one with the longest text and one of middling length."""
    several = [group for group in groups if len({one.input_ids for one in group}) > 1]
    by_length = sorted(several, key=lambda group: -max(len(one.input_ids) for one in group))
    chosen = [by_length[0], by_length[len(by_length) // 2]] if len(by_length) > 1 else by_length
    # Texts of full length cost; a few responses show what there is to see, the longest among them.
    return [sorted(group, key=lambda one: -len(one.input_ids))[:_CHECKED_RESPONSES] for group in chosen]


def _shared_rewards(loaded: Loaded, groups: Sequence[Group]) -> Tensor:
    """Rewards in the order of groups and responses, all groups in one row."""
    units = units_to_score(groups, budget=max(num_tokens([one.input_ids for one in group]) for group in groups))
    (row,) = pack(groups, units, budget=sum(num_tokens([one.input_ids for one in group]) for group in groups))
    rewards = rewards_of_row(loaded, row)
    order = sorted(range(len(row.members)), key=lambda i: (row.members[i].group, row.members[i].response))
    return rewards[order]


def _tolerance(loaded: Loaded) -> float:
    """Share of a reward. A wrong mask is off by a tenth and more; half precision rounds by 2^-8 at every layer."""
    return 1e-5 if pretrained(loaded).dtype in {torch.float32, torch.float64} else 0.05


@contextmanager
def _evaluating(loaded: Loaded) -> Iterator[None]:
    """No dropout and no lowered precision, and the model's mode as it was afterwards."""
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        with torch.autocast(loaded.device.type, enabled=False):
            yield
    finally:
        loaded.model.train(was_training)


def pretrained(loaded: Loaded) -> PreTrainedModel:
    return _unwrapped(loaded.model.backbone)


def _unwrapped(backbone: Any) -> PreTrainedModel:
    """The transformers model, without peft's wrapper."""
    model: PreTrainedModel = backbone.get_base_model() if hasattr(backbone, "get_base_model") else backbone
    return model


def _implementation(model: PreTrainedModel) -> str:
    return str(model.config._attn_implementation)
