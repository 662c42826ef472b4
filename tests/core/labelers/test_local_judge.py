"""A tiny random decoder as judge: what it says is checked against plain forwards."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.errors import BadConfig, NotFound
from core.judging import LabelerConfig, Mode, Source, Status
from core.labelers import labeler_of, parse
from core.labelers.local_judge import LocalJudge
from core.labelers.prompt import render
from core.records import Order
from tests.core.engine.tiny import DECODER_POSITIONS, save_decoder
from tests.core.labelers.asked import request_of


@pytest.fixture(scope="module", params=[True, False], ids=["chat template", "no template"])
def folder(request, tmp_path_factory):
    return save_decoder(tmp_path_factory.mktemp("judge"), chat=request.param, positions=4096)


def judge(folder, **settings):
    return LocalJudge(LabelerConfig(source=Source.LOCAL, model=folder, **settings), device="cpu")


def ask(folder, requests):
    return list(judge(folder).attempts(requests))


def slow_log_prob(folder, request, spelling):
    """Teacher forcing by hand, in one plain forward: the sum over the spelling's own tokens."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    messages = render(request, Mode.LOG_PROB)
    turns = [{"role": message.role.value, "content": message.content} for message in messages]
    if tokenizer.chat_template is not None:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        prompt = tokenizer("\n\n".join(f"{t['role']}: {t['content']}" for t in turns) + "\n\nAnswer:")["input_ids"]
    answer = tokenizer(spelling, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        chances = torch.log_softmax(model(torch.tensor([prompt + answer])).logits[0], dim=-1)
    return sum(float(chances[len(prompt) + place - 1, token]) for place, token in enumerate(answer)), len(answer)


@pytest.mark.parametrize("letter", ["A", "B"])
def test_a_letters_probability_is_summed_over_its_spellings_by_teacher_forcing(folder, letter):
    request = request_of()
    spelled = {text: slow_log_prob(folder, request, text) for text in (letter, f" {letter}")}

    (attempt,) = ask(folder, [request])

    assert any(length > 1 for _, length in spelled.values())  # this tokenizer writes a space as a token of its own
    expected = math.log(sum(math.exp(value) for value, _ in spelled.values()))
    assert json.loads(attempt.log_probs)[letter] == pytest.approx(expected, abs=1e-4)


def test_batch_mates_do_not_matter(folder):
    requests = [request_of("short?"), request_of("a much longer question " * 20), request_of("third", "x", "y")]

    together = ask(folder, requests)
    alone = [ask(folder, [request])[0] for request in requests]

    for one, other in zip(together, alone, strict=True):
        for token, value in json.loads(other.log_probs).items():
            assert json.loads(one.log_probs)[token] == pytest.approx(value, abs=1e-4)


def test_swapped_orders_are_mirrored_requests(folder):
    ab, ba = (request_of("p", "left", "right", order=order) for order in Order)

    first, second = (render(one, Mode.LOG_PROB)[1].content for one in (ab, ba))

    assert (ab.first, ab.second) == (ba.second, ba.first)
    assert first.index(ab.first) < first.index(ab.second)
    assert second.index(ba.first) < second.index(ba.second)
    assert len(ask(folder, [ab, ba])) == 2


def test_a_random_judge_is_off_format_and_makes_no_vote(folder):
    request = request_of()

    (attempt,) = ask(folder, [request])
    answer = parse.read(attempt, request, Mode.LOG_PROB)

    assert answer.status is Status.UNPARSED  # two letters of a vocabulary of hundreds
    assert answer.off_format > 0.5


def test_a_request_that_does_not_fit_is_not_cut(tmp_path):
    folder = save_decoder(tmp_path)  # reads few tokens

    (attempt,) = ask(folder, [request_of()])

    assert f"more than the {DECODER_POSITIONS} that the judge reads" in attempt.error


def test_a_judge_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"config\.json"):
        judge(str(tmp_path)).check()


def test_only_letters_can_be_asked_for(tmp_path):
    with pytest.raises(BadConfig, match="mode=log-prob"):
        labeler_of(LabelerConfig(source=Source.LOCAL, model=str(tmp_path), mode=Mode.VERDICT))
