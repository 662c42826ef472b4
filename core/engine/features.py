"""Features of a frozen backbone, computed once a text and kept on disk."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file

from core.engine.model import Loaded, batch_of
from core.engine.tokens import Encoded, encode
from core.records import Pair, Progress

BATCH_TEXTS = 32
SHARD_TEXTS = 512  # what a killed run loses at most

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """One folder for each backbone revision and token rules; shards are written beside, then renamed."""

    folder: Path

    def shards(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def keys(self) -> set[bytes]:
        return {key.tobytes() for shard in self.shards() for key in load_file(shard)["keys"]}

    def add(self, keys: Sequence[bytes], features: Floats) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:24]
        beside = self.folder / f"{name}.partial"
        stored = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
        save_file({"keys": stored.copy(), "features": features}, beside)
        beside.replace(self.folder / f"{name}.safetensors")

    def read(self, wanted: Sequence[bytes]) -> Floats:
        """Features of texts in the order asked, shape (N, 3, D)."""
        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(wanted):
            places.setdefault(key, []).append(place)
        found: Floats | None = None
        for shard in self.shards():
            content = load_file(shard)
            if found is None:
                found = np.full((len(wanted), *content["features"].shape[1:]), np.nan, dtype=np.float32)
            for key, row in zip(content["keys"], content["features"], strict=True):
                for place in places.get(key.tobytes(), ()):
                    found[place] = row
        if found is None:
            return np.empty((0, 3, 0), dtype=np.float32)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFeatures:
    """Features of pairs in one order; each array of shape (N, D).

    Attributes:
        pooled_a, pooled_b: exactly what the head sees.
        response_a, response_b: mean over the response's tokens.
        prompt_a, prompt_b: mean over the tokens before it.
    """

    pair_id: npt.NDArray[np.int64]
    pooled_a: Floats
    pooled_b: Floats
    response_a: Floats
    response_b: Floats
    prompt_a: Floats
    prompt_b: Floats


def cache_for(loaded: Loaded, folder: Path) -> FeatureCache:
    """The cache of one backbone revision under one set of token rules."""
    named = json.dumps({"revision": loaded.backbone.revision, "layers": "last", **asdict(loaded.rules)}, sort_keys=True)
    return FeatureCache(folder / hashlib.sha256(named.encode()).hexdigest()[:24])


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) if folder.exists() else 0


def compute(loaded: Loaded, cache: FeatureCache, pairs: Sequence[tuple[int, Pair]]) -> Iterator[Progress]:
    """Compute what the cache lacks, each distinct text once; what is done survives a kill."""
    known = cache.keys()
    missing: dict[bytes, tuple[Pair, int]] = {}
    for _, pair in pairs:
        for side, key in enumerate(_keys(pair)):
            if key not in known:
                missing.setdefault(key, (pair, side))
    rows = _by_length(loaded, missing)
    yield Progress(what="computing features of texts", done=0, total=len(rows))
    for start in range(0, len(rows), SHARD_TEXTS):
        shard = rows[start : start + SHARD_TEXTS]
        made: list[Floats] = []
        for first in range(0, len(shard), BATCH_TEXTS):
            batch = shard[first : first + BATCH_TEXTS]
            made.append(_features(loaded, [row for _, row in batch]))
            yield Progress(what="computing features of texts", done=start + first + len(batch), total=len(rows))
        cache.add([key for key, _ in shard], np.concatenate(made))


def load(cache: FeatureCache, pairs: Sequence[tuple[int, Pair]]) -> PairFeatures:
    """Cached features of pairs, in their order; `compute` must have run to its end."""
    keys = [key for _, pair in pairs for key in _keys(pair)]
    read = cache.read(keys)
    a, b = read[0::2], read[1::2]
    return PairFeatures(
        pair_id=np.array([pair_id for pair_id, _ in pairs], dtype=np.int64),
        pooled_a=a[:, 0],
        pooled_b=b[:, 0],
        response_a=a[:, 1],
        response_b=b[:, 1],
        prompt_a=a[:, 2],
        prompt_b=b[:, 2],
    )


def _keys(pair: Pair) -> tuple[bytes, bytes]:
    # A pair is trimmed as one, so the key of a side names its partner too only where length could matter; hashing the
    # pair's own text keeps groups shared and is exact whenever nothing is trimmed.
    return _key(pair, pair.response_a), _key(pair, pair.response_b)


def _key(pair: Pair, response: str) -> bytes:
    return hashlib.sha256(f"{pair.prompt_hash}\n{response}".encode("utf-8", "surrogatepass")).digest()


def _by_length(loaded: Loaded, missing: dict[bytes, tuple[Pair, int]]) -> list[tuple[bytes, Encoded]]:
    rows = []
    for key, (pair, side) in missing.items():
        response = (pair.response_a, pair.response_b)[side]
        rows.append((key, encode(loaded.tokenizer, loaded.rules, pair.prompt, (response,))[0]))
    return sorted(rows, key=lambda row: -len(row[1].input_ids))


@torch.no_grad()
def _features(loaded: Loaded, rows: Sequence[Encoded]) -> Floats:
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
