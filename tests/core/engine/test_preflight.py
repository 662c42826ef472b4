import statistics

import pytest

from core.engine.preflight import preflight
from core.errors import BadConfig, NotFound, RunFailed
from core.records import Pair
from tests.core.engine import tiny

MAX_TOKENS = 48


def several():
    """Short pairs, pairs with a long prompt, and one whose sides differ only where they will be cut."""
    pairs = [tiny.pair(seed, prompt_words=2 + 3 * seed, response_words=2 + seed) for seed in range(15)]
    long = tiny.words(200, seed=1)
    return [*pairs, Pair(tiny.user("red?"), long + " red", long + " blue")]


@pytest.mark.parametrize("backbone", ["decoder", "chat_decoder", "encoder"])
def test_counts_equal_a_slow_obvious_computation(load, request, backbone):
    folder, pairs = request.getfixturevalue(backbone), several()
    tokenizer = load(folder).tokenizer

    report = preflight(folder, pairs, max_tokens=MAX_TOKENS)

    def tokens(pair, response):
        turn = pair.prompt[0].content
        if backbone == "chat_decoder":
            text = f"<s><|user|>\n{turn}</s>\n<|assistant|>\n{response}</s>"
            return len(tokenizer(text, add_special_tokens=False)["input_ids"])
        eos = "</s>" if backbone == "decoder" else ""
        return len(tokenizer(f"user: {turn}\n\nassistant: {response}{eos}")["input_ids"])

    lengths = sorted(max(tokens(pair, pair.response_a), tokens(pair, pair.response_b)) for pair in pairs)
    assert report.num_pairs == len(lengths) == 16
    assert report.tokens_longest == lengths[-1]
    assert report.tokens_median == int(statistics.median(lengths))
    # Linear between the 15th and the 16th: .95 x 15 = 14.25 places from the first.
    assert report.tokens_p95 == int(lengths[14] + 0.25 * (lengths[15] - lengths[14]))
    assert report.trimmed == sum(length > MAX_TOKENS for length in lengths)
    assert 0 < report.trimmed < 16
    assert report.same_after_trimming == 1
    assert report.max_tokens == MAX_TOKENS


@pytest.mark.parametrize(
    ("backbone", "pooling", "pooled", "pad", "has_template"),
    [
        ("decoder", "last", "</s>", "<pad>", False),
        ("chat_decoder", "last", "</s>", "<pad>", True),
        ("padless_decoder", "last", "</s>", "[PAD]", False),
        ("encoder", "mean", "[SEP]", "[PAD]", False),
    ],
)
def test_special_tokens_are_shown(request, backbone, pooling, pooled, pad, has_template):
    report = preflight(request.getfixturevalue(backbone), several())

    assert (report.pooling, report.pooled_token, report.pad_token) == (pooling, pooled, pad)
    assert report.has_chat_template is has_template
    assert report.seconds_an_epoch > 0
    assert report.device.startswith("cpu")


def test_no_pair_is_one_sentence(decoder):
    with pytest.raises(RunFailed, match="no pair"):
        preflight(decoder, [])


def test_unknown_backbone_and_impossible_length_are_one_sentence(decoder):
    with pytest.raises(NotFound):
        preflight("no-such/backbone", several())
    with pytest.raises(BadConfig, match="max_tokens"):
        preflight(decoder, several(), max_tokens=10_000)
