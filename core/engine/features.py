"""Features of a frozen backbone, computed once for each distinct row of tokens."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from core.engine.cache import Shards
from core.engine.model import Loaded, batch_of
from core.engine.tokens import TokenPair, Tokens
from core.records import Progress

BATCH_TEXTS = 32
SHARD_TEXTS = 512  # what a killed run loses at most

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFeatures:
    """Features of pairs in one order; each array of shape (N, D).

    Attributes:
        pooled_a, pooled_b: exactly what the head sees.
        response_a, response_b: mean over the response's tokens.
        prompt_a, prompt_b: mean over the tokens before it.
    """

    pooled_a: Floats
    pooled_b: Floats
    response_a: Floats
    response_b: Floats
    prompt_a: Floats
    prompt_b: Floats


def compute(loaded: Loaded, cache: Shards, pairs: Sequence[TokenPair]) -> Iterator[Progress]:
    """Compute what the cache lacks, each distinct text once; what is done survives a kill."""
    known = cache.keys()
    missing = {key: side for pair in pairs for side in pair if (key := _key(side)) not in known}
    rows = sorted(missing.items(), key=lambda row: -len(row[1].input_ids))
    yield Progress(what="computing features of texts", done=0, total=len(rows))
    for start in range(0, len(rows), SHARD_TEXTS):
        shard = rows[start : start + SHARD_TEXTS]
        made: list[Floats] = []
        for first in range(0, len(shard), BATCH_TEXTS):
            batch = shard[first : first + BATCH_TEXTS]
            made.append(_features(loaded, [row for _, row in batch]))
            yield Progress(what="computing features of texts", done=start + first + len(batch), total=len(rows))
        cache.add([key for key, _ in shard], {"features": np.concatenate(made)})


def load(cache: Shards, pairs: Sequence[TokenPair]) -> PairFeatures:
    """Cached features of pairs, in their order; `compute` must have run to its end."""
    read = np.empty((0, 3, 0), dtype=np.float32)
    for match in cache.find([_key(side) for pair in pairs for side in pair]):
        features = match.columns["features"]
        if not read.size:
            read = np.full((2 * len(pairs), *features.shape[1:]), np.nan, dtype=np.float32)
        read[match.places] = features[match.rows]
    a, b = read[0::2], read[1::2]
    return PairFeatures(
        pooled_a=a[:, 0],
        pooled_b=b[:, 0],
        response_a=a[:, 1],
        response_b=b[:, 1],
        prompt_a=a[:, 2],
        prompt_b=b[:, 2],
    )


def _key(row: Tokens) -> bytes:
    return hashlib.sha256(np.array([row.response_start, *row.input_ids], dtype=np.int32).tobytes()).digest()


@torch.no_grad()
def _features(loaded: Loaded, rows: Sequence[Tokens]) -> Floats:
    """Pooled, response mean and prompt mean of texts, shape (N, 3, D)."""
    loaded.model.eval()
    ids, mask = batch_of(loaded, rows)
    hidden = loaded.model.hidden(ids, mask).float()
    pooled = loaded.model.pool(hidden, mask)
    positions = torch.arange(ids.shape[1], device=ids.device)
    starts = torch.tensor([row.response_start for row in rows], device=ids.device).unsqueeze(1)
    response = mask * (positions >= starts)
    prompt = mask * (positions < starts)
    means = [_mean(hidden, part) for part in (response, prompt)]
    made: Floats = torch.stack([pooled, *means], dim=1).cpu().numpy().astype(np.float32)
    return made


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
