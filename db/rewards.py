"""Rewards of runs, and out-of-fold margins of crossfit runs."""

from collections.abc import Sequence

import pandas as pd
from sqlalchemy import Connection, delete, insert, select

from core.records import Margin, Part, Reward
from db.schema import margins, memberships, pairs, rewards

_CHUNK = 5000


def add(conn: Connection, run_id: int, scored: Sequence[Reward]) -> None:
    """Store rewards; a pair scored again keeps the newer ones."""
    for start in range(0, len(scored), _CHUNK):
        chunk = scored[start : start + _CHUNK]
        ids = [reward.pair_id for reward in chunk]
        conn.execute(delete(rewards).where(rewards.c.run_id == run_id, rewards.c.pair_id.in_(ids)))
        values = [
            {
                "run_id": run_id,
                "pair_id": reward.pair_id,
                "reward_a": reward.reward_a,
                "reward_b": reward.reward_b,
                "trimmed": reward.trimmed,
            }
            for reward in chunk
        ]
        conn.execute(insert(rewards), values)


def frame(conn: Connection, run_id: int, *, dataset_id: int, part: Part | None = None) -> pd.DataFrame:
    """A run's rewards on a dataset: pair_id, reward_a, reward_b, trimmed, prompt_hash, length_a, length_b, swapped,
    subset, part; rewards in the stored order, lengths in characters.
    """  # noqa: D205 - one sentence with a list of columns
    statement = (
        select(
            rewards.c.pair_id,
            rewards.c.reward_a,
            rewards.c.reward_b,
            rewards.c.trimmed,
            pairs.c.prompt_hash,
            pairs.c.length_a,
            pairs.c.length_b,
            memberships.c.swapped,
            memberships.c.subset,
            memberships.c.part,
        )
        .join(pairs, pairs.c.id == rewards.c.pair_id)
        .join(memberships, (memberships.c.pair_id == rewards.c.pair_id) & (memberships.c.dataset_id == dataset_id))
        .where(rewards.c.run_id == run_id)
    )
    if part is not None:
        statement = statement.where(memberships.c.part == part.value)
    found = conn.execute(statement)
    made = pd.DataFrame(found.all(), columns=list(found.keys()))
    made["prompt_hash"] = [bytes(digest).hex() for digest in made["prompt_hash"]]
    return made


def add_margins(conn: Connection, run_id: int, found: Sequence[Margin]) -> None:
    """Store what a crossfit run found, replacing what an earlier attempt of the same run left."""
    conn.execute(delete(margins).where(margins.c.run_id == run_id))
    for start in range(0, len(found), _CHUNK):
        values = [
            {
                "run_id": run_id,
                "pair_id": margin.pair_id,
                "repeat": margin.repeat,
                "epoch": margin.epoch,
                "fold": margin.fold,
                "margin": margin.margin,
            }
            for margin in found[start : start + _CHUNK]
        ]
        conn.execute(insert(margins), values)


def margins_of(conn: Connection, run_id: int) -> pd.DataFrame:
    """pair_id, repeat, epoch, fold, margin."""
    columns = [margins.c.pair_id, margins.c.repeat, margins.c.epoch, margins.c.fold, margins.c.margin]
    found = conn.execute(select(*columns).where(margins.c.run_id == run_id))
    return pd.DataFrame(found.all(), columns=[column.name for column in columns])
