"""One dataset with one backbone, looked at before training: lengths, trimming, special tokens, time."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.config import Method, TrainConfig
from core.engine.device import choose_device, describe
from core.engine.model import Loaded, batch_of, load_backbone
from core.engine.tokens import Tokens, encode_pairs
from core.errors import RunFailed
from core.records import Pair

TIMED_TEXTS = 16
# A training step is a forward and a backward, which costs two more forwards (Kaplan et al. 2020, table 1).
FORWARDS_IN_A_STEP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightReport:
    """What a run on these pairs would meet. Tokens are counted before trimming, the longer side of each pair.

    Attributes:
        trimmed: pairs of which something would be cut to fit max_tokens.
        same_after_trimming: pairs whose two sides would be the same tokens after it; they are left out.
        pooled_token: what stands at the last position of a text, which a decoder's head reads.
        has_chat_template: else turns are written as `role: text`.
        seconds_an_epoch: estimate for the whole set with the backbone trained, from a few timed forwards here.
    """

    backbone: str
    device: str
    num_pairs: int
    max_tokens: int
    tokens_median: int
    tokens_p95: int
    tokens_longest: int
    trimmed: int
    same_after_trimming: int
    pooling: str
    pooled_token: str
    pad_token: str
    has_chat_template: bool
    seconds_an_epoch: float


def preflight(
    backbone: str, pairs: Sequence[Pair], *, max_tokens: int | None = None, device: str = "auto"
) -> PreflightReport:
    """Tokenize every pair as training would and time a few forwards. Raises RunFailed without pairs."""
    if not pairs:
        raise RunFailed("there is no pair to look at")
    config = TrainConfig(backbone=backbone, method=Method.FULL, max_tokens=max_tokens)
    loaded = load_backbone(config, choose_device(device))
    unlimited = replace(loaded.rules, max_tokens=sys.maxsize)
    lengths, trimmed, same = np.zeros(len(pairs), dtype=np.int64), 0, 0
    kept: list[Tokens] = []
    for place, (a, b) in enumerate(encode_pairs(loaded.tokenizer, unlimited, pairs)):
        lengths[place] = max(len(a.input_ids), len(b.input_ids))
        if lengths[place] > loaded.rules.max_tokens:
            a, b = encode_pairs(loaded.tokenizer, loaded.rules, [pairs[place]])[0]  # noqa: PLW2901 - the same, trimmed
            trimmed += 1
        same += a.input_ids == b.input_ids
        kept += [a, b]
    return PreflightReport(
        backbone=backbone,
        device=describe(loaded.device),
        num_pairs=len(pairs),
        max_tokens=loaded.rules.max_tokens,
        tokens_median=int(np.median(lengths)),
        tokens_p95=int(np.quantile(lengths, 0.95)),
        tokens_longest=int(lengths.max()),
        trimmed=trimmed,
        same_after_trimming=same,
        pooling=loaded.rules.pooling,
        pooled_token=str(loaded.tokenizer.decode([kept[0].input_ids[-1]])),
        pad_token=str(loaded.tokenizer.pad_token),
        has_chat_template=loaded.tokenizer.chat_template is not None,
        seconds_an_epoch=_seconds_a_token(loaded, kept) * sum(len(one.input_ids) for one in kept) * FORWARDS_IN_A_STEP,
    )


@torch.no_grad()
def _seconds_a_token(loaded: Loaded, rows: Sequence[Tokens]) -> float:
    """Of texts spread over the lengths that there are; the first forward, which warms up, is not counted."""
    by_length = sorted(rows, key=lambda row: len(row.input_ids))
    spread = by_length[:: max(1, len(by_length) // TIMED_TEXTS)][:TIMED_TEXTS]
    loaded.model(*batch_of(loaded, spread[:1]))
    began = time.perf_counter()
    for row in spread:
        loaded.model(*batch_of(loaded, [row])).tolist()
    return (time.perf_counter() - began) / sum(len(row.input_ids) for row in spread)
