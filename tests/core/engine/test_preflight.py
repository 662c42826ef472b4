"""What texts become, counted beside a slow obvious computation; every fault is planted and found."""

import math
import statistics
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from core.config import Overflow, Ties, TrainConfig
from core.engine import preflight, reader
from core.errors import BadConfig, NotFound
from core.findings import Level
from core.records import Candidate, Pair, Part
from tests.core.engine import tiny

MAX_TOKENS = 48
LONG = tiny.words(200, seed=1)


def several() -> list[Pair]:
    """Short pairs, pairs with a long prompt, and one whose sides differ only where they will be cut."""
    pairs = [tiny.pair(seed, prompt_words=2 + 3 * seed, response_words=2 + seed) for seed in range(15)]
    return [*pairs, Pair(tiny.user("red?"), LONG + " red", LONG + " blue")]


def reads(backbone: str, **settings: object) -> reader.Reader:
    return reader.load_reader(TrainConfig(backbone=backbone, **settings))


def candidate(number: int, *, part: Part = Part.TRAIN, p_a: float = 1.0, p_tie: float = 0.0, of: Pair | None = None):
    return Candidate(
        pair_id=number, pair=of or tiny.pair(number), part=part, swapped=False, p_a=p_a, p_tie=p_tie, subset="s"
    )


@pytest.mark.parametrize("backbone", ["decoder", "chat_decoder", "encoder"])
def test_counts_equal_a_slow_obvious_computation(request, backbone):
    pairs, on = several(), reads(request.getfixturevalue(backbone), max_tokens=MAX_TOKENS)

    read = preflight.read_pairs(on, pairs)

    def tokens(pair, response):
        turn = pair.prompt[0].content
        if backbone == "chat_decoder":
            text = f"<s><|user|>\n{turn}</s>\n<|assistant|>\n{response}</s>"
            return len(on.tokenizer(text, add_special_tokens=False)["input_ids"])
        eos = "</s>" if backbone == "decoder" else ""
        return len(on.tokenizer(f"user: {turn}\n\nassistant: {response}{eos}")["input_ids"])

    longest = [max(tokens(pair, pair.response_a), tokens(pair, pair.response_b)) for pair in pairs]
    assert [max(one.tokens_a, one.tokens_b) for one in read] == longest
    assert [one.trimmed for one in read] == [length > MAX_TOKENS for length in longest]
    assert 0 < sum(one.trimmed for one in read) < 16
    assert [one.is_same for one in read] == [False] * 15 + [True]
    assert [one.responses_cut for one in read] == [False] * 15 + [True]
    numbers = preflight.lengths(on, read).numbers
    assert numbers["longest"] == max(longest)
    assert numbers["median"] == int(statistics.median(longest))
    # Linear between the 15th and the 16th: .95 x 15 = 14.25 places from the first.
    assert numbers["p95"] == int(sorted(longest)[14] + 0.25 * (sorted(longest)[15] - sorted(longest)[14]))


def test_clean_pairs_pass_every_check(decoder):
    on, config = reads(decoder), TrainConfig(backbone=decoder)
    parts = [Part.TRAIN] * 100 + [Part.VALID] * 30 + [Part.TEST] * 30
    candidates = [candidate(number, part=part) for number, part in enumerate(parts)]
    read = preflight.read_pairs(on, [one.pair for one in candidates])

    found = preflight.examine_tokens(on, config, candidates, read, slices=[["subset s"]] * 160)
    found.append(preflight.training_set(config, candidates, read))

    assert {one.level for one in found} == {Level.PASS}, found
    checks = ["pooled_token", "lengths", "trimmed", "cut_responses", "same_tokens", "split", "training_set"]
    assert [one.check for one in found] == checks
    assert found[-1].numbers == {"train": 100, "valid": 30, "test": 30}


