import pytest

from core.records import Margin, Part, Reward, RunKind, pair_of
from core.split import part_of
from db import connect, rewards, runs
from tests.db.made import dataset_id, load, pair_ids, some, triplet


@pytest.fixture
def run_id(engine):
    load(engine, some(12, subset="s"))
    with connect.write(engine) as conn:
        return runs.add(conn, kind=RunKind.SCORE, config={}, device="cpu")


def add(engine, run_id, scored):
    with connect.write(engine) as conn:
        rewards.add(conn, run_id, scored)


def frame(engine, run_id, name="d", **keywords):
    with connect.read(engine) as conn:
        return rewards.frame(conn, run_id, dataset_id=dataset_id(engine, name), **keywords)


def test_a_reward_comes_back_with_what_a_measure_asks_of_its_pair(engine, run_id):
    first = pair_ids(engine)[0]

    add(engine, run_id, [Reward(pair_id=first, reward_a=1.5, reward_b=-0.5, trimmed=True)])

    (row,) = frame(engine, run_id).itertuples()
    made = pair_of("prompt 1", "good 1", "bad 1")
    assert (row.pair_id, row.reward_a, row.reward_b, row.trimmed) == (first, 1.5, -0.5, True)
    assert (row.prompt_hash, row.swapped, row.subset) == (made.pair.prompt_hash, made.swapped, "s")
    assert (row.length_a, row.length_b) == (len(made.pair.response_a), len(made.pair.response_b))
    assert row.part == part_of(made.pair.prompt_hash).value


def test_scoring_again_keeps_the_newer_rewards_and_the_others(engine, run_id):
    first, second, third, *_ = pair_ids(engine)
    add(engine, run_id, [Reward(pair_id=first, reward_a=1, reward_b=0), Reward(pair_id=second, reward_a=2, reward_b=0)])

    add(engine, run_id, [Reward(pair_id=second, reward_a=5, reward_b=0), Reward(pair_id=third, reward_a=3, reward_b=0)])

    found = frame(engine, run_id)
    assert dict(zip(found["pair_id"], found["reward_a"], strict=True)) == {first: 1, second: 5, third: 3}


def test_rewards_are_of_one_run_one_dataset_and_one_part(engine, run_id):
    load(engine, [*some(2), triplet(3, "elsewhere", "x", "y")], dataset="e")
    both = sorted({*pair_ids(engine), *pair_ids(engine, "e")})
    add(engine, run_id, [Reward(pair_id=pair_id, reward_a=1, reward_b=0) for pair_id in both])
    with connect.write(engine) as conn:
        other = runs.add(conn, kind=RunKind.SCORE, config={}, device="cpu")

    assert set(frame(engine, run_id)["pair_id"]) == set(pair_ids(engine))
    assert set(frame(engine, run_id, "e")["pair_id"]) == set(pair_ids(engine, "e"))
    by_part = [frame(engine, run_id, part=part) for part in Part]
    assert sum(len(found) for found in by_part) == 12
    assert frame(engine, other).empty
    assert list(frame(engine, other).columns) == list(by_part[0].columns)


def test_many_rewards_are_stored_in_pieces(engine, run_id, monkeypatch):
    monkeypatch.setattr(rewards, "_CHUNK", 5)

    add(engine, run_id, [Reward(pair_id=i, reward_a=i, reward_b=0) for i in pair_ids(engine)])

    assert sorted(frame(engine, run_id)["reward_a"]) == sorted(pair_ids(engine))


def test_margins_of_a_run_replace_those_of_its_earlier_attempt(engine, run_id):
    first, second, *_ = pair_ids(engine)
    with connect.write(engine) as conn:
        rewards.add_margins(conn, run_id, [margin(first, 0.5), margin(second, 0.25)])

        rewards.add_margins(conn, run_id, [margin(first, -1.0), margin(first, -2.0, repeat=1)])

        found = rewards.margins_of(conn, run_id)
    assert list(found.columns) == ["pair_id", "repeat", "epoch", "fold", "margin"]
    assert sorted(found.itertuples(index=False, name=None)) == [(first, 0, 0, 2, -1.0), (first, 1, 0, 2, -2.0)]


def margin(pair_id, value, *, repeat=0):
    return Margin(pair_id=pair_id, fold=2, repeat=repeat, epoch=0, margin=value)


def test_a_run_without_margins_has_none(engine, run_id):
    with connect.read(engine) as conn:
        assert rewards.margins_of(conn, run_id).empty
