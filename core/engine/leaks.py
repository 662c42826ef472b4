"""Training pairs whose prompt or response is also held out are left out: they would teach the test."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.records import Candidate, Part, SnapshotPair

LEAST_WORDS = 8
MOST_PROMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Ids of training pairs to leave out, and responses that stand under too many prompts to link anything."""

    pair_ids: frozenset[int]
    repeated_responses: tuple[str, ...]


def find_leaks(pairs: Sequence[SnapshotPair | Candidate]) -> Leaks:
    """A prompt in two parts, which only declared parts bring about, or a response of 8 or more words under two prompts.

    A response under more than 3 prompts is a stock phrase and links nothing.
    """
    hashes = [one.pair.prompt_hash for one in pairs]
    held_out_prompts = {digest for digest, one in zip(hashes, pairs, strict=True) if one.part is not Part.TRAIN}
    prompts: dict[str, set[str]] = defaultdict(set)
    held_out: set[str] = set()
    for digest, one in zip(hashes, pairs, strict=True):
        for response in _long(one):
            prompts[response].add(digest)
            if one.part is not Part.TRAIN:
                held_out.add(response)
    repeated = {response for response, under in prompts.items() if len(under) > MOST_PROMPTS}
    linking = held_out - repeated
    leaking = [
        one.pair_id
        for digest, one in zip(hashes, pairs, strict=True)
        if one.part is Part.TRAIN
        and (digest in held_out_prompts or any(response in linking for response in _long(one)))
    ]
    return Leaks(pair_ids=frozenset(leaking), repeated_responses=tuple(sorted(repeated)))


def _long(one: SnapshotPair | Candidate) -> Iterable[str]:
    return (text for text in (one.pair.response_a, one.pair.response_b) if len(text.split()) >= LEAST_WORDS)
