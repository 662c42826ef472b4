"""Each fault is planted in pairs and found; clean pairs pass."""

import pandas as pd
import pytest

from core.findings import Level
from core.measure import checks
from core.records import Candidate, Consistency, Message, Pair, Part, Role

NO_VOTES = pd.DataFrame({"pair_id": [], "a_first": [], "p_a": []})


def pair(number: int, *, prompt: str = "", a: str = "yes, it is", b: str = "no, it isn't") -> Pair:
    return Pair((Message(Role.USER, prompt or f"prompt {number}"),), f"{a} {number}", f"{b} {number}")


def candidate(number: int, *, p_a: float | None = None, of: Pair | None = None, **facts: object) -> Candidate:
    """Without p_a, a is better in every other pair, and the longer response in every other pair of these."""
    if of is None:
        of = pair(number, a="yes" if number % 4 < 2 else "yes, it is indeed")
    values = {"part": Part.TRAIN, "swapped": False, "p_tie": 0.0, "consistency": Consistency.SINGLE, **facts}
    return Candidate(pair_id=number, pair=of, p_a=float(number % 2) if p_a is None else p_a, **values)


def clean(count: int = 200) -> list[Candidate]:
    return [candidate(number) for number in range(count)]


def test_clean_pairs_pass_every_check():
    found = checks.examine_pairs(clean(), NO_VOTES, num_unlabeled=0)

    assert {one.level for one in found} == {Level.PASS}, found
    names = ["labels", "ties", "conflicts", "duplicates", "file_position", "shown_position", "longer"]
    assert [one.check for one in found] == names
    assert all(one.sentence.endswith(".") and not one.what_to_do for one in found)


class TestLabels:
    def test_none_fails(self):
        found = checks.labels([], num_unlabeled=7)

        assert found.level is Level.FAIL
        assert found.numbers == {"labeled": 0, "unlabeled": 7}

    def test_many_pairs_without_one_are_warned_of(self):
        assert checks.labels(clean(70), num_unlabeled=30).level is Level.WARN
        assert checks.labels(clean(90), num_unlabeled=10).level is Level.PASS


class TestTies:
    def ties(self, count: int) -> list[Candidate]:
        return [candidate(1000 + number, p_a=0.5, p_tie=1.0) for number in range(count)]

    @pytest.mark.parametrize(("tied", "decided", "level"), [(5, 0, Level.FAIL), (6, 4, Level.WARN), (1, 9, Level.PASS)])
    def test_share_decides(self, tied, decided, level):
        found = checks.ties(self.ties(tied) + clean(decided))

        assert found.level is level
        assert found.numbers == {"ties": tied}

    @pytest.mark.parametrize("check", [checks.longer, checks.file_position])
    def test_all_ties_leave_nothing_to_measure_and_no_number(self, check):
        assert check(self.ties(3)).numbers == {}


class TestConflicts:
    @pytest.mark.parametrize("how", [Consistency.ORDER_FLIPPED, Consistency.REPEAT_SPLIT])
    def test_votes_for_both_sides(self, how):
        planted = [candidate(1000 + number, p_a=0.5, consistency=how, subset="x") for number in range(5)]

        found = checks.conflicts(clean(95) + planted)

        assert found.level is Level.WARN
        assert found.numbers == {"votes_differ": 5, "copies_differ": 0}
        assert found.sentence.startswith("5 of 100 pairs (5.0 %)")
        assert found.slices[0].name == "subset x"

    def test_copies_with_opposite_labels(self):
        one, same = pair(1, prompt="Why?", a="Because", b="Never"), pair(1, prompt="why?", a="because ", b="never")
        flipped = Pair(same.prompt, same.response_b, same.response_a)

        # a of `one` and b of `flipped` are the same words: preferring a in both is A > B and B > A.
        found = checks.conflicts([candidate(1, of=one, p_a=1.0), candidate(2, of=flipped, p_a=1.0)])

        assert found.numbers == {"votes_differ": 0, "copies_differ": 2}
        assert checks.conflicts([candidate(1, of=one, p_a=1.0), candidate(2, of=flipped, p_a=0.0)]).numbers == {
            "votes_differ": 0,
            "copies_differ": 0,
        }

    def test_few_are_left_alone(self):
        found = checks.conflicts([*clean(199), candidate(999, p_a=0.5, consistency=Consistency.REPEAT_SPLIT)])

        assert found.level is Level.PASS
        assert found.numbers["votes_differ"] == 1


