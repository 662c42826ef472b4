from dataclasses import replace

import pytest

from core.engine.tokens import encode, render
from core.errors import BadConfig
from core.records import Message, Role
from tests.core.engine import tiny

EVERY = ["decoder", "chat_decoder", "padless_decoder", "encoder"]


@pytest.fixture(params=EVERY)
def loaded(request, load):
    return load(request.getfixturevalue(request.param))


def encoded(loaded, prompt, *responses, max_tokens=None):
    rules = loaded.rules if max_tokens is None else replace(loaded.rules, max_tokens=max_tokens)
    return encode(loaded.tokenizer, rules, prompt, responses)


def decoded(loaded, ids):
    return loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def conversation(*contents):
    roles = (Role.USER, Role.ASSISTANT)
    return tuple(Message(roles[place % 2], content) for place, content in enumerate(contents))


def test_text_without_a_template_is_turns_joined_by_blank_lines(load, decoder):
    prompt = conversation("red?", "blue.", "green?")

    text, start = render(load(decoder).tokenizer, prompt, "stone.")

    assert text == "user: red?\n\nassistant: blue.\n\nuser: green?\n\nassistant: stone."
    assert text[start:] == "stone."


@pytest.mark.parametrize("backbone", ["decoder", "chat_decoder"])
def test_one_bos_stands_first_and_one_eos_last(backbone, load, request):
    loaded = load(request.getfixturevalue(backbone))
    bos, eos = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id

    (made,) = encoded(loaded, tiny.user("red?"), "blue.")

    assert [place for place, one in enumerate(made.input_ids) if one == bos] == [0]
    assert made.input_ids[-1] == eos
    assert made.input_ids[-2] != eos


def test_chat_template_that_ends_in_eos_and_a_newline_is_cut_to_end_in_eos(load, chat_decoder):
    loaded = load(chat_decoder)

    (made,) = encoded(loaded, tiny.user("red?"), "blue.")

    assert made.text == "<s><|user|>\nred?</s>\n<|assistant|>\nblue.</s>"


def test_response_that_already_ends_in_eos_gets_no_second_one(load, decoder):
    loaded = load(decoder)

    (made,) = encoded(loaded, tiny.user("red?"), "blue.</s>")

    assert made.input_ids.count(loaded.tokenizer.eos_token_id) == 1


def test_encoder_gets_no_eos_of_ours(load, encoder):
    loaded = load(encoder)

    (made,) = encoded(loaded, tiny.user("red?"), "blue.")

    assert loaded.tokenizer.convert_ids_to_tokens([made.input_ids[0], made.input_ids[-1]]) == ["[CLS]", "[SEP]"]
    assert not loaded.rules.append_eos


def test_text_tokenizes_to_the_same_ids(loaded):
    (made,) = encoded(loaded, conversation("red blue?", "green.", "Stone?"), "river\n\ncloud 😀")

    own_bos = loaded.tokenizer.chat_template is None
    assert tuple(loaded.tokenizer(made.text, add_special_tokens=own_bos)["input_ids"]) == made.input_ids


@pytest.mark.parametrize("response", ["blue stone.", "assistant", "s", "red?"])
def test_response_starts_where_its_first_token_is(loaded, response):
    (made,) = encoded(loaded, tiny.user("red?"), response)

    behind = decoded(loaded, made.input_ids[made.response_start :]).replace(" ", "")
    assert behind == response.replace(" ", "")


def test_what_fits_exactly_is_not_trimmed(loaded):
    prompt, response = tiny.user("red blue green?"), "stone river."
    (whole,) = encoded(loaded, prompt, response)

    (fits,) = encoded(loaded, prompt, response, max_tokens=len(whole.input_ids))
    (cut,) = encoded(loaded, prompt, response, max_tokens=len(whole.input_ids) - 1)

    assert fits == whole
    assert cut.trimmed
    assert len(cut.input_ids) <= len(whole.input_ids) - 1


def test_prompt_loses_its_oldest_turns_first(loaded):
    newer = conversation("green stone?")
    prompt = (*conversation(tiny.words(30, seed=1), tiny.words(30, seed=2)), *newer)
    responses = ("river.", "cloud bread.")

    trimmed = encoded(loaded, prompt, *responses, max_tokens=40)

    assert [one.input_ids for one in trimmed] == [one.input_ids for one in encoded(loaded, newer, *responses)]
    assert all(one.trimmed for one in trimmed)


