import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from core.config import Method, Overflow, Ties, TrainConfig
from core.engine import features, probe, score
from core.engine.cache import cache_for
from core.engine.probe import RIDGES, fit, nll, scale_of
from core.errors import RunFailed
from core.records import Pair, Part
from tests.core.engine import tiny


def problem(count=60, width=5, *, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, width))
    y = expit(x @ random.normal(size=width)).round(2)
    return x, y, random.uniform(0.5, 2.0, size=count)


@pytest.mark.parametrize("ridge", [10.0, 0.1, 0.001])
def test_gradient_is_zero_at_the_solution(ridge):
    x, y, w = problem()

    v = fit(x, y, w, ridge=ridge)

    gradient = sum(w[i] * (1 / (1 + math.exp(-x[i] @ v)) - y[i]) * x[i] for i in range(len(y))) / sum(w) + ridge * v
    assert np.abs(gradient).max() < 1e-6


def test_one_feature_without_ridge_recovers_the_log_odds():
    # Three of four pairs say a with x = 1: the likelihood is highest where sigmoid(v) = 3/4.
    v = fit(np.ones((4, 1)), np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4), ridge=1e-9)

    assert v[0] == pytest.approx(math.log(3), abs=1e-5)


def test_start_does_not_change_the_solution():
    x, y, w = problem()

    from_zero, from_afar = fit(x, y, w, ridge=0.1), fit(x, y, w, ridge=0.1, start=np.full(x.shape[1], 3.0))

    assert from_afar == pytest.approx(from_zero, abs=1e-5)


def test_swapping_any_sides_gives_the_same_head():
    x, y, w = problem()
    flip = np.arange(len(y)) % 3 == 0

    swapped = fit(np.where(flip[:, None], -x, x), np.where(flip, 1 - y, y), w, ridge=0.1)

    assert swapped == pytest.approx(fit(x, y, w, ridge=0.1), abs=1e-6)
    assert scale_of(np.where(flip[:, None], -x, x)) == pytest.approx(scale_of(x))


def test_feature_without_any_difference_has_scale_one_and_weight_zero():
    x, y, w = problem()
    x[:, 2] = 0.0

    scale = scale_of(x)

    assert scale[2] == pytest.approx(math.sqrt(x.shape[1]))
    assert fit(x / scale, y, w, ridge=0.1)[2] == 0.0


def test_nll_is_the_mean_cross_entropy():
    margin, y = np.array([0.0, math.log(3)]), np.array([1.0, 0.0])

    assert nll(margin, y) == pytest.approx((math.log(2) + math.log(4)) / 2)


class TestTrain:
    @pytest.fixture
    def start(self, load, decoder, tmp_path):
        def start(pairs, **settings):
            loaded = load(decoder, method=Method.PROBE)
            cache = cache_for(loaded, tmp_path).features
            list(features.compute(loaded, cache, tiny.encoded(loaded, [one.pair for one in pairs])))
            config = TrainConfig(backbone=decoder, method=Method.PROBE, **settings)
            return loaded, config, cache, tiny.prepared(loaded, config, pairs)

        return start

    def run(self, start, pairs, **settings):
        loaded, *rest = start(pairs, **settings)
        steps = list(probe.train(loaded, *rest))
        return loaded.model.head.weight.detach().numpy()[0].copy(), steps, loaded

    def test_best_head_by_valid_nll_is_in_the_model_and_scores_so(self, start):
        pairs = tiny.snapshot(60, 20)

        _, steps, loaded = self.run(start, pairs)

        valid = [one for one in pairs if one.part is Part.VALID]
        margin = np.array([one.margin for one in score.score(loaded, [(one.pair_id, one.pair) for one in valid])])
        best = min(step.valid_nll for step in steps)
        assert nll(margin, np.array([one.p_a for one in valid])) == pytest.approx(best, abs=1e-4)
        assert [step.valid_nll for step in steps if step.is_best][-1] == best
        assert len(steps) == len(RIDGES)
        # Weaker ridges fit the training pairs ever better.
        losses = [step.loss for step in steps]
        assert losses == sorted(losses, reverse=True)

    def test_same_pairs_give_the_same_head_in_any_order_of_sides(self, start):
        pairs = tiny.snapshot(30, 10)
        swapped = [
            replace(one, pair=Pair(one.pair.prompt, one.pair.response_b, one.pair.response_a), p_a=1 - one.p_a)
            for one in pairs
        ]

        head, _, _ = self.run(start, pairs)

        assert (self.run(start, pairs)[0] == head).all()
        assert self.run(start, swapped)[0] == pytest.approx(head, abs=1e-4)

    def test_stopping_after_the_first_step_leaves_its_head(self, start):
        pairs = tiny.snapshot(30, 10)
        loaded, *rest = start(pairs)
        steps = probe.train(loaded, *rest)

        first = next(steps)
        steps.close()

        valid = [one for one in pairs if one.part is Part.VALID]
        margin = np.array([one.margin for one in score.score(loaded, [(one.pair_id, one.pair) for one in valid])])
        assert nll(margin, np.array([one.p_a for one in valid])) == pytest.approx(first.valid_nll, abs=1e-4)

    @pytest.mark.parametrize(("ties", "differs"), [(Ties.DROP, False), (Ties.HALF, True)])
    def test_ties_are_dropped_or_pull_towards_half(self, start, ties, differs):
        decided = tiny.snapshot(30)
        ties_too = [*decided, *(tiny.snapshot_pair(seed, p_a=0.5, p_tie=1.0) for seed in range(100, 110))]

        without, with_ties = (self.run(start, pairs, ties=ties)[0] for pairs in (decided, ties_too))

        assert (without != with_ties).any() == differs

    @pytest.mark.parametrize(("overflow", "differs"), [(Overflow.DROP, False), (Overflow.TRIM, True)])
    def test_overlong_pairs_are_dropped_where_the_run_says_so(self, start, overflow, differs):
        pairs = tiny.snapshot(30)
        overlong = tiny.snapshot_pair(200, of=tiny.pair(200, response_words=200))

        without, with_long = (self.run(start, some, overflow=overflow)[0] for some in (pairs, [*pairs, overlong]))

        assert (without != with_long).any() == differs

    def test_dropped_share_of_a_label_teaches_nothing(self, start):
        decided, partly = tiny.snapshot(30), range(100, 110)
        # One vote for a and one tie, beside what is left of it: half a vote for a.
        tied = [tiny.snapshot_pair(seed, p_a=0.75, p_tie=0.5) for seed in partly]
        left = [replace(tiny.snapshot_pair(seed, p_a=1.0), weight=0.5) for seed in partly]

        with_tied, with_left = (self.run(start, [*decided, *some], ties=Ties.DROP)[0] for some in (tied, left))

        assert with_tied == pytest.approx(with_left, rel=1e-6)

    def test_leaking_and_test_pairs_teach_nothing(self, start):
        pairs = tiny.snapshot(30, 5)
        held_out = tiny.snapshot_pair(200, part=Part.TEST)
        leaking = tiny.snapshot_pair(201, of=Pair(tiny.user("elsewhere"), held_out.pair.response_a, "no"))

        alone, together = (self.run(start, some)[0] for some in (pairs, [*pairs, held_out, leaking]))

        assert (alone == together).all()

    def test_no_training_pair_is_one_sentence(self, start):
        with pytest.raises(RunFailed, match="train"):
            self.run(start, tiny.snapshot(0, 4))
