import math
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.engine.layout import LabeledPair, Unit, pack, shared_prefix, steps, units_to_score, units_to_train
from core.engine.tokens import Encoded
from core.errors import BadConfig

# Few different ids, so that texts often share a beginning, are equal or begin with one another.
TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)
GROUPS = st.lists(st.lists(TEXTS, min_size=1, max_size=6), min_size=1, max_size=6)
BUDGETS = st.integers(1, 60)
# No deadline: what a test shows does not depend on how busy the machine is.
properties = settings(max_examples=40, deadline=None)


def group(*texts):
    return [Encoded(text="", input_ids=tuple(ids), response_start=0, trimmed=False) for ids in texts]


def groups_of(texts):
    return [group(*one) for one in texts]


def every_pair(groups):
    return [[(a, b) for a in range(len(one)) for b in range(a)] for one in groups]


def text_of(row, place):
    """The tokens that a token sees, read from the row as a person would: its block's prefix, then its own segment."""
    start, _ = next(block for block in row.blocks if block[0] <= place < block[1])
    seen = [
        i
        for i in range(start, place + 1)
        if row.segment_ids[i] == row.segment_ids[place] or row.segment_ids[i] == row.prefix_ids[place]
    ]
    return tuple(row.input_ids[i] for i in seen), [row.position_ids[i] for i in seen]


def labeled(rows):
    """(group, index) of every labeled pair in rows, counted."""
    return Counter((pair.group, pair.index) for row in rows for pair in row.pairs)


class TestSharedPrefix:
    @pytest.mark.parametrize(
        ("texts", "length"),
        [
            ([(1, 2, 3), (1, 2, 4)], 2),
            ([(1, 2, 3), (4, 2, 3)], 0),
            ([(1, 2, 3, 5), (1, 2, 4, 5), (1, 9)], 1),
            # What is pooled stays a response's own, even where one text begins with the other.
            ([(1, 2), (1, 2, 3)], 1),
            ([(1,), (1, 2)], 0),
            # One text, however often: nothing to share.
            ([(1, 2, 3)], 0),
            ([(1, 2, 3), (1, 2, 3)], 0),
        ],
    )
    def test_is_the_longest_common_beginning_that_leaves_each_its_last_token(self, texts, length):
        assert shared_prefix(texts) == length

    @properties
    @given(st.lists(TEXTS, min_size=2, max_size=6))
    def test_is_as_long_as_it_can_be(self, texts):
        length = shared_prefix(texts)

        begins_alike = len({one[:length] for one in texts}) == 1
        longer_is_not = len({one[: length + 1] for one in texts}) > 1
        leaves_none = length + 1 >= min(map(len, texts))
        assert len(set(texts)) == 1 or (begins_alike and (longer_is_not or leaves_none))


class TestPack:
    def test_a_prompt_stands_once_and_its_responses_go_on_from_it(self):
        groups = [group((1, 2, 3, 4), (1, 2, 5)), group((7, 8))]

        (row,) = pack(groups, units_to_score(groups, budget=10), budget=10)

        assert row.input_ids == (1, 2, 3, 4, 5, 7, 8)
        assert row.position_ids == (0, 1, 2, 3, 2, 0, 1)
        assert [member.pooled for member in row.members] == [3, 4, 6]
        assert row.blocks == ((0, 5), (5, 7))
        assert row.num_plain_tokens == 4 + 3 + 2

    def test_equal_responses_are_computed_once_and_all_have_their_reward(self):
        groups = [group((1, 2, 3), (1, 2, 3), (1, 4))]

        (row,) = pack(groups, units_to_score(groups, budget=10), budget=10)

        assert row.input_ids == (1, 2, 3, 4)
        assert [(member.response, member.pooled) for member in row.members] == [(0, 2), (1, 2), (2, 3)]

    def test_a_unit_larger_than_the_budget_has_a_row_of_its_own(self):
        groups = [group((1,) * 9), group((2, 2)), group((3, 3))]

        rows = pack(groups, units_to_score(groups, budget=4), budget=4)

        assert [row.input_ids for row in rows] == [(1,) * 9, (2, 2, 3, 3)]

    def test_the_largest_goes_first_and_small_ones_fill_what_is_left(self):
        groups = [group((1,) * size) for size in (2, 6, 4, 8)]

        rows = pack(groups, units_to_score(groups, budget=10), budget=10)

        assert [row.num_tokens for row in rows] == [10, 10]

    @properties
    @given(GROUPS, BUDGETS)
    def test_every_response_stands_once_and_sees_its_own_text_at_its_own_positions(self, texts, budget):
        groups = groups_of(texts)

        rows = pack(groups, units_to_score(groups, budget=budget), budget=budget)

        found = Counter((member.group, member.response) for row in rows for member in row.members)
        assert found == {(i, j): 1 for i, one in enumerate(groups) for j in range(len(one))}
        for row in rows:
            for member in row.members:
                expected = groups[member.group][member.response].input_ids
                assert text_of(row, member.pooled) == (expected, list(range(len(expected))))

    @properties
    @given(GROUPS, BUDGETS)
    def test_a_row_is_over_the_budget_only_for_a_single_text(self, texts, budget):
        groups = groups_of(texts)

        rows = pack(groups, units_to_score(groups, budget=budget), budget=budget)

        for row in rows:
            distinct = {groups[member.group][member.response].input_ids for member in row.members}
            assert row.num_tokens <= budget or len(distinct) == 1

    @properties
    @given(GROUPS, BUDGETS)
    def test_a_row_computes_no_token_that_nobody_sees_and_never_more_than_plain_texts(self, texts, budget):
        groups = groups_of(texts)

        for row in pack(groups, units_to_score(groups, budget=budget), budget=budget):
            assert row.num_tokens <= row.num_plain_tokens
            assert len(row.position_ids) == len(row.segment_ids) == len(row.prefix_ids) == row.num_tokens
            assert row.blocks[0][0] == 0
            assert row.blocks[-1][1] == row.num_tokens
            assert row.longest == max(len(groups[one.group][one.response].input_ids) for one in row.members)

    def test_no_units_are_no_rows(self):
        assert pack([], [], budget=10) == []


