import pytest

from core.errors import BadConfig
from core.labelers.rules import RuleLabeler
from core.records import Message, Pair, Preference, Role

PAIR = Pair((Message(Role.USER, "Why?"),), "Because of the tides.", "Tides.")
SWAPPED = Pair(PAIR.prompt, PAIR.response_b, PAIR.response_a)


@pytest.mark.parametrize(
    ("rule", "keyword", "preference"),
    [
        ("longest", "", "a"),
        ("shortest", "", "b"),
        ("first", "", "a"),
        ("keyword", "BECAUSE", "a"),
        ("keyword", "tides", "tie"),
    ],
)
def test_rule_prefers_what_it_says(rule, keyword, preference):
    vote = RuleLabeler(rule=rule, keyword=keyword).label(PAIR)

    assert vote.preference.value == preference


@pytest.mark.parametrize("rule", ["longest", "shortest"])
def test_rule_about_the_texts_follows_them_when_they_swap(rule):
    labeler = RuleLabeler(rule=rule)

    assert labeler.label(PAIR).swapped().preference is labeler.label(SWAPPED).preference


def test_random_is_the_same_for_a_seed_and_balanced_over_pairs():
    pairs = [Pair((Message(Role.USER, f"Question {i}?"),), "x", "y") for i in range(400)]

    votes = [RuleLabeler(rule="random", seed=3).label(pair).preference for pair in pairs]

    assert votes == [RuleLabeler(rule="random", seed=3).label(pair).preference for pair in pairs]
    # 400 fair coins: 5 standard deviations are 50 heads.
    assert 150 < votes.count(Preference.A) < 250


@pytest.mark.parametrize(("rule", "keyword"), [("best", ""), ("keyword", ""), ("longest", "word")])
def test_wrong_rule_is_refused(rule, keyword):
    with pytest.raises(BadConfig, match="rule"):
        RuleLabeler(rule=rule, keyword=keyword)
