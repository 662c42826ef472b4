"""What a frozen backbone and its tokenizer make of texts, computed once and kept on disk.

Rows lie in shards under the hash of what they were computed from; a shard is written beside, then renamed, so that a
killed run loses at most the one it was writing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from core.engine.model import Loaded

KEY_BYTES = 32  # a SHA-256


@dataclass(frozen=True, slots=True)
class Match:
    """The wanted rows that one shard holds: row `rows[i]` of each column is what was asked at `places[i]`."""

    columns: Mapping[str, npt.NDArray[Any]]
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shards:
    """A folder of safetensors files, each with `keys` of shape (N, 32) beside its columns."""

    folder: Path

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def keys(self) -> set[bytes]:
        return {key.tobytes() for file in self.files() for key in _keys_in(file)}

    def add(self, keys: Sequence[bytes], columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:24]
        stored = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)
        beside = self.folder / f"{name}.partial"
        save_file({"keys": stored.copy(), **columns}, beside)
        beside.replace(self.folder / f"{name}.safetensors")

    def find(self, wanted: Sequence[bytes]) -> Iterator[Match]:
        """The wanted rows, shard by shard; a key that is wanted twice is found twice, a missing one not at all."""
        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(wanted):
            places.setdefault(key, []).append(place)
        for file in self.files():
            found = [(row, at) for row, key in enumerate(_keys_in(file)) for at in places.pop(key.tobytes(), ())]
            if found:
                rows, at = np.array(found, dtype=np.int64).T
                yield Match(load_file(file), rows, at)


@dataclass(frozen=True, slots=True)
class Cache:
    """Tokens and features of one backbone revision under one set of token rules."""

    tokens: Shards
    features: Shards


def cache_for(loaded: Loaded, folder: Path) -> Cache:
    """The cache of this backbone and these rules; another revision or rule has another."""
    named = json.dumps({"revision": loaded.backbone.revision, "layers": "last", **asdict(loaded.rules)}, sort_keys=True)
    own = folder / hashlib.sha256(named.encode()).hexdigest()[:24]
    return Cache(tokens=Shards(own / "tokens"), features=Shards(own / "features"))


def _keys_in(file: Path) -> npt.NDArray[np.uint8]:
    with safe_open(file, framework="numpy") as content:
        keys: npt.NDArray[np.uint8] = content.get_tensor("keys")
    return keys
