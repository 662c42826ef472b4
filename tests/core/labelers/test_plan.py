from dataclasses import replace

import pytest

from core.judging import Constitution, LabelerConfig, Principle, PrincipleUse, Source
from core.labelers.plan import num_requests_per_pair, plan, version_of
from core.records import Order
from tests.core.labelers.asked import HELPFUL, SHORT, pairs

MINE = Constitution(name="mine", principles=(HELPFUL, SHORT))
JUDGE = LabelerConfig(source=Source.OPENAI, model="some-model")


@pytest.mark.parametrize("use", list(PrincipleUse))
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("both_orders", [True, False])
def test_a_plan_has_as_many_requests_as_it_says(use, repeats, both_orders):
    config = replace(JUDGE, principles=use, repeats=repeats, both_orders=both_orders)

    requests = [request for _, request in plan(pairs(7), config, MINE)]

    assert len(requests) == 7 * num_requests_per_pair(config, MINE)
    assert len({request.key for request in requests}) == len(requests)


def test_both_orders_are_asked_and_one_order_is_drawn_fairly():
    both = [request.order for _, request in plan(pairs(3), JUDGE, MINE)]
    one = [request.order for _, request in plan(pairs(400), replace(JUDGE, both_orders=False), MINE)]

    assert both == [Order.AB, Order.BA] * 3
    assert 0.4 < one.count(Order.AB) / 400 < 0.6


def test_a_plan_is_the_same_again():
    assert list(plan(pairs(5), JUDGE, MINE)) == list(plan(pairs(5), JUDGE, MINE))


def test_a_changed_principle_asks_only_about_itself_again():
    config = replace(JUDGE, principles=PrincipleUse.EACH)
    edited = replace(MINE, principles=(HELPFUL, Principle(id="short", text="Prefer fewer words.")))

    before, after = (
        {request.key: request.principles for _, request in plan(pairs(5), config, one)} for one in (MINE, edited)
    )

    again = [principles for key, principles in after.items() if key not in before]
    assert again == [(edited.principles[1],)] * 10  # 5 pairs in both orders
    assert version_of(config, MINE) != version_of(config, edited)


def test_a_new_principle_moves_only_the_pairs_that_draw_it():
    config = replace(JUDGE, principles=PrincipleUse.SAMPLED)
    longer = replace(MINE, principles=(*MINE.principles, Principle(id="new", text="Prefer what is new.")))

    before, after = (
        {request.key: request.principles[0].id for _, request in plan(pairs(90), config, one)} for one in (MINE, longer)
    )

    assert {principle for key, principle in after.items() if key not in before} == {"new"}
    assert {"helpful", "short"} == set(before.values())


def test_a_rule_follows_no_principles():
    rule = LabelerConfig(source=Source.RULE, model="longest")

    assert [request.principles for _, request in plan(pairs(1), rule, MINE)] == [(), ()]
    assert version_of(rule, MINE) == version_of(rule, None)


def test_where_the_key_is_makes_no_other_version():
    assert version_of(JUDGE, MINE) == version_of(replace(JUDGE, key_variable="MY_KEY"), MINE)
    assert version_of(JUDGE, MINE) != version_of(replace(JUDGE, temperature=1.0), MINE)
