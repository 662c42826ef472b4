"""Rewards of any pairs with a loaded model."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from core.engine.attention import Sharing, rewards_of_row, self_check, token_budget
from core.engine.layout import pack, units_to_score
from core.engine.model import Loaded, batch_of
from core.engine.tokens import Tokens, encode, encode_pairs
from core.records import Message, Pair, Reward

BATCH_TEXTS = 32
_CHUNK_PAIRS = 500


def score(loaded: Loaded, pairs: Iterable[tuple[int, Pair]]) -> Iterator[Reward]:
    """Rewards of (id, pair), streamed. Batch mates and padding do not change a reward beyond rounding.

    A prompt is computed once for all its responses where the model can; that is proven on the first pairs, and without
    the proof each text is computed alone.
    """
    source = iter(pairs)
    sharing: Sharing | None = None
    while chunk := list(islice(source, _CHUNK_PAIRS)):
        encoded = encode_pairs(loaded.tokenizer, loaded.rules, [pair for _, pair in chunk])
        rows = [side for sides in encoded for side in sides]
        groups = _by_prompt([pair.prompt_hash for _, pair in chunk for _ in range(2)], rows)
        if sharing is None:
            sharing = self_check(loaded, [[rows[place] for place in group] for group in groups])
        values = rewards_of(loaded, rows) if sharing.refused else _shared_rewards(loaded, rows, groups)
        for place, ((pair_id, _), (a, _)) in enumerate(zip(chunk, encoded, strict=True)):
            yield Reward(
                pair_id=pair_id,
                reward_a=values[2 * place],
                reward_b=values[2 * place + 1],
                trimmed=a.trimmed,
            )


def _by_prompt(prompts: Sequence[str], rows: Sequence[Tokens]) -> list[list[int]]:
    """Places of texts by prompt. A trimmed pair stands alone: its prompt lost its front, so it shares none."""
    groups: dict[str, list[int]] = {}
    for place, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        groups.setdefault(f"{prompt} {place // 2}" if row.trimmed else prompt, []).append(place)
    return list(groups.values())


@torch.no_grad()
def _shared_rewards(loaded: Loaded, rows: Sequence[Tokens], groups: Sequence[Sequence[int]]) -> list[float]:
    """Rewards of encoded texts, in their order, each prompt computed once."""
    loaded.model.eval()
    texts = [[rows[place] for place in group] for group in groups]
    budget = token_budget(loaded)
    values = [0.0] * len(rows)
    for row in pack(texts, units_to_score(texts, budget=budget), budget=budget):
        for member, reward in zip(row.members, rewards_of_row(loaded, row).tolist(), strict=True):
            values[groups[member.group][member.response]] = reward
    return values


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
