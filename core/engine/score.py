"""Rewards of any pairs with a loaded model."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from core.engine.model import Loaded, batch_of
from core.engine.tokens import Tokens, encode, encode_pairs
from core.records import Message, Pair, Reward

BATCH_TEXTS = 32
_CHUNK_PAIRS = 500


def score(loaded: Loaded, pairs: Iterable[tuple[int, Pair]]) -> Iterator[Reward]:
    """Rewards of (id, pair), streamed. Batch mates and padding do not change a reward beyond rounding."""
    source = iter(pairs)
    while chunk := list(islice(source, _CHUNK_PAIRS)):
        rows = encode_pairs(loaded.tokenizer, loaded.rules, [pair for _, pair in chunk])
        values = rewards_of(loaded, [one for row in rows for one in row])
        for place, ((pair_id, _), row) in enumerate(zip(chunk, rows, strict=True)):
            yield Reward(
                pair_id=pair_id,
                reward_a=values[2 * place],
                reward_b=values[2 * place + 1],
                trimmed=row[0].trimmed,
            )


def score_texts(loaded: Loaded, texts: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
    """Rewards of (prompt, response), in their order."""
    rows = [encode(loaded.tokenizer, loaded.rules, prompt, (response,))[0] for prompt, response in texts]
    return rewards_of(loaded, rows)


@torch.no_grad()
def rewards_of(loaded: Loaded, rows: Sequence[Tokens]) -> list[float]:
    """Rewards of encoded texts, in their order; computed in batches of like length."""
    loaded.model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids))
    values = [0.0] * len(rows)
    for start in range(0, len(order), BATCH_TEXTS):
        batch = order[start : start + BATCH_TEXTS]
        rewards = loaded.model(*batch_of(loaded, [rows[i] for i in batch]))
        for place, reward in zip(batch, rewards.tolist(), strict=True):
            values[place] = reward
    return values
