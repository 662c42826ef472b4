"""Floating-point operations of a model: twice its weights a token, and attention by the square of a text's length.

With N weights outside the embeddings, L layers and a = heads x their width, the forward pass of a causal text of n
tokens takes 2 N n + 2 L a n^2 operations; where every token sees all others, twice the second term. Source: Kaplan et
al. 2020 (arXiv 2001.08361), table 1. A mixture of experts is counted as if each expert worked on each token: too much.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from core.config import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What of a model decides how much it computes.

    Attributes:
        weights: parameters outside the embeddings.
        attention: layers x heads x the width of a head.
        is_causal: tokens see only those before them.
    """

    weights: int
    attention: int
    is_causal: bool

    def forward(self, *, tokens: int, squares: int) -> float:
        """Operations of a forward pass; `squares` is the sum of its texts' squared lengths."""
        return 2.0 * self.weights * tokens + (2.0 if self.is_causal else 4.0) * self.attention * squares


def arithmetic_of(backbone: nn.Module, architecture: Any, *, is_causal: bool) -> Arithmetic:
    """Of a transformers model, its adapters included, and its config."""
    text = architecture.get_text_config()
    embeddings = [module for module in backbone.modules() if isinstance(module, nn.Embedding)]
    embedded = {id(parameter) for module in embeddings for parameter in module.parameters()}
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Arithmetic(
        weights=sum(p.numel() for p in backbone.parameters() if id(p) not in embedded),
        attention=text.num_hidden_layers * text.num_attention_heads * width,
        is_causal=is_causal,
    )


def forwards_in_a_step(method: Method, *, checkpointing: bool) -> int:
    """What a training step costs in forward passes: one, one for the states' gradients, one for the weights'.

    LoRA needs no gradient of a frozen weight; checkpointing computes the forward pass again. By PyTorch's own counter,
    on a model of width 256: full 3.00, with checkpointing 3.75; LoRA of rank 16 2.27 and 3.39, its adapters counted.
    """
    if method is Method.PROBE:
        return 1
    return {Method.LORA: 2, Method.FULL: 3}[method] + checkpointing
