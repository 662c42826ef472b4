from core.engine.leaks import LEAST_WORDS, find_leaks
from core.records import Pair, Part
from tests.core.engine import tiny

LONG = tiny.words(LEAST_WORDS, seed=1)


def at(pair_id, response, part, *, prompt=None):
    return tiny.snapshot_pair(
        pair_id, part=part, of=Pair(tiny.user(prompt or f"prompt {pair_id}"), response, f"other {pair_id}")
    )


def test_training_pair_whose_long_response_is_held_out_leaks():
    for part in (Part.VALID, Part.TEST):
        leaks = find_leaks([at(1, LONG, Part.TRAIN), at(2, LONG, part), at(3, LONG + " more", Part.TRAIN)])

        assert leaks.pair_ids == {1}  # never the held-out pair
        assert leaks.repeated_responses == ()


def test_response_of_seven_words_links_nothing():
    short = " ".join(LONG.split()[:-1])

    assert find_leaks([at(1, short, Part.TRAIN), at(2, short, Part.TEST)]).pair_ids == frozenset()


def test_response_shared_by_training_prompts_alone_does_not_leak():
    assert find_leaks([at(1, LONG, Part.TRAIN), at(2, LONG, Part.TRAIN)]).pair_ids == frozenset()


def test_response_under_more_than_three_prompts_is_a_stock_phrase():
    three = [at(number, LONG, Part.TRAIN) for number in (1, 2)] + [at(3, LONG, Part.TEST)]

    four = [*three, at(4, LONG, Part.TRAIN)]

    assert find_leaks(three).pair_ids == {1, 2}
    assert find_leaks(four).pair_ids == frozenset()
    assert find_leaks(four).repeated_responses == (LONG,)


def test_many_pairs_of_one_prompt_count_as_one_prompt():
    group = [at(number, LONG, Part.TRAIN, prompt="same") for number in range(5)]

    leaks = find_leaks([*group, at(9, LONG, Part.TEST)])

    assert leaks.pair_ids == {0, 1, 2, 3, 4}


def test_training_pair_whose_prompt_is_held_out_leaks():
    for part in (Part.VALID, Part.TEST):
        leaks = find_leaks([at(1, "short", Part.TRAIN, prompt="same"), at(2, "else", part, prompt="same")])

        assert leaks.pair_ids == {1}


def test_prompt_of_two_held_out_parts_leaks_nothing():
    leaks = find_leaks([at(1, "short", Part.VALID, prompt="same"), at(2, "else", Part.TEST, prompt="same")])

    assert leaks.pair_ids == frozenset()
