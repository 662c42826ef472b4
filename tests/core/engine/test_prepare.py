import pytest

from core.engine.cache import cache_for
from core.engine.prepare import SHARD_PAIRS, read_tokens, tokenize
from core.records import Pair
from tests.core.engine import tiny

PAIRS = [*(tiny.pair(seed) for seed in range(6)), tiny.pair(7, prompt_words=90, response_words=60)]


@pytest.fixture(params=["decoder", "encoder"])
def loaded(request, load):
    return load(request.getfixturevalue(request.param))


def test_cached_tokens_equal_encoding_in_the_order_asked(loaded, tmp_path):
    cache = cache_for(loaded, tmp_path).tokens
    *_, last = tokenize(loaded, cache, PAIRS)

    read = read_tokens(cache, [*PAIRS[::-1], PAIRS[0]])

    expected = tiny.encoded(loaded, [*PAIRS[::-1], PAIRS[0]])
    for sides, others in zip(read, expected, strict=True):
        for one, other in zip(sides, others, strict=True):
            assert list(one.input_ids) == list(other.input_ids)
            assert (one.response_start, one.trimmed) == (other.response_start, other.trimmed)
    assert read[0][0].trimmed
    assert (last.done, last.total) == (7, 7)


def test_second_time_has_nothing_to_do_and_another_order_of_sides_is_another_pair(loaded, tmp_path):
    cache = cache_for(loaded, tmp_path).tokens
    swapped = Pair(PAIRS[0].prompt, PAIRS[0].response_b, PAIRS[0].response_a)

    totals = [list(tokenize(loaded, cache, pairs))[-1].total for pairs in (PAIRS, PAIRS, [swapped])]

    assert totals == [7, 0, 1]
    a, b = read_tokens(cache, [swapped])[0]
    assert [b, a] == list(read_tokens(cache, [PAIRS[0]])[0])


def test_killed_tokenizing_keeps_whole_shards(load, decoder, tmp_path):
    loaded = load(decoder)
    cache = cache_for(loaded, tmp_path).tokens
    pairs = [Pair(tiny.user("red?"), f"a {seed}", f"b {seed}") for seed in range(SHARD_PAIRS + 3)]
    steps = tokenize(loaded, cache, pairs)

    next(step for step in steps if step.done)
    steps.close()

    assert len(cache.keys()) == SHARD_PAIRS
    assert list(tokenize(loaded, cache, pairs))[-1].total == 3