class TestUnitsToTrain:
    @properties
    @given(GROUPS, BUDGETS, st.integers(1, 9), st.integers(0, 3))
    # A first pair that shares more than the group does must not let in a third response for which there is no room.
    @example([[(0,), (0, 0), (0, 0, 0, 0)]], 6, 2, 0)
    def test_every_labeled_pair_is_formed_once_with_both_its_responses(self, texts, budget, max_pairs, seed):
        groups = groups_of(texts)
        pairs = every_pair(groups)

        units = units_to_train(groups, pairs, budget=budget, max_pairs=max_pairs, seed=seed)
        rows = pack(groups, units, budget=budget)

        assert labeled(rows) == {(i, j): 1 for i, some in enumerate(pairs) for j in range(len(some))}
        for row in rows:
            for pair in row.pairs:
                a, b = row.members[pair.a], row.members[pair.b]
                assert (a.group, b.group) == (pair.group, pair.group)
                assert (a.response, b.response) == pairs[pair.group][pair.index]
            assert row.num_tokens <= budget or len(row.pairs) == 1 or _one_text_or_pair(groups, row)
        assert max((len(unit.pairs) for unit in units), default=0) <= max_pairs

    def test_a_group_that_fits_stays_whole(self):
        groups = [group((1, 2), (1, 3), (1, 4))]

        (unit,) = units_to_train(groups, every_pair(groups), budget=4, max_pairs=3, seed=0)

        assert unit.responses == (0, 1, 2)
        assert len(unit.pairs) == 3

    def test_a_large_group_is_cut_into_parts_that_hold_most_of_their_pairs(self):
        # 12 responses of 10 tokens after a prompt of 20, all 66 pairs labeled, rows of 100 tokens: 8 responses fit.
        groups = [group(*((0,) * 20 + (1 + i,) * 10 for i in range(12)))]

        units = units_to_train(groups, every_pair(groups), budget=100, max_pairs=1000, seed=0)

        assert max(len(unit.responses) for unit in units) == 8
        assert max(len(unit.pairs) for unit in units) == 8 * 7 // 2
        # Pair by pair it would be 66 rows of 40 tokens.
        assert sum(row.num_tokens for row in pack(groups, units, budget=100)) < 66 * 40 / 4

    def test_parts_depend_on_the_seed_alone(self):
        groups = [group(*((0,) * 5 + (1 + i,) * 10 for i in range(12)))]
        pairs = every_pair(groups)

        first, again, other = (units_to_train(groups, pairs, budget=50, max_pairs=9, seed=seed) for seed in (1, 1, 2))

        assert first == again
        assert first != other

    def test_responses_without_a_labeled_pair_are_not_computed(self):
        groups = [group((1, 2), (1, 3), (1, 4)), group((5, 6), (5, 7))]

        (unit,) = units_to_train(groups, [[(2, 0)], []], budget=100, max_pairs=8, seed=0)

        assert unit == Unit(group=0, responses=(0, 2), pairs=(LabeledPair(index=0, a=2, b=0),))

    def test_no_pairs_a_unit_is_refused(self):
        with pytest.raises(BadConfig, match="max_pairs must be at least 1, got 0"):
            units_to_train([], [], budget=10, max_pairs=0, seed=0)


def _one_text_or_pair(groups, row):
    """Equal pairs of two texts, which no cut makes smaller."""
    return len({groups[one.group][one.response].input_ids for one in row.members}) <= 2


class TestSteps:
    @properties
    @given(GROUPS, st.integers(1, 9), st.integers(0, 3))
    def test_every_step_but_the_last_has_its_full_number_of_pairs(self, texts, pairs_a_step, seed):
        groups = groups_of(texts)
        pairs = every_pair(groups)
        units = units_to_train(groups, pairs, budget=1000, max_pairs=1000, seed=0)
        total = sum(map(len, pairs))

        made = steps(units, pairs_a_step=pairs_a_step, seed=seed)

        sizes = [sum(len(unit.pairs) for unit in step) for step in made]
        assert len(made) == math.ceil(total / pairs_a_step)
        assert sizes[:-1] == [pairs_a_step] * (len(sizes) - 1)
        found = Counter((unit.group, pair.index) for step in made for unit in step for pair in unit.pairs)
        assert found == {(i, j): 1 for i, some in enumerate(pairs) for j in range(len(some))}

    def test_order_depends_on_the_seed_alone(self):
        units = [Unit(group=i, responses=(0, 1), pairs=(LabeledPair(index=0, a=0, b=1),)) for i in range(20)]

        first, again, other = (steps(units, pairs_a_step=4, seed=seed) for seed in (1, 1, 2))

        assert first == again
        assert first != other
