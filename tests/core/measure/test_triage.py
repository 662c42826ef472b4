import numpy as np
import pandas as pd
import pytest

from core.measure.triage import auroc, describe, precision_at, rank_by_doubt
from core.records import Bucket


def labels(count, *, flipped=0.1, seed=0):
    random = np.random.default_rng(seed)
    true = random.normal(scale=3.0, size=count)
    wrong = random.random(count) < flipped
    side = (true > 0) ^ wrong
    frame = pd.DataFrame(
        {
            "pair_id": np.arange(count),
            "side": np.where(side, "a", "b"),
            "p_a": side.astype(float),
            "p_tie": 0.0,
            "consistency": "single",
            "num_votes": 1,
            "margin": true + random.normal(scale=1.0, size=count),
            "margin_agree": 1.0,
            "fold": np.arange(count) % 5,
            "usable": True,
        }
    )
    return frame, wrong


def test_planted_errors_come_first():
    frame, wrong = labels(1000)

    ranked = rank_by_doubt(frame)

    is_wrong = wrong[ranked["pair_id"].to_numpy()]
    assert auroc(ranked["doubt"].to_numpy(), is_wrong) > 0.85
    assert is_wrong[:50].mean() > 0.8


def test_swapping_the_stored_order_changes_no_doubt():
    frame, _ = labels(300)
    mirrored = frame.assign(side=frame["side"].map({"a": "b", "b": "a"}), p_a=1 - frame["p_a"], margin=-frame["margin"])

    pd.testing.assert_series_equal(
        rank_by_doubt(frame).set_index("pair_id")["doubt"].sort_index(),
        rank_by_doubt(mirrored).set_index("pair_id")["doubt"].sort_index(),
    )


def test_a_flipped_labeler_is_doubted_more_than_a_consistent_one():
    frame, _ = labels(4)
    frame[["side", "p_a", "margin"]] = ["a", 1.0, 1.0]
    frame["consistency"] = ["consistent", "single", "order-flipped", "repeat-split"]

    doubt = rank_by_doubt(frame).set_index("pair_id")["doubt"]

    assert doubt[0] < doubt[1] < doubt[2] == doubt[3]


def test_a_pair_without_a_margin_has_the_labelers_evidence_alone():
    frame, _ = labels(100)
    frame.loc[7, "margin"] = np.nan

    row = rank_by_doubt(frame).set_index("pair_id").loc[7]

    assert row["doubt"] == pytest.approx(0.1)  # the prior of a single vote


def test_ties_and_unusable_pairs_stand_last_without_doubt():
    frame, _ = labels(100)
    frame["side"] = frame["side"].astype(object)
    frame.loc[3, ["side", "p_a", "p_tie"]] = [None, 0.5, 1.0]
    frame.loc[4, ["side", "p_a", "usable"]] = [None, np.nan, False]

    ranked = rank_by_doubt(frame)

    assert set(ranked["pair_id"].tail(2)) == {3, 4}
    assert ranked["doubt"].tail(2).isna().all()
    buckets = ranked.set_index("pair_id")["bucket"]
    assert (buckets[3], buckets[4]) == (Bucket.AMBIGUOUS, Bucket.UNUSABLE)


def test_a_sure_and_steady_model_against_the_label_is_a_label_error():
    frame, _ = labels(200, flipped=0.0)
    frame.loc[0, ["side", "p_a", "margin"]] = ["b", 0.0, 9.0]

    assert rank_by_doubt(frame).iloc[0][["pair_id", "bucket"]].tolist() == [0, Bucket.LABEL_ERROR]


def test_no_pairs_are_ranked_as_no_pairs():
    frame, _ = labels(1)

    assert len(rank_by_doubt(frame.iloc[:0])) == 0
    assert len(rank_by_doubt(frame)) == 1


def test_precision_at_k_counts_the_first_k():
    assert precision_at(["x", "y", "z"], frozenset({"x", "z"}), 2) == 0.5
    assert np.isnan(precision_at([], frozenset(), 5))


def test_the_evidence_is_said_in_words():
    row = {"side": "a", "p_model": 0.09, "consistency": "order-flipped", "usable": True}

    assert describe(row, a_name="left", b_name="right") == (
        "The labeler prefers left. A model that never saw this prompt gives 91 % to right. "
        "The labeler changed its mind when the order was changed."
    )


@pytest.mark.parametrize(
    ("changed", "bucket"),
    [
        ({"usable": False}, Bucket.UNUSABLE),
        ({"side": None, "p_a": float("nan")}, Bucket.UNUSABLE),
        ({"consistency": "order-flipped"}, Bucket.INCONSISTENT),
        ({"consistency": "repeat-split"}, Bucket.INCONSISTENT),
        ({"side": None, "p_a": 0.5, "p_tie": 1.0}, Bucket.AMBIGUOUS),
        ({"p_tie": 0.5}, Bucket.AMBIGUOUS),
        ({"p_a": 0.6, "margin": 0.1}, Bucket.AMBIGUOUS),
        ({"margin": float("nan")}, Bucket.AGREE),
        ({"margin": 3.0}, Bucket.AGREE),
        ({"margin": -3.0}, Bucket.LABEL_ERROR),
        ({"margin": -3.0, "margin_agree": 0.5}, Bucket.CONTESTED),
        ({"margin": -3.0, "margin_agree": 0.5, "consistency": "consistent"}, Bucket.MODEL_ERROR),
        ({"margin": -0.5, "p_a": 0.8, "consistency": "consistent"}, Bucket.CONTESTED),
    ],
)
def test_first_rule_that_holds_names_the_bucket(changed, bucket):
    frame, _ = labels(1)
    row = {"side": "a", "p_a": 1.0, "margin": -0.5, "consistency": "single", **changed}
    frame = frame.assign(**{key: pd.Series([value], dtype=object) for key, value in row.items()})

    # One pair is too few to fit a temperature, so its margin is taken as it is.
    assert rank_by_doubt(frame)["bucket"].tolist() == [bucket]
