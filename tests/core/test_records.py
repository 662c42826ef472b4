import pytest

from core.errors import TiebreakError
from core.records import Kind, Message, Order, Preference, Role, Vote, messages_of, pair_of


def test_stored_order_does_not_depend_on_the_order_given():
    one, two = pair_of("p", "x", "y"), pair_of("p", "y", "x")

    assert one.pair == two.pair
    assert one.swapped is not two.swapped


def test_stored_order_favours_neither_the_first_given_nor_the_longer():
    pairs = [pair_of(f"prompt {i}", "short", "a much longer response") for i in range(400)]

    swapped = sum(made.swapped for made in pairs)

    assert 160 < swapped < 240  # binomial(400, .5): sd 10, so four sd


def test_pair_hash_is_of_the_unordered_responses():
    assert pair_of("p", "x", "y").pair.hash == pair_of("p", "y", "x").pair.hash
    assert pair_of("p", "x", "y").pair.hash != pair_of("q", "x", "y").pair.hash


def test_only_crlf_is_normalised():
    assert pair_of("p\r\n", "x\r\n", "y").pair.hash == pair_of("p\n", "x\n", "y").pair.hash
    assert pair_of("p", "x ", "y").pair.hash != pair_of("p", "x", "y").pair.hash


def test_a_string_prompt_is_one_user_message():
    assert messages_of("hello") == (Message(Role.USER, "hello"),)


def test_identical_responses_are_no_pair():
    with pytest.raises(TiebreakError, match="must differ"):
        pair_of("p", "same\r\n", "same\n")


def test_swapping_a_vote_twice_gives_it_back():
    vote = Vote(labeler="l", kind=Kind.AI, preference=Preference.A, p_a=0.75, order=Order.AB)

    assert vote.swapped() == Vote(labeler="l", kind=Kind.AI, preference=Preference.B, p_a=0.25, order=Order.BA)
    assert vote.swapped().swapped() == vote


def test_a_lone_surrogate_has_a_hash():
    assert len(pair_of("p", "\ud800", "y").pair.hash) == 64
