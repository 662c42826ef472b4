"""Which requests a run makes: pairs x orders x principles x repeats, each with a key, so that none is paid twice."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from core.judging import Constitution, LabelerConfig, Principle, PrincipleUse, Request, key_of
from core.labelers.prompt import template_hash
from core.records import Order, Pair


def plan(
    pairs: Iterable[tuple[int, Pair]], config: LabelerConfig, constitution: Constitution | None
) -> Iterator[tuple[int, Request]]:
    """Requests by pair id, all of a pair together, so that a run that stops leaves few pairs half asked."""
    asked_by = hash_of_config(config)
    for pair_id, pair in pairs:
        for principles in _principles(pair, config, constitution):
            for repeat in range(config.repeats):
                for order in _orders(pair, config):
                    key = key_of(labeler=asked_by, pair=pair, order=order, principles=principles, repeat=repeat)
                    seed = _drawn(config.seed, key)
                    yield (
                        pair_id,
                        Request(key=key, pair=pair, order=order, principles=principles, repeat=repeat, seed=seed),
                    )


def num_requests_per_pair(config: LabelerConfig, constitution: Constitution | None) -> int:
    separate = config.principles is PrincipleUse.EACH and constitution is not None and config.follows_principles
    principles = len(constitution.principles) if separate and constitution is not None else 1
    return principles * config.repeats * (2 if config.both_orders else 1)


def version_of(config: LabelerConfig, constitution: Constitution | None) -> str:
    """Names a labeler version: its config, the words around a pair, and its constitution. 16 hex digits."""
    follows = constitution is not None and config.follows_principles
    parts = [hash_of_config(config), constitution.hash if follows and constitution is not None else ""]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def hash_of_config(config: LabelerConfig) -> str:
    """Of what answers depend on; which variable holds a key and how much a model can read are no part of it."""
    settings = dataclasses.asdict(config)
    for name in ("key_variable", "context_tokens"):
        del settings[name]
    template = template_hash(config.mode) if config.follows_principles else ""
    return hashlib.sha256(json.dumps([settings, template], sort_keys=True).encode()).hexdigest()


def _principles(
    pair: Pair, config: LabelerConfig, constitution: Constitution | None
) -> Sequence[tuple[Principle, ...]]:
    if constitution is None or not config.follows_principles:
        return [()]
    if config.principles is PrincipleUse.ALL:
        return [constitution.principles]
    if config.principles is PrincipleUse.EACH:
        return [(one,) for one in constitution.principles]
    # The one with the highest draw: adding or changing one principle moves only the pairs that it wins or loses.
    return [(max(constitution.principles, key=lambda one: _drawn(config.seed, f"{pair.hash} {one.id}")),)]


def _orders(pair: Pair, config: LabelerConfig) -> Sequence[Order]:
    if config.both_orders:
        return (Order.AB, Order.BA)
    return (Order.AB if _drawn(config.seed, pair.hash) % 2 else Order.BA,)


def _drawn(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n{text}".encode()).digest()[:4], "big") >> 1
