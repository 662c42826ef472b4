"""Which part a pair belongs to: by hash of its prompt, the same in every dataset and never moved."""

import hashlib

from core.records import Part

TRAIN_SHARE, VALID_SHARE = 0.8, 0.1


def part_of(prompt_hash: str, *, seed: int = 0) -> Part:
    """80 % train, 10 % valid, 10 % test; all pairs of a prompt land in one part."""
    digest = hashlib.sha256(f"{seed}\n{prompt_hash}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < TRAIN_SHARE:
        return Part.TRAIN
    return Part.VALID if place < TRAIN_SHARE + VALID_SHARE else Part.TEST
