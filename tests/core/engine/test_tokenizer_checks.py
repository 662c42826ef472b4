"""Every fault is planted in a real tokenizer, saved and loaded as a user's would be."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from core.config import TrainConfig
from core.engine import reader, tokenizer_checks
from core.findings import Level
from core.records import Message, Pair, Role
from tests.core.engine import tiny

TURN = "<|{{ message.role }}|>\n{{ message.content | trim }}{{ eos_token }}"
EVERY_TURN = "{% for message in messages %}" + TURN + "{% endfor %}"
CLEAN = "{{ bos_token }}" + EVERY_TURN
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CLEAN
)
ALTERNATES = (
    "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}" + TURN + "{% endfor %}"
)
HIDES_SYSTEM = "{% for message in messages %}{% if message.role != 'system' %}" + TURN + "{% endif %}{% endfor %}"


def read(folder: Path, *, template: str | None = None, without_bos: bool = False, **changes: object) -> reader.Reader:
    """A reader of a decoder whose tokenizer was changed after it was made."""
    path = tiny.save_decoder(folder)
    tokenizer = AutoTokenizer.from_pretrained(path)
    if without_bos:
        tokenizer.backend_tokenizer.post_processor = None
    for name, value in {"chat_template": template, **changes}.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(path)
    return reader.load_reader(TrainConfig(backbone=path))


def conversation(*roles: str) -> Pair:
    turns = tuple(Message(Role(role), f"red stone {place}") for place, role in enumerate(roles))
    return Pair(turns, "green.", "blue.")


def turns(reads: reader.Reader, *pairs: Pair):
    return tokenizer_checks.turns(
        reads, pairs, tokenizer_checks.refused_turns(reads, pairs), slices=[[str(len(one.prompt))] for one in pairs]
    )


def test_clean_tokenizer_passes_every_check(tmp_path):
    reads = read(tmp_path, template=CLEAN, without_bos=True)
    pairs = [tiny.pair(seed) for seed in range(5)]

    found = [turns(reads, *pairs), *tokenizer_checks.examine_tokenizer(reads, pairs)]

    assert {one.level for one in found} == {Level.PASS}, found
    assert [one.check for one in found] == ["turns", "pad_token", "double_bos", "template_clock", "same_ending"]
    assert not any(one.what_to_do for one in found)


class TestPadding:
    def test_padding_that_is_eos_is_named_with_what_is_used_instead(self, tmp_path):
        found = tokenizer_checks.pad_token(read(tmp_path, pad_token="</s>"))

        assert found.level is Level.WARN
        assert found.numbers["shipped"] == "</s>"
        assert found.numbers["used"] != "</s>"
        assert "EOS" in found.sentence

    def test_missing_padding_is_no_fault(self, padless_decoder):
        found = tokenizer_checks.pad_token(reader.load_reader(TrainConfig(backbone=padless_decoder)))

        assert (found.level, found.numbers) == (Level.PASS, {"shipped": None, "used": "[PAD]"})


class TestBos:
    def test_template_that_writes_it_twice_fails(self, tmp_path):
        reads = read(tmp_path, template="{{ bos_token }}" + CLEAN)

        assert tokenizer_checks.double_bos(reads).level is Level.FAIL

    def test_template_and_tokenizer_that_both_write_it_are_warned_of(self, tmp_path):
        found = tokenizer_checks.double_bos(read(tmp_path, template=CLEAN))

        assert found.level is Level.WARN
        assert "Both" in found.sentence

    def test_template_that_writes_none_where_the_tokenizer_does_is_warned_of(self, tmp_path):
        found = tokenizer_checks.double_bos(read(tmp_path, template=EVERY_TURN))

        assert found.level is Level.WARN
        assert "writes none" in found.sentence

    def test_without_a_template_the_tokenizer_writes_it_once(self, decoder):
        assert tokenizer_checks.double_bos(reader.load_reader(TrainConfig(backbone=decoder))).level is Level.PASS


class TestClock:
    @pytest.mark.parametrize("form", ["%d %b %Y", "%H:%M", "%S"])
    def test_date_or_time_fails(self, tmp_path, form):
        reads = read(tmp_path, template="Today is {{ strftime_now('" + form + "') }}. " + CLEAN)

        found = tokenizer_checks.template_clock(reads.tokenizer)

        assert found.level is Level.FAIL
        assert "Today is " in found.sentence

    def test_date_that_a_server_may_replace_is_warned_of(self, tmp_path):
        template = (
            "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}"
        )

        found = tokenizer_checks.template_clock(read(tmp_path, template=template + CLEAN).tokenizer)

        assert found.level is Level.WARN
        assert "date_string" in found.what_to_do

    def test_clock_that_is_set_but_never_written_passes(self, tmp_path):
        template = "{% set today = strftime_now('%Y') %}" + CLEAN

        assert tokenizer_checks.template_clock(read(tmp_path, template=template).tokenizer).level is Level.PASS


class TestTurns:
    def test_refused_system_turns_fail_with_the_templates_words(self, tmp_path):
        reads = read(tmp_path, template=REFUSES_SYSTEM)

        found = turns(reads, conversation("system", "user"), conversation("user"), conversation("user"))

        assert found.level is Level.FAIL
        assert found.numbers == {"refused": 1}
        assert "1 of 3 pairs" in found.sentence
        assert "System role not supported" in found.sentence
        assert [(one.name, one.num, one.num_all) for one in found.slices] == [("2", 1, 1)]

    def test_turns_that_do_not_alternate_fail(self, tmp_path):
        reads = read(tmp_path, template=ALTERNATES)

        assert turns(reads, conversation("user", "assistant", "user")).level is Level.PASS
        assert turns(reads, conversation("user", "user")).level is Level.FAIL

    def test_turns_that_the_template_hides_are_warned_of(self, tmp_path):
        found = turns(read(tmp_path, template=HIDES_SYSTEM), conversation("system", "user"), conversation("user"))

        assert found.level is Level.WARN
        assert "(system)" in found.sentence
        assert found.numbers == {"with_lost_turns": 1}

    def test_without_a_template_every_turn_is_written(self, decoder):
        reads = reader.load_reader(TrainConfig(backbone=decoder))

        assert turns(reads, conversation("system", "user", "user")).level is Level.PASS


class TestEnding:
    pairs = tuple(tiny.pair(seed) for seed in range(6))

    def test_random_tokenization_fails(self, tmp_path):
        reads = read(tmp_path)
        reads.tokenizer.backend_tokenizer.model.dropout = 0.5

        found = tokenizer_checks.same_ending(reads, self.pairs)

        assert found.level is Level.FAIL
        assert found.numbers["compared"] == 12

    def test_eos_that_is_no_eos_beside_a_letter_is_warned_of(self, tmp_path):
        reads = read(tmp_path)
        file = tmp_path / "tokenizer.json"
        state = json.loads(file.read_text(encoding="utf-8"))
        for token in state["added_tokens"]:
            token["single_word"] = token["content"] == "</s>"
        file.write_text(json.dumps(state), encoding="utf-8")
        reads = reader.load_reader(TrainConfig(backbone=str(tmp_path)))

        found = tokenizer_checks.same_ending(reads, [Pair(tiny.user("red?"), "green stone", "blue stone.")])

        assert found.level is Level.WARN
        assert found.numbers["text_differs"] == 1  # the other response ends in a dot, where the token stands alone
        assert "'</s>'" in found.sentence

    def test_what_the_template_alone_would_end_in_is_said(self, tmp_path):
        found = tokenizer_checks.same_ending(read(tmp_path, template=tiny.CHAT_TEMPLATE), self.pairs)

        assert found.level is Level.PASS
        assert r"'\n'" in found.sentence
