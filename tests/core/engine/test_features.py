import numpy as np
import pytest
import torch

from core.config import Method
from core.engine import features, probe, score
from core.engine.cache import Shards, cache_for
from core.engine.features import SHARD_TEXTS
from core.engine.model import batch_of
from core.engine.tokens import encode
from core.records import Pair
from tests.core.engine import tiny

PAIRS = [tiny.pair(seed) for seed in range(6)]


@pytest.fixture(params=["decoder", "encoder"])
def loaded(request, load):
    return load(request.getfixturevalue(request.param), method=Method.PROBE)


def computed(loaded, folder, pairs=PAIRS):
    """The cache, and how many texts were computed to fill it."""
    cache = cache_for(loaded, folder).features
    *_, last = features.compute(loaded, cache, tiny.encoded(loaded, pairs))
    return cache, last.total


def loaded_features(loaded, cache, pairs=PAIRS):
    return features.load(cache, tiny.encoded(loaded, pairs))


def test_each_distinct_text_is_computed_once(load, decoder, tmp_path):
    first, second = tiny.pair(1), tiny.pair(2)
    # A group of three responses: three pairs, six sides, three texts. The same response elsewhere is another text.
    responses = (first.response_a, first.response_b, "stone")
    group = [Pair(first.prompt, responses[i], responses[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    elsewhere = Pair(second.prompt, first.response_a, "stone")

    cache, number = computed(load(decoder), tmp_path, [*group, group[0], elsewhere])

    assert number == 5
    assert len(cache.keys()) == 5


def test_second_computation_has_nothing_to_do(loaded, tmp_path):
    cache, number = computed(loaded, tmp_path)
    before = [file.stat().st_mtime_ns for file in cache.files()]

    again = list(features.compute(loaded, cache, tiny.encoded(loaded, PAIRS)))

    assert number == 12
    assert [(one.done, one.total) for one in again] == [(0, 0)]
    assert [file.stat().st_mtime_ns for file in cache.files()] == before


def test_only_what_is_new_is_computed(loaded, tmp_path):
    computed(loaded, tmp_path, PAIRS[:4])

    assert computed(loaded, tmp_path)[1] == 2 * 2


def test_features_are_what_the_head_sees_and_the_means_of_both_sides_of_the_boundary(loaded, tmp_path):
    cache, _ = computed(loaded, tmp_path)
    found = loaded_features(loaded, cache)

    for place, pair in enumerate(PAIRS):
        row = encode(loaded.tokenizer, loaded.rules, pair.prompt, (pair.response_b,))[0]
        ids, mask = batch_of(loaded, [row])
        with torch.no_grad():
            hidden = loaded.model.hidden(ids, mask)
            pooled = loaded.model.pool(hidden, mask)[0]
        start = row.response_start
        assert found.pooled_b[place] == pytest.approx(pooled.numpy(), abs=1e-5)
        assert found.response_b[place] == pytest.approx(hidden[0, start:].mean(0).numpy(), abs=1e-5)
        assert found.prompt_b[place] == pytest.approx(hidden[0, :start].mean(0).numpy(), abs=1e-5)


def test_features_come_in_the_order_asked(loaded, tmp_path):
    cache, _ = computed(loaded, tmp_path)

    forward, backward = loaded_features(loaded, cache), loaded_features(loaded, cache, PAIRS[::-1])

    assert (backward.pooled_a == forward.pooled_a[::-1]).all()


def test_killed_computation_keeps_whole_shards_and_ignores_a_partial_file(load, decoder, tmp_path):
    loaded = load(decoder)
    pairs = [Pair(tiny.user("red?"), f"a {seed}", f"b {seed}") for seed in range(SHARD_TEXTS // 2 + 20)]
    cache = cache_for(loaded, tmp_path).features
    steps = features.compute(loaded, cache, tiny.encoded(loaded, pairs))

    for progress in steps:
        if progress.done > SHARD_TEXTS:
            break
    steps.close()  # as a kill would: within the second shard
    (cache.folder / "0123456789abcdef.partial").write_bytes(b"half a shard")

    assert len(cache.keys()) == SHARD_TEXTS
    assert computed(loaded, tmp_path, pairs)[1] == 2 * len(pairs) - SHARD_TEXTS
    assert not np.isnan(loaded_features(loaded, cache, pairs).pooled_b).any()


def test_progress_counts_up_to_its_total(loaded, tmp_path):
    cache = cache_for(loaded, tmp_path).features

    steps = list(features.compute(loaded, cache, tiny.encoded(loaded, PAIRS)))

    assert [one.done for one in steps] == sorted(one.done for one in steps)
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (0, 12, 12)


def test_no_pairs_need_no_cache(tmp_path):
    assert len(features.load(Shards(tmp_path / "nothing"), []).pooled_a) == 0


def test_probe_rewards_equal_scoring_for_trimmed_pairs_too(loaded, tmp_path):
    # Two pairs share a response; beside the long one it loses the start of its prompt, beside the short one nothing.
    short, long = tiny.pair(7), tiny.pair(8, prompt_words=12, response_words=150)
    sides = (short.response_b, long.response_a)
    pairs = [*PAIRS, *(Pair(long.prompt, short.response_a, side) for side in sides)]
    cache, _ = computed(loaded, tmp_path, pairs)

    fast = probe.rewards(loaded, cache, range(len(pairs)), tiny.encoded(loaded, pairs))
    slow = list(score.score(loaded, enumerate(pairs)))

    assert [(one.pair_id, one.trimmed) for one in fast] == [(one.pair_id, one.trimmed) for one in slow]
    assert [one.trimmed for one in fast[-2:]] == [False, True]
    for one, other in zip(fast, slow, strict=True):
        assert (one.reward_a, one.reward_b) == pytest.approx((other.reward_a, other.reward_b), abs=1e-4)
