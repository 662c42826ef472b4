"""A snapshot becomes pairs of tokens to train and evaluate on; what is left out is counted."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from core.config import Overflow, Ties, TrainConfig
from core.engine.cache import Shards
from core.engine.leaks import find_leaks
from core.engine.model import Loaded
from core.engine.tokens import TokenPair, Tokens, encode_pairs
from core.errors import RunFailed
from core.records import Pair, Part, Progress, SnapshotPair

SHARD_PAIRS = 500  # what a killed run loses at most


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair:
    """A pair as tokens, with its target."""

    pair_id: int
    prompt_hash: str
    a: Tokens
    b: Tokens
    p_a: float
    p_tie: float
    weight: float

    @property
    def num_tokens(self) -> int:
        return len(self.a.input_ids) + len(self.b.input_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What became of a snapshot's pairs; the last four are of train and valid."""

    num_train: int
    num_valid: int
    num_test: int
    ties: int
    leaking: int
    repeated_responses: int
    trimmed: int
    dropped: int
    same_after_trimming: int
    ties_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Pairs ready to train and to evaluate on."""

    train: tuple[EncodedPair, ...]
    valid: tuple[EncodedPair, ...]
    counts: Counts


def tokenize(loaded: Loaded, cache: Shards, pairs: Sequence[Pair]) -> Iterator[Progress]:
    """Compute the tokens that the cache lacks, each distinct pair once."""
    known = cache.keys()
    missing = {key: pair for pair in pairs if (key := _key(pair)) not in known}
    keys, lacking = list(missing), list(missing.values())
    yield Progress(what="tokenizing pairs", done=0, total=len(lacking))
    for start in range(0, len(lacking), SHARD_PAIRS):
        made = encode_pairs(loaded.tokenizer, loaded.rules, lacking[start : start + SHARD_PAIRS])
        cache.add(keys[start : start + SHARD_PAIRS], _columns(made))
        yield Progress(what="tokenizing pairs", done=min(start + SHARD_PAIRS, len(lacking)), total=len(lacking))


def read_tokens(cache: Shards, pairs: Sequence[Pair]) -> list[TokenPair]:
    """Cached tokens of pairs, in their order; `tokenize` must have run to its end."""
    found: dict[int, TokenPair] = {}
    for match in cache.find([_key(pair) for pair in pairs]):
        ids, ends = match.columns["ids"], match.columns["lengths"].cumsum()
        starts, trimmed = match.columns["response_starts"], match.columns["trimmed"]
        for row, place in zip(match.rows.tolist(), match.places.tolist(), strict=True):
            a, b = (
                Tokens(
                    input_ids=tuple(ids[ends[side] - match.columns["lengths"][side] : ends[side]].tolist()),
                    response_start=int(starts[side]),
                    trimmed=bool(trimmed[row]),
                )
                for side in (2 * row, 2 * row + 1)
            )
            found[place] = (a, b)
    return [found[place] for place in range(len(pairs))]


def prepare(config: TrainConfig, pairs: Sequence[SnapshotPair], tokens: Sequence[TokenPair]) -> Prepared:
    """Leave out what must not be trained on, counted. Raises RunFailed if nothing is left to train on."""
    leaks = find_leaks(pairs)
    kept: dict[Part, list[EncodedPair]] = {part: [] for part in Part}
    counted = {"ties": 0, "trimmed": 0, "dropped": 0, "same_after_trimming": 0, "ties_left_out": 0}
    for one, (a, b) in zip(pairs, tokens, strict=True):
        counted["ties"] += one.is_tie
        if one.part is Part.TEST or one.pair_id in leaks.pair_ids:
            continue
        counted["trimmed"] += a.trimmed
        why = why_left_out(config, is_tie=one.is_tie, trimmed=a.trimmed, is_same=a.input_ids == b.input_ids)
        if why is None:
            kept[one.part].append(_encoded(one, a, b))
        else:
            counted[why] += 1
    if not kept[Part.TRAIN]:
        raise RunFailed(f"no pair of the train part is left to train on ({counted}, leaking {len(leaks.pair_ids)})")
    counts = Counts(
        num_train=len(kept[Part.TRAIN]),
        num_valid=len(kept[Part.VALID]),
        num_test=sum(one.part is Part.TEST for one in pairs),
        leaking=len(leaks.pair_ids),
        repeated_responses=len(leaks.repeated_responses),
        **counted,
    )
    return Prepared(train=tuple(kept[Part.TRAIN]), valid=tuple(kept[Part.VALID]), counts=counts)


def why_left_out(config: TrainConfig, *, is_tie: bool, trimmed: bool, is_same: bool) -> str | None:
    """Why a pair is not trained on, by the name of its count in `Counts`; None where it is.

    Args:
        is_same: both sides are the same tokens.
    """
    if is_tie and config.ties is Ties.DROP:
        return "ties_left_out"
    if trimmed and config.overflow is Overflow.DROP:
        return "dropped"
    return "same_after_trimming" if is_same else None


def write(prepared: Prepared, file: Path) -> None:
    """Write what another process trains on; `read` gives back equal values."""
    pairs = [*prepared.train, *prepared.valid]
    sides = [side for pair in pairs for side in (pair.a, pair.b)]
    columns = {
        "ids": np.concatenate([np.asarray(side.input_ids, dtype=np.int32) for side in sides]),
        "lengths": np.array([len(side.input_ids) for side in sides], dtype=np.int64),
        "response_starts": np.array([side.response_start for side in sides], dtype=np.int64),
        "trimmed": np.array([side.trimmed for side in sides], dtype=np.bool_),
        "pair_ids": np.array([pair.pair_id for pair in pairs], dtype=np.int64),
        "prompts": np.frombuffer(bytes.fromhex("".join(pair.prompt_hash for pair in pairs)), dtype=np.uint8),
        "targets": np.array([(pair.p_a, pair.p_tie, pair.weight) for pair in pairs], dtype=np.float64),
    }
    save_file(columns, file, metadata={"counts": json.dumps(asdict(prepared.counts))})


def read(file: Path) -> Prepared:
    with safe_open(file, framework="numpy") as content:
        counts = Counts(**json.loads(content.metadata()["counts"]))
        columns = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - a handle, not a dict
    ids = np.split(columns["ids"], columns["lengths"].cumsum()[:-1])
    facts = zip(ids, columns["response_starts"].tolist(), columns["trimmed"].tolist(), strict=True)
    sides = iter([Tokens(input_ids=tuple(some.tolist()), response_start=at, trimmed=cut) for some, at, cut in facts])
    prompts = columns["prompts"].reshape(len(columns["pair_ids"]), -1)
    pairs = tuple(
        EncodedPair(
            pair_id=pair_id,
            prompt_hash=prompt.tobytes().hex(),
            a=next(sides),
            b=next(sides),
            p_a=p_a,
            p_tie=p_tie,
            weight=weight,
        )
        for pair_id, prompt, (p_a, p_tie, weight) in zip(
            columns["pair_ids"].tolist(), prompts, columns["targets"].tolist(), strict=True
        )
    )
    return Prepared(train=pairs[: counts.num_train], valid=pairs[counts.num_train :], counts=counts)


def _encoded(one: SnapshotPair, a: Tokens, b: Tokens) -> EncodedPair:
    return EncodedPair(
        pair_id=one.pair_id,
        prompt_hash=one.pair.prompt_hash,
        a=a,
        b=b,
        p_a=one.p_a,
        p_tie=one.p_tie,
        weight=one.weight,
    )


def _key(pair: Pair) -> bytes:
    # Not the pair's own hash, which is the same for both orders of its responses.
    named = f"{pair.prompt_hash}\n{len(pair.response_a)}\n{pair.response_a}\n{pair.response_b}"
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).digest()


def _columns(made: Sequence[TokenPair]) -> dict[str, np.ndarray]:
    """Sides a and b alternate in `ids` (all of them in one row), `lengths` and `response_starts`."""
    sides = [side for pair in made for side in pair]
    return {
        "ids": np.concatenate([np.asarray(side.input_ids, dtype=np.int32) for side in sides]),
        "lengths": np.array([len(side.input_ids) for side in sides], dtype=np.int64),
        "response_starts": np.array([side.response_start for side in sides], dtype=np.int64),
        "trimmed": np.array([a.trimmed for a, _ in made], dtype=np.uint8),
    }
