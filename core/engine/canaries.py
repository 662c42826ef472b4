"""Texts that are published with the rewards they must have after a reload."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.engine.model import Loaded
from core.engine.score import rewards_of
from core.engine.tokens import Encoded, encode
from core.records import Message, Pair

LEAST_CANARIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    prompt: tuple[Message, ...]
    response: str
    row: Encoded

    def as_line(self, reward: float) -> dict[str, object]:
        return {
            "prompt": [{"role": m.role.value, "content": m.content} for m in self.prompt],
            "response": self.response,
            "text": self.row.text,
            "input_ids": list(self.row.input_ids),
            "reward": reward,
        }


def choose(loaded: Loaded, pairs: Sequence[Pair]) -> list[Canary]:
    """At least eight texts, the longest and a trimmed one among them."""
    texts = [(pair.prompt, response) for pair in pairs for response in (pair.response_a, pair.response_b)]
    by_length = sorted(texts, key=lambda text: len(text[1]) + sum(len(m.content) for m in text[0]))
    longest = by_length[-1]
    # Long enough to be trimmed whatever the backbone: every word is at least one token.
    overlong = ((*longest[0][:-1], Message(longest[0][-1].role, "word " * loaded.rules.max_tokens)), longest[1])
    # The rest are the shortest: they show as much, and both processes compute them while somebody waits.
    chosen = list(dict.fromkeys([longest, overlong, *by_length]))[:LEAST_CANARIES]
    while len(chosen) < LEAST_CANARIES:
        chosen.append((chosen[0][0], f"canary {len(chosen)}"))
    return [
        Canary(prompt=prompt, response=response, row=encode(loaded.tokenizer, loaded.rules, prompt, (response,))[0])
        for prompt, response in chosen
    ]


def rewards(loaded: Loaded, canaries: Sequence[Canary]) -> list[float]:
    """One by one, as no padding is cheapest here."""
    return [rewards_of(loaded, [one.row])[0] for one in canaries]