class TestPooledToken:
    @pytest.mark.parametrize(
        ("backbone", "pooling", "pooled"),
        [
            ("decoder", "last", "'</s>'"),
            ("chat_decoder", "last", "'</s>'"),
            ("padless_decoder", "last", "'</s>'"),
            ("encoder", "mean", "'[SEP]'"),
        ],
    )
    def test_it_is_shown_for_each_side(self, request, backbone, pooling, pooled):
        on = reads(request.getfixturevalue(backbone))

        found = preflight.pooled_token(on, preflight.read_pairs(on, several()))

        assert found.level is Level.PASS
        assert found.numbers == {"pooling": pooling, "a": pooled, "b": pooled}
        assert found.sentence.count(pooled) == 2

    def test_without_eos_texts_end_in_what_they_say(self, tmp_path):
        path = tiny.save_decoder(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.eos_token = None
        tokenizer.save_pretrained(path)
        on = reads(path)

        found = preflight.pooled_token(on, preflight.read_pairs(on, [tiny.pair(1), tiny.pair(2)]))

        assert found.level is Level.WARN
        assert (found.numbers["a"], found.numbers["b"]) == ("'.'", "'!'")

    def test_padding_at_the_pooled_position_fails(self, tmp_path):
        path = tiny.save_decoder(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.eos_token = None
        tokenizer.save_pretrained(path)
        on = reads(path)

        found = preflight.pooled_token(on, preflight.read_pairs(on, [Pair(tiny.user("red?"), "blue<pad>", "green")]))

        assert found.level is Level.FAIL


class TestTrimming:
    @pytest.fixture
    def trimmed(self, decoder):
        """Ten pairs, four of them too long, all four of 3 turns in subset `long`."""
        pairs = [tiny.pair(seed, prompt_words=60 if seed < 4 else 3) for seed in range(10)]
        slices = [["subset long"] if seed < 4 else ["subset short"] for seed in range(10)]
        on = reads(decoder, max_tokens=MAX_TOKENS)
        return on, preflight.read_pairs(on, pairs), slices

    def test_where_it_concentrates_is_named(self, trimmed, decoder):
        on, read, slices = trimmed

        found = preflight.trimmed(on, TrainConfig(backbone=decoder), read, slices=slices)

        assert found.level is Level.WARN
        assert found.numbers == {"trimmed": 4}
        assert found.sentence.startswith("4 of 10 pairs (40.0 %)")
        assert "most in subset long (100 %)" in found.sentence
        assert [(one.name, one.num, one.num_all) for one in found.slices] == [("subset long", 4, 4)]
        assert f"up to {tiny.DECODER_POSITIONS}" in found.what_to_do

    def test_pairs_that_would_be_dropped_are_called_so(self, trimmed, decoder):
        on, read, slices = trimmed
        config = TrainConfig(backbone=decoder, overflow=Overflow.DROP)

        found = preflight.trimmed(on, config, read, slices=slices)

        assert found.numbers == {"dropped": 4}
        left = preflight.training_set(config, [candidate(number) for number in range(10)], read)
        assert left.numbers["train"] == 6

    def test_cut_responses_are_told_from_cut_prompts(self, decoder):
        on = reads(decoder, max_tokens=MAX_TOKENS)
        pairs = [Pair(tiny.user(LONG), "red", "blue"), Pair(tiny.user("red?"), LONG, "blue"), tiny.pair(1)]
        read = preflight.read_pairs(on, pairs)

        found = preflight.cut_responses(on, read, slices=[["a"], ["b"], ["a"]])

        assert [one.trimmed for one in read] == [True, True, False]
        assert found.level is Level.WARN
        assert found.numbers == {"pairs": 1}
        assert found.what_to_do == f"Raise max_tokens, up to {tiny.DECODER_POSITIONS}, or set overflow=drop."
        assert [one.name for one in found.slices] == ["b"]

    def test_more_tokens_than_the_backbone_takes_are_never_advised(self, decoder):
        on = reads(decoder)
        read = preflight.read_pairs(on, [Pair(tiny.user("red?"), LONG, "blue")])

        found = preflight.cut_responses(on, read, slices=[["a"]])

        assert found.what_to_do.startswith("Choose a backbone that takes longer texts")

    def test_sides_that_only_the_template_makes_equal_are_found(self, chat_decoder):
        on = reads(chat_decoder)
        read = preflight.read_pairs(on, [Pair(tiny.user("red?"), "blue", "blue  "), tiny.pair(1)])

        found = preflight.same_tokens(on, read, slices=[["a"], ["a"]])

        assert found.level is Level.WARN
        assert found.numbers == {"after_trimming": 0, "as_written": 1}


class TestSplit:
    def test_prompt_that_is_also_held_out(self):
        pair = tiny.pair(1)
        other = Pair(pair.prompt, "green", "blue")

        found = preflight.split([candidate(1, of=pair), candidate(2, of=other, part=Part.TEST)])

        assert found.level is Level.WARN
        assert found.numbers == {"left_out": 1, "near": 0}

    def test_prompt_that_is_held_out_in_other_case_is_not_left_out_by_training(self):
        train, test = Pair(tiny.user("What is red?"), "a", "b"), Pair(tiny.user("what  is RED?"), "c", "d")

        found = preflight.split([candidate(1, of=train), candidate(2, of=test, part=Part.TEST)])

        assert found.level is Level.WARN
        assert found.numbers == {"left_out": 0, "near": 1}
        assert "too good" in found.sentence


class TestTrainingSet:
    def read(self, count: int, **changes: bool):
        tokens = preflight.PairTokens(
            tokens_a=5, tokens_b=5, trimmed=False, responses_cut=False, is_same=False, last_a=1, last_b=1
        )
        return [replace(tokens, **changes)] * count

    def test_nothing_left_fails_as_training_would(self):
        found = preflight.training_set(TrainConfig(), [candidate(1), candidate(2)], self.read(2, is_same=True))

        assert found.level is Level.FAIL
        assert found.numbers["train"] == 0

    def test_ties_that_teach_nothing_are_not_counted(self):
        tie = candidate(1, p_a=0.5, p_tie=1.0)
        config = TrainConfig(ties=Ties.DROP)

        assert preflight.training_set(config, [tie, candidate(2)], self.read(2)).numbers["train"] == 1
        assert preflight.training_set(TrainConfig(), [tie, candidate(2)], self.read(2)).numbers["train"] == 2

    def test_few_pairs_and_no_held_out_pair_are_warned_of(self):
        found = preflight.training_set(TrainConfig(), [candidate(n) for n in range(200)], self.read(200))

        assert found.level is Level.WARN
        assert found.numbers == {"train": 200, "valid": 0, "test": 0}

    def test_unlabeled_pairs_are_no_ties(self):
        assert not candidate(1, p_a=math.nan, p_tie=math.nan).is_tie


def test_unknown_backbone_and_impossible_length_are_one_sentence(decoder):
    with pytest.raises(NotFound):
        reads("no-such/backbone")
    with pytest.raises(BadConfig, match="max_tokens"):
        reads(decoder, max_tokens=10_000)
