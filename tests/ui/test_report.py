"""Report cards on real votes, recomputed from the file with pandas alone."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from core.formats import ReadOptions
from core.judging import LabelerConfig, Source
from ui import files, labeling, report
from ui.processes import open_store

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = {"llmbar_main": "ChatGPT/CoT", "llmfao": None}  # with a judge of each; None: its most frequent one


@pytest.fixture(scope="module", params=FILES)
def imported(request, tmp_path_factory):
    """A store with a file's votes, the file's own rows, and the judge to look at."""
    path = DATA / f"{request.param}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    store = open_store(str(tmp_path_factory.mktemp("real") / "store.db"))
    for _ in files.import_file(store, path, dataset="d", options=ReadOptions()):
        pass
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    votes = pd.DataFrame(
        [
            {
                "id": row["id"],
                "length": len(row["response_a"]) - len(row["response_b"]),
                "labeler": label["labeler"],
                "kind": label.get("kind", "ai"),
                "preference": label["preference"],
                "order": label.get("order"),
            }
            for row in rows
            for label in row["labels"]
        ]
    )
    judges = votes[votes["kind"] == "ai"]["labeler"]
    return store, votes, FILES[request.param] or judges.value_counts().index[0]


def preference(votes):
    """What votes on each pair add up to: the mean of a = 1, tie = 0 and b = -1, each order weighing the same."""
    signs = votes.assign(sign=votes["preference"].map({"a": 1.0, "tie": 0.0, "b": -1.0}))
    by_order = signs.groupby(["id", signs["order"].fillna("-")])["sign"].mean()
    return by_order.groupby("id").mean()


def test_flip_rate_is_that_of_the_file(imported):
    store, votes, judge = imported
    mine = votes[(votes["labeler"] == judge) & votes["order"].notna()]
    signs = mine.assign(sign=mine["preference"].map({"a": 1.0, "tie": 0.0, "b": -1.0}))
    both = signs.groupby(["id", "order"])["sign"].mean().unstack().dropna() if len(mine) else pd.DataFrame()

    position = report.report(store, dataset="d", labeler=judge).card.position

    if both.empty or set(both.columns) != {"ab", "ba"}:
        assert position is None  # the file does not say, or the judge was asked in one order
        return
    flipped = both["ab"].map(sign) != both["ba"].map(sign)
    assert position.num_pairs == len(both)
    assert position.flip_rate.value == pytest.approx(flipped.mean())


def sign(value):
    return (value > 0) - (value < 0)


def test_agreement_with_people_is_that_of_the_file(imported):
    store, votes, judge = imported
    mine = preference(votes[votes["labeler"] == judge])
    people = preference(votes[votes["kind"] == "human"])
    both = pd.DataFrame({"judge": mine, "people": people}).dropna()
    decided = both[(both["judge"] != 0) & (both["people"] != 0)]
    same = decided["judge"].map(sign) == decided["people"].map(sign)

    found = report.report(store, dataset="d", labeler=judge).others["people"]

    assert found.num_pairs == len(both)
    assert found.share_decided.value == pytest.approx(same.mean())


def test_preference_for_the_longer_is_that_of_the_file(imported):
    store, votes, judge = imported
    mine = preference(votes[votes["labeler"] == judge])
    length = votes.drop_duplicates("id").set_index("id")["length"].loc[mine.index]
    clear = (mine != 0) & (length.abs() > 30)
    longer = mine[clear].map(sign) == length[clear].map(sign)

    found = report.report(store, dataset="d", labeler=judge).card.prefers_longer

    assert found.value == pytest.approx(longer.mean())


def test_a_rule_that_was_asked_agrees_with_itself(tmp_path):
    store = open_store(str(tmp_path / "store.db"))
    rows = [{"prompt": f"q{i}", "response_a": "short", "response_b": "much longer " * (i + 1)} for i in range(30)]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in files.import_file(store, path, dataset="d", options=ReadOptions()):
        pass
    assert LabelerConfig(source=Source.RULE, model="longest").name == "rule:longest"
    label_here(store, "rule:longest")

    found = report.report(store, dataset="d", labeler=None)

    assert (found.labeler, found.card.num_pairs) == ("rule:longest", 30)
    assert found.rules["longest"].share.value == 1.0
    assert found.rules["shortest"].share.value == 0.0
    assert found.card.position.flip_rate.value == 0.0
    assert found.effort.by_status == {"ok": 60}
    json.dumps(found.to_dict(), allow_nan=False)


def label_here(store, labeler):
    """Label in this process."""
    from tests.ui.test_labeling import label  # noqa: PLC0415

    label(store, labeling.asked(dataset="d", labeler=labeler, settings={}))
