import importlib.util
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from core import formats
from core.engine import features, model
from core.engine.cache import cache_for
from core.engine.tokens import encode_pairs
from core.measure.triage import precision_at
from core.records import PairRow, Part
from ui import demo_pairs

# Frozen before triage is measured on it. Another hash means other pairs: measure them again with the benchmark.
CONTENT = "0db45cd17945d89fc03e02d942b601b95a40df3bcb358014f50be1dde42ee99c"


def measures():
    """The benchmark's own measures, so that test and report cannot differ."""
    path = Path(__file__).parents[1] / "benchmarks" / "demo_pairs.py"
    spec = importlib.util.spec_from_file_location("demo_pairs_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench():
    return measures()


@pytest.fixture(scope="module")
def rows():
    return demo_pairs.rows()


def correlation(one, other):
    return abs(np.corrcoef(one, other)[0, 1])


def test_the_pairs_are_the_frozen_ones():
    assert demo_pairs.content_hash() == CONTENT


def test_there_are_about_1200_pairs_of_at_least_12_kinds(rows):
    kinds = Counter(row["subset"] for row in rows)

    assert 1150 <= len(rows) <= 1250
    assert len(kinds) >= 12
    assert min(kinds.values()) >= 12


def test_no_prompt_stands_twice(rows):
    plain = {re.sub(r"\W+", " ", row["prompt"].lower()).strip() for row in rows}

    assert len(plain) == len(rows)


def test_eight_percent_of_the_labels_are_flipped(rows):
    truth = demo_pairs.truth()

    flipped = {row["id"] for row in rows if row["labels"][0]["preference"] != truth[row["id"]]}

    assert flipped == demo_pairs.planted_ids()
    assert len(flipped) == round(0.08 * len(rows))


def test_ids_and_order_say_nothing_of_kind_and_planted(rows):
    place = np.arange(len(rows))
    planted = demo_pairs.planted_ids()

    assert [row["id"] for row in rows] == [f"demo-{number:04d}" for number in place + 1]
    bound = 4 / np.sqrt(len(rows))  # four standard errors of a correlation of independent columns
    assert correlation(place, [row["id"] in planted for row in rows]) < bound
    for kind in {row["subset"] for row in rows}:
        assert correlation(place, [row["subset"] == kind for row in rows]) < bound


def test_no_row_tells_that_it_is_planted(rows):
    planted = demo_pairs.planted_ids()

    shapes = {row["id"] in planted: set() for row in rows}
    for row in rows:
        shapes[row["id"] in planted].add((tuple(row), tuple(row["labels"][0]), row["labels"][0]["labeler"]))

    assert shapes[True] == shapes[False]


def test_both_sides_are_the_better_one_equally_often(rows):
    share_a = np.mean([side == "a" for side in demo_pairs.truth().values()])

    assert abs(share_a - 0.5) < 2 * 0.5 / np.sqrt(len(rows))  # two standard errors of a fair coin


def test_every_row_imports(rows):
    read = list(formats.from_dicts(rows))

    assert len(read) == len(rows)
    assert all(isinstance(one, PairRow) and len(one.votes) == 1 for one in read)


def test_length_does_not_tell_the_better_response(bench):
    pairs, _ = bench.snapshot()

    assert 0.45 <= bench.longer_accuracy(pairs) <= 0.55
    assert 0.45 <= bench.longer_accuracy([one for one in pairs if one.part is Part.TEST]) <= 0.55


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer()])
def test_words_alone_do_not_tell_the_better_response(bench, vectorizer):
    pairs, _ = bench.snapshot()
    train, test = ([one for one in pairs if one.part is part] for part in (Part.TRAIN, Part.TEST))

    assert bench.words_correct(train, test, vectorizer).mean() < 0.65


@pytest.mark.slow
def test_the_probe_learns_most_of_it_and_triage_finds_the_flips(bench, tmp_path):
    pairs, ids = bench.snapshot()
    loaded = model.load_backbone(bench.TrainConfig(), bench.torch.device("cpu"))
    tokens = encode_pairs(loaded.tokenizer, loaded.rules, [one.pair for one in pairs])
    cache = cache_for(loaded, tmp_path).features
    for _ in features.compute(loaded, cache, tokens):
        pass

    correct = bench.probe_correct(loaded, cache, pairs, tokens)
    ranked = bench.triaged(features.load(cache, tokens), pairs)

    assert 0.75 <= correct[[one.part is Part.TEST for one in pairs]].mean() <= 0.93
    assert precision_at([ids[one] for one in ranked["pair_id"]], demo_pairs.planted_ids(), 50) >= 0.6
