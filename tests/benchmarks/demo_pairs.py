"""Measure the shipped demo pairs: how hard they are, what gives them away, what triage finds; by kind.

    .venv/bin/python tests/benchmarks/demo_pairs.py

About a minute on 2 cores; features go to a temporary folder unless --features names one.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.config import TrainConfig
from core.engine import crossfit, features, leaks, model, probe
from core.engine.cache import Shards, cache_for
from core.engine.prepare import prepare
from core.engine.tokens import TokenPair, encode_pairs
from core.measure.triage import auroc, precision_at, rank_by_doubt
from core.records import Consistency, Origin, Part, SnapshotPair, pair_of
from core.split import part_of
from ui import demo_pairs


def snapshot() -> tuple[list[SnapshotPair], list[str]]:
    """The labeled pairs as a run freezes them, and their ids."""
    pairs, ids = [], []
    for number, row in enumerate(demo_pairs.rows()):
        oriented = pair_of(row["prompt"], row["response_a"], row["response_b"])
        is_a = (row["labels"][0]["preference"] == "a") != oriented.swapped
        part = part_of(oriented.pair.prompt_hash)
        pairs.append(
            SnapshotPair(
                pair_id=number,
                pair=oriented.pair,
                p_a=float(is_a),
                p_tie=0.0,
                part=part,
                origin=Origin.LABEL,
                subset=row["subset"],
            )
        )
        ids.append(row["id"])
    return pairs, ids


def longer_accuracy(pairs: list[SnapshotPair]) -> float:
    """Of "always the longer" against the labels; equal lengths count half."""
    by_length = np.array([np.sign(len(one.pair.response_a) - len(one.pair.response_b)) for one in pairs])
    return float(np.mean(0.5 + 0.5 * by_length * np.sign([one.p_a - 0.5 for one in pairs])))


def words_correct(train: list[SnapshotPair], test: list[SnapshotPair], vectorizer: CountVectorizer) -> np.ndarray:
    """Whether a logistic regression on words of the responses alone gets a test pair right; half where it is torn."""
    vectorizer.fit([text for one in train for text in (one.pair.response_a, one.pair.response_b)])
    a, b = ([getattr(one.pair, side) for one in train] for side in ("response_a", "response_b"))
    x = vectorizer.transform(a) - vectorizer.transform(b)
    fitted = LogisticRegression(fit_intercept=False, max_iter=2000).fit(x, [one.p_a for one in train])
    a, b = ([getattr(one.pair, side) for one in test] for side in ("response_a", "response_b"))
    margin = fitted.decision_function(vectorizer.transform(a) - vectorizer.transform(b))
    return 0.5 + 0.5 * np.sign(margin) * np.sign([one.p_a - 0.5 for one in test])


def probe_correct(
    loaded: model.Loaded, cache: Shards, pairs: list[SnapshotPair], tokens: list[TokenPair]
) -> np.ndarray:
    """Whether the probe as a run trains it gets each pair right, whatever its part."""
    for _ in probe.train(loaded, TrainConfig(), cache, prepare(TrainConfig(), pairs, tokens)):
        pass
    found = probe.rewards(loaded, cache, [one.pair_id for one in pairs], tokens)
    return np.array([(reward.margin > 0) == (one.p_a > 0.5) for reward, one in zip(found, pairs, strict=True)])


def cross_validated_probe(found: features.PairFeatures, pairs: list[SnapshotPair]) -> np.ndarray:
    """Whether each pair is right out of fold, on pooled vectors alone, at the best ridge."""
    x = (found.pooled_a - found.pooled_b).astype(np.float64)
    y = np.array([one.p_a for one in pairs])
    fold = crossfit.assign_folds(pairs, num_folds=5, seed=0)
    margins = [_out_of_fold(x, y, fold, ridge) for ridge in probe.RIDGES]
    return (min(margins, key=lambda margin: probe.nll(margin, y)) > 0) == (y > 0.5)


def _out_of_fold(x: np.ndarray, y: np.ndarray, fold: np.ndarray, ridge: float) -> np.ndarray:
    margin = np.zeros(len(y))
    for one in np.unique(fold):
        inside = fold == one
        scale = probe.scale_of(x[~inside])
        weight = probe.fit(x[~inside] / scale, y[~inside], np.ones((~inside).sum()), ridge=ridge)
        margin[inside] = (x[inside] / scale) @ weight
    return margin


def triaged(found: features.PairFeatures, pairs: list[SnapshotPair]) -> pd.DataFrame:
    """The ranking that the app shows: mean of the repeats' out-of-fold margins."""
    margins = pd.DataFrame([(m.pair_id, m.margin, m.fold) for m in crossfit.crossfit(found, pairs)])
    margins.columns = pd.Index(["pair_id", "margin", "fold"])
    grouped = margins.groupby("pair_id").agg(margin=("margin", "mean"), fold=("fold", "first"))
    frame = pd.DataFrame(
        {
            "pair_id": [one.pair_id for one in pairs],
            "side": ["a" if one.p_a > 0.5 else "b" for one in pairs],
            "p_a": [one.p_a for one in pairs],
            "p_tie": 0.0,
            "consistency": Consistency.SINGLE.value,
            "num_votes": 1,
            "margin_agree": 1.0,
            "usable": True,
        }
    )
    return rank_by_doubt(frame.merge(grouped.reset_index(), on="pair_id"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--show", action="store_true", help="print three pairs of each kind too")
    arguments = parser.parse_args()
    pairs, ids = snapshot()
    planted = demo_pairs.planted_ids()
    parts = {part: [one for one in pairs if one.part is part] for part in Part}
    with tempfile.TemporaryDirectory() as folder:
        loaded = model.load_backbone(TrainConfig(), torch.device("cpu"))
        tokens = encode_pairs(loaded.tokenizer, loaded.rules, [one.pair for one in pairs])
        cache = cache_for(loaded, arguments.features or Path(folder)).features
        for _ in features.compute(loaded, cache, tokens):
            pass
        found = features.load(cache, tokens)
        trained = probe_correct(loaded, cache, pairs, tokens)
    is_test = np.array([one.part is Part.TEST for one in pairs])
    out_of_fold = cross_validated_probe(found, pairs)
    ranked = triaged(found, pairs)
    order = [ids[pair_id] for pair_id in ranked["pair_id"]]
    wrong = np.array([one in planted for one in order])
    fold = crossfit.assign_folds(pairs, num_folds=5, seed=0)
    words = np.zeros(len(pairs))
    for one in range(5):
        train = [pair for pair, at in zip(pairs, fold, strict=True) if at != one]
        words[fold == one] = words_correct(train, [pairs[i] for i in np.flatnonzero(fold == one)], CountVectorizer())

    lines = [
        f"pairs {len(pairs)}, planted {len(planted)}, content {demo_pairs.content_hash()}",
        f"parts {' '.join(f'{part} {len(of)}' for part, of in parts.items())}, "
        f"left out of training as leaks {len(leaks.find_leaks(pairs).pair_ids)}",
        f"always the longer: test {longer_accuracy(parts[Part.TEST]):.3f}, all {longer_accuracy(pairs):.3f}",
    ]
    for name, vectorizer in (("counts", CountVectorizer()), ("tf-idf", TfidfVectorizer())):
        correct = words_correct(parts[Part.TRAIN], parts[Part.TEST], vectorizer)
        lines.append(f"bag of words, {name}: test {correct.mean():.3f}")
    lines += [
        f"bag of words, counts: 5 folds {words.mean():.3f}",
        f"probe: test {trained[is_test].mean():.3f}, 5 folds {out_of_fold.mean():.3f}",
        f"triage: precision at 50 {precision_at(order, planted, 50):.2f}, "
        f"at 100 {precision_at(order, planted, 100):.2f}, AUROC {auroc(ranked['doubt'].to_numpy(), wrong):.3f}",
        "",
        f"{'kind':20}{'pairs':>7}{'test':>6}{'probe, test':>13}{'probe, folds':>14}{'words, folds':>14}"
        f"{'longer':>8}{'planted in 50':>15}",
    ]
    kinds = defaultdict(list)
    for number, one in enumerate(pairs):
        kinds[one.subset].append(number)
    first = [pairs[pair_id].subset for pair_id, hit in zip(ranked["pair_id"][:50], wrong[:50], strict=True) if hit]
    shown = [pairs[pair_id].subset for pair_id in ranked["pair_id"][:50]]
    for kind, at in sorted(kinds.items()):
        test = [i for i in at if is_test[i]]
        on_test = trained[test].mean() if test else float("nan")
        lines.append(
            f"{kind:20}{len(at):7}{len(test):6}{on_test:13.2f}{out_of_fold[at].mean():14.2f}{words[at].mean():14.2f}"
            f"{longer_accuracy([pairs[i] for i in at]):8.2f}{f'{first.count(kind)} of {shown.count(kind)}':>15}"
        )
        rows = [demo_pairs.rows()[i] for i in at[:3]] if arguments.show else []
        lines += [f"    {row['prompt']}\n        a {row['response_a']}\n        b {row['response_b']}" for row in rows]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