def test_turns_that_remain_never_begin_with_an_answer_to_a_turn_that_is_gone(loaded):
    prompt = conversation(tiny.words(40, seed=1), "blue.", "green stone?")

    (trimmed,) = encoded(loaded, prompt, "river.", max_tokens=40)

    assert trimmed.text == encoded(loaded, conversation("green stone?"), "river.")[0].text


def test_last_turn_loses_its_front_and_the_responses_stay_whole(loaded):
    text = tiny.words(120, seed=3) + " finally stone"
    responses = ("river cloud.", "bread " * 8 + "window.")

    a, b = encoded(loaded, tiny.user(text), *responses, max_tokens=48)

    assert a.trimmed
    assert b.trimmed
    for one, response in ((a, responses[0]), (b, responses[1])):
        assert one.text.removesuffix("</s>").endswith(response)
        assert "finally stone" in one.text
    kept_a, kept_b = (one.text.replace(r, "") for one, r in ((a, responses[0]), (b, responses[1])))
    assert kept_a == kept_b  # a difference in reward must not come from a difference in what was cut
    assert 44 <= len(b.input_ids) <= 48  # no more is cut than must be


def test_responses_too_long_alone_keep_the_same_number_of_tokens_from_their_starts(loaded):
    first, second = tiny.words(300, seed=4), tiny.words(400, seed=5)

    a, b = encoded(loaded, tiny.user("red?"), first, second, max_tokens=64)

    kept = [decoded(loaded, one.input_ids[one.response_start :]).strip() for one in (a, b)]
    assert first.startswith(kept[0])
    assert second.startswith(kept[1])
    numbers = {len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in kept}
    assert len(numbers) == 1
    assert 60 <= len(a.input_ids) <= 64  # most of the room goes to the responses


def test_short_response_beside_an_overlong_one_is_kept_whole(loaded):
    a, b = encoded(loaded, tiny.user("red?"), "blue.", tiny.words(300, seed=6), max_tokens=64)

    assert "blue." in a.text
    assert a.trimmed
    assert b.trimmed
    assert 60 <= len(b.input_ids) <= 64


def test_longer_in_tokens_decides_not_longer_in_characters(load, decoder):
    many_tokens, many_characters = "😀" * 40, "answer " * 30  # 4 bytes each and few merges; one token a word

    a, b = encoded(load(decoder), tiny.user("red?"), many_tokens, many_characters, max_tokens=80)

    assert 70 <= len(a.input_ids) <= 80
    assert "answer " * 29 in b.text


@pytest.mark.parametrize("max_tokens", [16, 17, 23, 40])
@pytest.mark.parametrize("lengths", [(1, 200), (200, 1), (200, 200), (5, 30)])
def test_no_text_is_ever_longer_than_max_tokens(load, decoder, max_tokens, lengths):
    loaded = load(decoder)
    prompt = conversation(tiny.words(lengths[0], seed=7), "😀" * lengths[1], "é " * lengths[0])

    made = encoded(loaded, prompt, tiny.words(lengths[0], seed=8), "😀é" * lengths[1], max_tokens=max_tokens)

    assert all(len(one.input_ids) <= max_tokens for one in made)
    assert len({one.trimmed for one in made}) == 1


def test_prompt_whose_first_character_is_several_tokens_can_be_trimmed(load, decoder):
    loaded = load(decoder)
    prompt = tiny.user("😀 red blue green")
    (whole,) = encoded(loaded, prompt, "stone.")

    # One token less than it has: the whole character must go, or trimming never ends.
    (trimmed,) = encoded(loaded, prompt, "stone.", max_tokens=len(whole.input_ids) - 1)

    assert "😀" not in trimmed.text
    assert "red blue green" in trimmed.text


def test_max_tokens_below_what_the_template_takes_is_one_sentence(load, chat_decoder):
    with pytest.raises(BadConfig, match="max_tokens"):
        encoded(load(chat_decoder), tiny.user("red?"), "blue.", max_tokens=5)


def test_conversation_that_the_template_refuses_is_one_sentence(load, chat_decoder):
    loaded = load(chat_decoder)
    loaded.tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"

    with pytest.raises(BadConfig, match="refuses a prompt with the turns user: System role not supported"):
        encoded(loaded, tiny.user("red?"), "blue.")
