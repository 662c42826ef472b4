"""Margins of models that did not train on the pair's prompt: K folds by prompt, R repeats, ridge probes."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.engine.features import PairFeatures
from core.engine.leaks import LEAST_WORDS, MOST_PROMPTS
from core.engine.probe import Floats64, fit, nll, scale_of
from core.errors import RunFailed
from core.records import Margin, SnapshotPair

NUM_FOLDS, REPEATS = 5, 2
LEAST_PROMPTS = 3
RIDGES = (1.0, 0.1, 0.01)
MOST_PAIRS_FOR_RIDGE = 4000


def crossfit(
    features: PairFeatures,
    pairs: Sequence[SnapshotPair],
    *,
    num_folds: int = NUM_FOLDS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> list[Margin]:
    """Out-of-fold margins of every pair, one a repeat.

    A model's training set is what lies outside the pair's fold, and folds hold whole prompts: no margin can come from a
    model that saw the prompt. Raises RunFailed with fewer than 3 prompts.
    """
    x = design(features)
    y = np.array([one.p_a for one in pairs])
    w = np.array([one.weight for one in pairs])
    folds = [assign_folds(pairs, num_folds=num_folds, seed=seed * 1000 + repeat) for repeat in range(repeats)]
    found = []
    for repeat, fold in enumerate(folds):
        margin = _out_of_fold(x, y, w, fold)
        found += [
            Margin(pair_id=one.pair_id, fold=int(fold[i]), repeat=repeat, epoch=0, margin=float(margin[i]))
            for i, one in enumerate(pairs)
        ]
    return found


def design(features: PairFeatures) -> Floats64:
    """Differences a - b of what a probe can tell responses apart by, shape (N, 3 D).

    Beside the pooled vector: the response's own mean, and its product with the prompt's mean, which says how the
    response stands to what was asked. Richer than a checkpoint's head may be: these models are never published.
    """
    pooled = features.pooled_a - features.pooled_b
    response = features.response_a - features.response_b
    fit_to_prompt = features.prompt_a * features.response_a - features.prompt_b * features.response_b
    return np.concatenate([pooled, response, fit_to_prompt], axis=1).astype(np.float64)


def assign_folds(pairs: Sequence[SnapshotPair], *, num_folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Fold of each pair, shape (N,). Prompts that share a response stay together.

    A response of 8 or more words under 2 or 3 prompts links them; no linked group grows beyond 1/K of the pairs.
    """
    groups = _linked_prompts(pairs, largest=max(1, len(pairs) // num_folds))
    sizes: dict[str, int] = defaultdict(int)
    for one in pairs:
        sizes[groups[one.pair.prompt_hash]] += 1
    if len(sizes) < LEAST_PROMPTS:
        raise RunFailed(f"{len(sizes)} separate prompts are too few for out-of-fold margins; at least 3 are needed")
    num_folds = min(num_folds, len(sizes))
    names = sorted(sizes)
    np.random.default_rng(seed).shuffle(names)
    # The largest first, each into the emptiest fold: folds stay even where a few prompts hold most pairs.
    names.sort(key=lambda name: -sizes[name])
    load = [0] * num_folds
    place = {}
    for name in names:
        emptiest = load.index(min(load))
        place[name] = emptiest
        load[emptiest] += sizes[name]
    return np.array([place[groups[one.pair.prompt_hash]] for one in pairs], dtype=np.int64)


def _linked_prompts(pairs: Sequence[SnapshotPair], *, largest: int) -> dict[str, str]:
    """Prompt hash -> the name of its group, by union of prompts that share a response."""
    size = Counter(one.pair.prompt_hash for one in pairs)
    parent = {prompt: prompt for prompt in size}

    def root(prompt: str) -> str:
        while parent[prompt] != prompt:
            prompt = parent[prompt]
        return prompt

    for prompts in _sharing_a_response(pairs):
        for other in prompts[1:]:
            one, two = root(prompts[0]), root(other)
            if one != two and size[one] + size[two] <= largest:
                parent[two] = one
                size[one] += size[two]
    return {prompt: root(prompt) for prompt in parent}


def _sharing_a_response(pairs: Sequence[SnapshotPair]) -> list[list[str]]:
    """Sets of 2 or 3 prompts under which the same response of some length stands; under more it is a stock phrase."""
    under: dict[str, set[str]] = defaultdict(set)
    for one in pairs:
        for response in (one.pair.response_a, one.pair.response_b):
            if len(response.split()) >= LEAST_WORDS:
                under[response].add(one.pair.prompt_hash)
    return [sorted(prompts) for prompts in under.values() if 1 < len(prompts) <= MOST_PROMPTS]


def _best_ridges(x: Floats64, y: Floats64, w: Floats64, fold: npt.NDArray[np.int64]) -> dict[int, float]:
    """For each fold, the strength with the lowest NLL on its two neighbours, measured by models without the fold.

    A strength chosen on all pairs would depend on the labels of the very fold whose margins it shapes. A model without
    two neighbours measures each for the other. On at most 4,000 pairs: the choice is not that fine.
    """
    names = np.unique(fold)
    chosen = np.random.default_rng(0).permutation(len(y))[:MOST_PAIRS_FOR_RIDGE]
    x, y, w, fold = x[chosen], y[chosen], w[chosen], fold[chosen]
    loss = np.zeros((len(names), len(RIDGES)))
    for place in range(len(names)):
        following = (place + 1) % len(names)
        one, other = fold == names[place], fold == names[following]
        outside = ~(one | other)
        # A fold of few pairs beside huge ones may be missing from the chosen.
        if not (one.any() and other.any() and outside.any()):
            continue
        scale = scale_of(x[outside])
        head = np.zeros(x.shape[1])
        for column, ridge in enumerate(RIDGES):
            head = fit(x[outside] / scale, y[outside], w[outside], ridge=ridge, start=head)
            loss[place, column] += nll((x[other] / scale) @ head, y[other]) * other.sum()
            loss[following, column] += nll((x[one] / scale) @ head, y[one]) * one.sum()
    return {int(name): RIDGES[int(row.argmin())] for name, row in zip(names, loss, strict=True)}


def _out_of_fold(x: Floats64, y: Floats64, w: Floats64, fold: npt.NDArray[np.int64]) -> Floats64:
    margin = np.zeros(len(y))
    for one, ridge in _best_ridges(x, y, w, fold).items():
        inside = fold == one
        scale = scale_of(x[~inside])
        margin[inside] = (x[inside] / scale) @ fit(x[~inside] / scale, y[~inside], w[~inside], ridge=ridge)
    return margin