def test_pairs_that_differ_in_case_and_spaces_are_duplicates():
    copies = [candidate(1000 + n, of=pair(n, prompt=f"PROMPT  {n}", a="Yes", b="no, it  isn't")) for n in range(4)]
    originals = [candidate(n, of=pair(n, prompt=f"prompt {n}", a="yes", b="no, it isn't")) for n in range(4)]

    found = checks.duplicates([*originals, *copies])

    assert found.level is Level.WARN
    assert found.numbers == {"duplicates": 4}
    assert checks.duplicates(originals).level is Level.PASS


class TestFilePosition:
    def of(self, first: int, second: int) -> list[Candidate]:
        # The file's first response is the stored b of a swapped pair.
        mine = [candidate(n, p_a=0.0, swapped=True) for n in range(first)]
        return mine + [candidate(1000 + n, p_a=0.0, swapped=False) for n in range(second)]

    def test_imbalance_is_warned_of(self):
        found = checks.file_position(self.of(70, 30))

        assert found.level is Level.WARN
        assert (found.numbers["first"], found.numbers["decided"]) == (70, 100)

    @pytest.mark.parametrize(("first", "second"), [(52, 48), (100, 0), (6, 4)])
    def test_balance_triplets_and_what_chance_explains_pass(self, first, second):
        assert checks.file_position(self.of(first, second)).level is Level.PASS


class TestShownPosition:
    def votes(self, first_won: int, second_won: int) -> pd.DataFrame:
        total = first_won + second_won
        a_first = [n % 2 for n in range(total)]
        p_a = [shown if n < first_won else 1 - shown for n, shown in enumerate(a_first)]
        return pd.DataFrame({"pair_id": list(range(total)), "a_first": a_first, "p_a": p_a})

    def test_bias_towards_the_first_is_warned_of(self):
        found = checks.shown_position(clean(), self.votes(140, 60))

        assert found.level is Level.WARN
        assert found.numbers["accuracy"] == pytest.approx(0.7)

    def test_balance_passes(self):
        assert checks.shown_position(clean(), self.votes(100, 100)).level is Level.PASS

    def test_unknown_order_has_no_number(self):
        assert checks.shown_position(clean(), NO_VOTES).numbers == {}


class TestLonger:
    @pytest.mark.parametrize(("longer", "shorter", "level"), [(80, 20, Level.WARN), (20, 80, Level.WARN)])
    def test_length_that_decides_is_warned_of(self, longer, shorter, level):
        won = [candidate(n, of=pair(n, a="a much longer response", b="short"), p_a=1.0) for n in range(longer)]
        lost = [candidate(n + 500, of=pair(n + 500, a="short", b="long words"), p_a=1.0) for n in range(shorter)]

        found = checks.longer(won + lost)

        assert found.level is level
        assert found.numbers["accuracy"] == pytest.approx(longer / 100)

    def test_one_prompt_has_no_interval_and_no_verdict(self):
        alone = [candidate(n, of=pair(n, prompt="one", a="longer text", b="short"), p_a=1.0) for n in range(3)]

        found = checks.longer(alone)

        assert found.level is Level.PASS
        assert found.numbers == {"accuracy": 1.0, "low": None, "high": None}


def test_slices_name_part_subset_turns_and_length():
    turns = tuple(Message(Role.USER if n % 2 == 0 else Role.ASSISTANT, "x" * 200) for n in range(5))
    one = candidate(1, of=Pair(turns, "yes", "no"), subset="code", part=Part.VALID)

    # 5 turns of 200 characters and a response of 3: 1,003 characters.
    assert checks.slice_names(one) == ["subset code", "part valid", "5 turns or more", "500 to 2,000 characters"]
    assert checks.slice_names(candidate(2))[-2:] == ["1 turn", "under 500 characters"]
