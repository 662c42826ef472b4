"""A labeler's report card on one dataset: joins the store and `core.measure`, once."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.measure.agreement import Agreement, agreement
from core.measure.json_ready import json_ready
from core.measure.report_card import ReportCard, has_list, preference_of, report_card
from core.records import Kind
from db import connect, datasets, labelers, labels, pairs, requests
from ui.processes import Store

MOST_OTHERS = 12  # labelers that one is compared with, the most frequent first
RULES = ("longest", "shortest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A labeler by itself, beside rules, beside other labelers (people first), and what its answers took."""

    dataset: str
    labeler: str
    card: ReportCard
    rules: Mapping[str, Agreement]
    others: Mapping[str, Agreement]
    effort: requests.Effort | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; an absent number is None."""
        return {
            "dataset": self.dataset,
            "labeler": self.labeler,
            **self.card.to_dict(),
            "rules": json_ready({name: dataclasses.asdict(one) for name, one in self.rules.items()}),
            "others": json_ready({name: dataclasses.asdict(one) for name, one in self.others.items()}),
            "effort": None if self.effort is None else dataclasses.asdict(self.effort),
        }


def report(store: Store, *, dataset: str, labeler: str | None) -> Report:
    """Measure a labeler (or `people`, or `ai`); left out: the dataset's only one."""
    with connect.read(store.engine) as conn:
        found = datasets.get(conn, dataset)
        name = labelers.resolve(conn, found.id, labeler)
        mine = labels.frame(conn, labeler=name, dataset_id=found.id)
        votes = labels.votes_frame(conn, labeler=name, dataset_id=found.id)
        facts = _pairs(conn, found.id, mine["pair_id"].tolist())
        others = {
            other: labels.frame(conn, labeler=other, dataset_id=found.id) for other in _others(conn, found.id, name)
        }
        effort = requests.effort(conn, name)
    said = mine.assign(said=preference_of(mine["p_a"])).merge(facts, on="pair_id")
    return Report(
        dataset=dataset,
        labeler=name,
        card=report_card(votes, mine, facts),
        rules={rule: _with_rule(said, rule) for rule in RULES},
        others={other: _with_other(said, frame) for other, frame in others.items()},
        effort=effort if effort.num_attempts else None,
    )


def _others(conn: connect.Connection, dataset_id: int, name: str) -> list[str]:
    """People's labels first: agreement with them says most."""
    there = [one for one in labelers.summaries(conn, dataset_id) if one.name != name]
    people = [labelers.PEOPLE] if any(one.kind is Kind.HUMAN for one in there) and name != labelers.PEOPLE else []
    return list(dict.fromkeys([*people, *(one.name for one in there)]))[:MOST_OTHERS]


def _pairs(conn: connect.Connection, dataset_id: int, pair_ids: list[int]) -> pd.DataFrame:
    members = {member.pair_id: member for member in pairs.members(conn, dataset_id)}
    rows = [
        {
            "pair_id": pair_id,
            "prompt": members[pair_id].prompt_hash,
            "length_a": members[pair_id].length_a,
            "length_b": members[pair_id].length_b,
            "list_a": has_list(pair.response_a),
            "list_b": has_list(pair.response_b),
        }
        for pair_id, pair in pairs.texts(conn, pair_ids)
        if pair_id in members
    ]
    columns = ["pair_id", "prompt", "length_a", "length_b", "list_a", "list_b"]
    return pd.DataFrame(rows, columns=columns)


def _with_rule(said: pd.DataFrame, rule: str) -> Agreement:
    longer = (said["length_a"] - said["length_b"]) * (1 if rule == "longest" else -1)
    preferred = np.where(longer > 0, "a", np.where(longer < 0, "b", "tie"))
    return agreement(said["said"].tolist(), preferred.tolist(), prompt=said["prompt"].tolist())


def _with_other(said: pd.DataFrame, other: pd.DataFrame) -> Agreement:
    both = said.merge(other.assign(also=preference_of(other["p_a"]))[["pair_id", "also"]], on="pair_id")
    return agreement(both["said"].tolist(), both["also"].tolist(), prompt=both["prompt"].tolist())
