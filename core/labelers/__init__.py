"""Who says which response is better."""

from typing import Protocol

from core.records import Pair, Vote


class Labeler(Protocol):
    """Anything that answers one pair with one vote."""

    @property
    def name(self) -> str:
        """Under which its votes stand in the store."""

    @property
    def config(self) -> dict[str, object]:
        """Everything that its answers depend on; hashed into its version."""

    def label(self, pair: Pair) -> Vote:
        """Its vote on one pair, in the pair's stored order."""
