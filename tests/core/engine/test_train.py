import itertools
import math
import random
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from core.config import Method, Overflow, Precision, Ties, TrainConfig
from core.engine import score
from core.engine.objective import preference_loss
from core.engine.train import evaluate, train
from core.errors import RunFailed
from core.records import Pair, Part
from tests.core.engine import tiny

FAST = {"method": Method.FULL, "learning_rate": 3e-3, "batch_pairs": 4, "warmup": 0.0}


def start(load, backbone, pairs, **settings):
    """A loaded model, its config and prepared pairs."""
    config = TrainConfig(backbone=backbone, **{**FAST, **settings})
    loaded = load(backbone, **{**FAST, **settings})
    return loaded, config, tiny.prepared(loaded, config, pairs)


def run(load, backbone, pairs, **settings):
    loaded, config, prepared = start(load, backbone, pairs, **settings)
    timeless = {"pairs_per_second": None, "tokens_per_second": None}
    return loaded, [replace(step, **timeless) for step in train(loaded, config, prepared)]


def measured(loaded, config, pairs):
    return evaluate(loaded, config, tiny.planner(loaded, config, pairs))


def weights(loaded):
    return {name: value.clone() for name, value in loaded.model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("backbone", ["decoder", "encoder"])
def test_training_learns_what_can_be_learned(load, request, backbone):
    pairs = tiny.snapshot(48)

    _, steps = run(load, request.getfixturevalue(backbone), pairs, epochs=12, learning_rate=1e-2)

    last = [step.loss for step in steps[-12:]]
    assert sum(last) / len(last) < 0.5 * steps[0].loss


def test_lora_learns_with_the_backbone_frozen(load, decoder):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(24), method=Method.LORA, epochs=8, learning_rate=1e-2)
    frozen = {name: p.clone() for name, p in loaded.model.named_parameters() if not p.requires_grad}

    steps = list(train(loaded, config, prepared))

    assert measured(loaded, config, prepared.train).nll < steps[0].loss
    after = dict(loaded.model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())


class TestHalfPrecision:
    """The frozen weights of lora are kept in it; whatever is trained is in float32."""

    LORA = {"method": Method.LORA, "epochs": 8, "learning_rate": 1e-2}  # noqa: RUF012 - read alone
    KINDS = pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])

    @KINDS
    @pytest.mark.parametrize("backbone", ["decoder", "gpt2", "encoder"])
    @pytest.mark.parametrize("dora", [False, True])
    def test_is_that_of_frozen_weights_alone(self, load, request, tmp_path, backbone, precision, dora):
        loaded, config, prepared = start(
            load, request.getfixturevalue(backbone), tiny.snapshot(12, 4), precision=precision, dora=dora, **self.LORA
        )
        half = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}[precision]

        list(itertools.islice(train(loaded, config, prepared, state=tmp_path / "state"), 4))

        parameters = loaded.model.named_parameters()
        kinds = {(p.requires_grad, p.dtype) for name, p in parameters if name != "head.weight"}
        assert kinds == {(True, torch.float32), (False, half)}
        assert loaded.model.head.weight.dtype is torch.float32
        kept = load_file(tmp_path / "state")
        assert {kept[name].dtype for name in kept if name != "rng"} == {torch.float32}
        assert any("exp_avg_sq" in name for name in kept)

    @KINDS
    @pytest.mark.parametrize("backbone", ["decoder", "encoder"])
    def test_learns_and_shares_prompts_where_float32_does(self, load, request, backbone, precision):
        pairs = tiny.snapshot(24)

        loaded, steps = run(load, request.getfixturevalue(backbone), pairs, precision=precision, **self.LORA)

        config = TrainConfig(backbone="", precision=precision, **{**FAST, **self.LORA})
        kept = measured(loaded, config, tiny.prepared(loaded, config, pairs).train)
        assert kept.nll < 0.7 * steps[0].loss
        assert (steps[1].shared > 0.1) is (backbone == "decoder")

    def test_starts_where_float32_starts(self, load, decoder):
        pairs = tiny.snapshot(24, 8)

        first = [run(load, decoder, pairs, precision=kind, **self.LORA)[1][0].valid_nll for kind in ("fp32", "bf16")]

        assert first[0] == pytest.approx(first[1], abs=0.02)
        assert first[0] != first[1]

    def test_says_no_gradient_norm_for_a_step_that_its_scaler_left_out(self, load, decoder):
        # The scale begins at 2^16, where these gradients overflow fp16.
        _, steps = run(load, decoder, tiny.snapshot(24), precision=Precision.FP16, **self.LORA)

        norms = [step.gradient_norm for step in steps[1:]]
        assert norms[0] is None
        assert all(math.isfinite(norm) for norm in norms if norm is not None)
        assert norms[-1] is not None


@pytest.mark.parametrize("method", [Method.FULL, Method.LORA])
def test_same_seed_gives_the_same_steps_bit_for_bit(load, decoder, method):
    pairs = tiny.snapshot(12, 4)

    first, steps = run(load, decoder, pairs, method=method, seed=3)
    second, again = run(load, decoder, pairs, method=method, seed=3)

    assert steps == again
    assert_same(weights(first), weights(second))


def test_another_seed_gives_other_steps(load, decoder):
    pairs = tiny.snapshot(12)

    losses = [[step.loss for step in run(load, decoder, pairs, seed=seed)[1]] for seed in (3, 4)]

    assert all(one != other for one, other in zip(*losses, strict=True))


def test_accumulation_equals_the_bigger_batch(load, decoder):
    pairs = [replace(one, weight=1.0 + one.pair_id % 3) for one in tiny.snapshot(8)]
    found = []

    for batch_pairs, accumulation in ((8, 1), (2, 4), (3, 3)):
        loaded, config, prepared = start(load, decoder, pairs, batch_pairs=batch_pairs, accumulation=accumulation)
        steps = list(train(loaded, config, prepared))
        assert len(steps) == 2  # step 0 and the only one, of all 8 pairs
        gradients = torch.cat([p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None])
        found.append((steps[1], gradients))

    (whole, gradients), *accumulated = found
    for step, gradient in accumulated:
        assert step.loss == pytest.approx(whole.loss, abs=1e-6)
        assert step.accuracy == whole.accuracy
        torch.testing.assert_close(gradient, gradients, atol=1e-6, rtol=0)


def test_weight_counts_a_pair_as_often(load, decoder):
    first, second = tiny.snapshot(2)

    _, weighted = run(load, decoder, [replace(first, weight=3.0), second])
    _, apart = run(load, decoder, [first])
    _, other = run(load, decoder, [second])

    expected = (3 * apart[1].loss + other[1].loss) / 4
    assert weighted[1].loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        *({"ties": ties} for ties in Ties if ties is not Ties.DROP),
        {"ties": Ties.PENALISE, "tie_penalty": 3.0},
        {"label_smoothing": 0.1},
        {"noise_rate": 0.2},
        {"target_margin": 1.0},
        {"adaptive_margin": 1.0},
        {"centring": 0.5},
    ],
    ids=str,
)
def test_loss_of_a_step_is_the_mean_of_its_objective(load, decoder, settings):
    pairs = [*tiny.snapshot(4), *(tiny.snapshot_pair(9 + i, p_a=0.5 + 0.1 * i, p_tie=1.0 - 0.2 * i) for i in range(3))]
    loaded, config, prepared = start(load, decoder, pairs, batch_pairs=8, **settings)
    scored = list(score.score(loaded, [(one.pair_id, one.pair) for one in pairs]))

    steps = train(loaded, config, prepared)
    next(steps)
    width = loaded.model.tie_parameter() if config.learns_ties else None
    loss = next(steps).loss

    rows = [(got.reward_a, got.reward_b, one.p_a, one.p_tie) for got, one in zip(scored, pairs, strict=True)]
    expected = preference_loss(*torch.tensor(rows).unbind(1), objective=config, tie_parameter=width)
    assert loss == pytest.approx(expected.mean().item(), abs=1e-5)


class TestLearnedTies:
    """Three pairs of eight are ties."""

    PAIRS = (*tiny.snapshot(20), *(tiny.snapshot_pair(seed, p_a=0.5, p_tie=1.0) for seed in range(50, 62)))
    BEGINNING = (12 + 0.5) / (32 + 1)  # half a tie and a pair more

    @pytest.mark.parametrize(("ties", "at_zero"), [(Ties.RAO_KUPPER, math.tanh), (Ties.DAVIDSON, None)])
    def test_equal_rewards_begin_to_tie_as_often_as_the_pairs_do(self, load, decoder, ties, at_zero):
        loaded, config, prepared = start(load, decoder, self.PAIRS, ties=ties)

        next(train(loaded, config, prepared))

        found = loaded.tie_parameter
        # (theta - 1) / (theta + 1) = tanh(alpha / 2), and nu / (1 + nu).
        rate = at_zero(found / 2) if at_zero else found / (1 + found)
        assert rate == pytest.approx(self.BEGINNING, rel=1e-5)

    def test_width_grows_with_the_rewards_it_is_learned_beside(self, load, decoder):
        loaded, config, prepared = start(load, decoder, self.PAIRS, ties=Ties.RAO_KUPPER, epochs=6)
        steps = train(loaded, config, prepared)
        next(steps)
        beginning = loaded.tie_parameter

        list(steps)

        # Rewards that differ tie less, so that a given share of ties asks for a greater width.
        assert loaded.tie_parameter > beginning * 1.01

    def test_width_learns_at_a_rate_of_its_own_and_does_not_decay(self, load, decoder):
        settings = {"ties": Ties.DAVIDSON, "learning_rate": 1e-9, "weight_decay": 0.9, "batch_pairs": 32}
        loaded, config, prepared = start(load, decoder, self.PAIRS, **settings)
        steps = train(loaded, config, prepared)
        next(steps)
        before = loaded.model.tie_parameter.raw.item()

        next(steps)

        # The first step of Adam is its rate, 0.01, whatever the gradient; decay would add 0.9 * 0.01 * |raw| = 0.003.
        assert abs(loaded.model.tie_parameter.raw.item() - before) == pytest.approx(0.01, rel=1e-3)

    def test_without_learned_ties_there_is_no_tie_parameter(self, load, decoder):
        loaded, _ = run(load, decoder, self.PAIRS, ties=Ties.HALF)

        assert loaded.tie_parameter is None

    def test_valid_nll_is_that_of_bradley_terry_whatever_the_objective(self, load, decoder):
        pairs = [*self.PAIRS, *(replace(one, part=Part.VALID) for one in tiny.snapshot(70)[62:])]

        first = [
            run(load, decoder, pairs, **settings)[1][0].valid_nll
            for settings in ({}, {"ties": Ties.RAO_KUPPER, "noise_rate": 0.2, "centring": 1.0, "target_margin": 1.0})
        ]

        assert first[0] == pytest.approx(first[1], abs=1e-7)


@pytest.mark.parametrize(
    ("backbone", "method"), [("decoder", Method.FULL), ("decoder", Method.LORA), ("encoder", "full")]
)
def test_gradient_checkpointing_gives_the_same_steps(load, request, backbone, method):
    pairs, folder = tiny.snapshot(12), request.getfixturevalue(backbone)

    _, plain = run(load, folder, pairs, method=Method(method))
    loaded, checkpointed = run(load, folder, pairs, method=Method(method), gradient_checkpointing=True)

    assert any(getattr(module, "gradient_checkpointing", False) for module in loaded.model.modules())
    for one, other in zip(plain, checkpointed, strict=True):
        assert other.loss == pytest.approx(one.loss, abs=1e-6)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, abs=1e-5)


def test_best_weights_by_valid_nll_are_in_the_model_at_the_end(load, decoder):
    pairs = tiny.snapshot(16, 8)

    # So fast that it overfits: the last step is not the best.
    loaded, steps = run(load, decoder, pairs, epochs=10, learning_rate=3e-2)

    evaluated = [step.valid_nll for step in steps if step.valid_nll is not None]
    assert evaluated[-1] > min(evaluated)
    config = TrainConfig(backbone=decoder, **FAST)
    kept = measured(loaded, config, tiny.prepared(loaded, config, pairs).valid)
    assert kept.nll == pytest.approx(min(evaluated), abs=1e-6)
    assert next(step.valid_nll for step in reversed(steps) if step.is_best) == min(evaluated)


class TestEarlyStopping:
    """Labels of chance: what is learned of the train pairs is wrong of the valid pairs."""

    PAIRS = tuple(
        tiny.snapshot_pair(seed, p_a=float(random.Random(seed).random() < 0.5), part=part)
        for seed, part in enumerate([Part.TRAIN] * 16 + [Part.VALID] * 16)
    )
    SETTINGS = {"epochs": 20, "learning_rate": 3e-2}  # noqa: RUF012 - read alone
    NUM_STEPS, EVERY = 80, 10  # 20 epochs of 16 / 4; evaluated 8 times

    @pytest.mark.parametrize("patience", [1, 2, 4])
    def test_ends_a_run_that_overfits_with_its_best_weights(self, load, decoder, patience):
        loaded, steps = run(load, decoder, self.PAIRS, patience=patience, **self.SETTINGS)

        best = min((step for step in steps if step.valid_nll is not None), key=lambda step: step.valid_nll)
        assert steps[-1].step == best.step + patience * self.EVERY < self.NUM_STEPS
        config = TrainConfig(backbone=decoder, **FAST)
        kept = measured(loaded, config, tiny.prepared(loaded, config, self.PAIRS).valid)
        assert kept.nll == pytest.approx(best.valid_nll, abs=1e-6)

    def test_leaves_the_steps_before_it_as_they_were(self, load, decoder):
        _, stopped = run(load, decoder, self.PAIRS, patience=2, **self.SETTINGS)
        _, whole = run(load, decoder, self.PAIRS, patience=0, **self.SETTINGS)

        assert stopped == whole[: len(stopped)]
        assert whole[-1].step == self.NUM_STEPS

    def test_never_ends_a_run_without_valid_pairs(self, load, decoder):
        _, steps = run(load, decoder, self.PAIRS[:16], patience=1, **self.SETTINGS)

        assert steps[-1].step == self.NUM_STEPS


@pytest.mark.parametrize(("num_pairs", "at"), [(1, [1]), (8, [*range(1, 9)]), (15, [2, 4, 6, 8, 10, 12, 14, 15])])
def test_a_run_is_evaluated_at_most_eight_times_after_its_beginning(load, decoder, num_pairs, at):
    _, steps = run(load, decoder, tiny.snapshot(num_pairs, 2), batch_pairs=1, patience=0)

    assert [step.step for step in steps if step.valid_nll is not None] == [0, *at]


def test_no_more_pulling_leaves_the_best_weights_so_far(load, decoder):
    pairs = tiny.snapshot(16, 8)
    loaded, config, prepared = start(load, decoder, pairs, epochs=10, learning_rate=3e-2)
    steps = train(loaded, config, prepared)

    best, seen = None, []
    for step in itertools.islice(steps, 30):
        seen.append(step)
        if step.is_best:
            best = weights(loaded)
    before_close = weights(loaded)
    steps.close()

    assert not seen[-1].is_best  # else restoring would show nothing
    assert any(not torch.equal(before_close[name], best[name]) for name in best)
    assert_same(weights(loaded), best)
    assert not loaded.model.training


def test_without_valid_pairs_the_last_weights_stay(load, decoder):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(8), epochs=2)
    steps = train(loaded, config, prepared)

    seen = list(itertools.islice(steps, 3))
    at_stop = weights(loaded)
    steps.close()

    assert_same(weights(loaded), at_stop)
    assert all(step.valid_nll is None and not step.is_best for step in seen)


def test_evaluation_is_a_mean_over_pairs_not_over_batches(load, decoder):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(9))

    alone = [measured(loaded, config, [one]) for one in prepared.train]
    together = measured(loaded, config, prepared.train)

    assert together.nll == pytest.approx(sum(one.nll for one in alone) / 9, abs=1e-6)
    assert together.accuracy == pytest.approx(sum(one.accuracy for one in alone) / 9)


def test_learning_rate_warms_up_then_decays(load, decoder):
    _, steps = run(load, decoder, tiny.snapshot(40), warmup=0.2, learning_rate=1e-3)

    # 10 steps, of which 2 warm up: 1/2, 2/2, then from 8/9 down to 1/9.
    expected = [0.5e-3, 1e-3, *(1e-3 * left / 9 for left in range(8, 0, -1))]
    assert [step.learning_rate for step in steps[1:]] == pytest.approx(expected)


def test_every_pair_is_trained_on_once_an_epoch(load, decoder):
    pairs = tiny.snapshot(10)

    _, steps = run(load, decoder, pairs, epochs=3, batch_pairs=4)

    assert [step.step for step in steps] == list(range(10))  # 3 epochs of ceil(10 / 4) steps, after step 0
    assert [step.epoch for step in steps[3::3]] == [1.0, 2.0, 3.0]


def test_loss_that_is_no_number_stops_the_run_in_one_sentence(load, decoder):
    loaded, config, prepared = start(load, decoder, tiny.snapshot(4))
    with torch.no_grad():
        loaded.model.head.weight.fill_(float("inf"))

    with pytest.raises(RunFailed, match="learning_rate"):
        list(train(loaded, config, prepared))


class TestPrepare:
    """What must not be trained on is left out, and counted."""

    @pytest.mark.parametrize(("ties", "left"), [(Ties.DROP, 3), (Ties.HALF, 5)])
    def test_ties_are_dropped_or_counted_as_half(self, load, decoder, ties, left):
        pairs = [*tiny.snapshot(3), *(tiny.snapshot_pair(seed, p_a=0.5, p_tie=1.0) for seed in (10, 11))]

        _, _, prepared = start(load, decoder, pairs, ties=ties)

        assert prepared.counts.ties == 2
        assert prepared.counts.ties_left_out == 5 - left
        assert prepared.counts.num_train == len(prepared.train) == left
        assert sum(one.p_a == 0.5 for one in prepared.train) == left - 3

    def test_votes_that_cancel_are_no_tie(self, load, decoder):
        pairs = [*tiny.snapshot(2), tiny.snapshot_pair(10, p_a=0.5, p_tie=0.0)]

        _, _, prepared = start(load, decoder, pairs, ties=Ties.DROP)

        assert prepared.counts.ties == 0
        assert len(prepared.train) == 3

    def test_leaking_pairs_are_left_out_and_counted(self, load, decoder):
        pairs = tiny.snapshot(3, 1)
        stolen = Pair(tiny.user("another prompt"), pairs[3].pair.response_a, "no")
        pairs.append(tiny.snapshot_pair(10, of=stolen))

        _, _, prepared = start(load, decoder, pairs)

        assert prepared.counts.leaking == 1
        assert prepared.counts.num_train == 3

    @pytest.mark.parametrize(("overflow", "trimmed", "dropped"), [(Overflow.TRIM, 1, 0), (Overflow.DROP, 1, 1)])
    def test_overlong_pairs_are_trimmed_or_dropped(self, load, decoder, overflow, trimmed, dropped):
        pairs = [*tiny.snapshot(3), tiny.snapshot_pair(10, of=tiny.pair(10, prompt_words=300))]

        _, _, prepared = start(load, decoder, pairs, overflow=overflow)

        assert (prepared.counts.trimmed, prepared.counts.dropped) == (trimmed, dropped)
        assert prepared.counts.num_train == 4 - dropped

    def test_sides_that_trimming_made_equal_are_left_out(self, load, decoder):
        long = tiny.words(300, seed=1)
        pairs = [*tiny.snapshot(3), tiny.snapshot_pair(10, of=Pair(tiny.user("red?"), long + " red", long + " blue"))]

        _, _, prepared = start(load, decoder, pairs)

        assert prepared.counts.same_after_trimming == 1
        assert prepared.counts.num_train == 3

    def test_test_pairs_are_counted_and_never_prepared(self, load, decoder):
        pairs = [*tiny.snapshot(3, 2), tiny.snapshot_pair(10, part=Part.TEST)]

        _, _, prepared = start(load, decoder, pairs)

        counts = prepared.counts
        assert (counts.num_train, counts.num_valid, counts.num_test) == (3, 2, 1)
        assert (len(prepared.train), len(prepared.valid)) == (3, 2)

    def test_nothing_left_to_train_on_is_one_sentence(self, load, decoder):
        with pytest.raises(RunFailed, match="train"):
            start(load, decoder, tiny.snapshot(0, 3))

    def test_training_sees_the_tokens_that_scoring_sees(self, load, decoder):
        loaded, config, prepared = start(load, decoder, tiny.snapshot(1))

        (scored,) = score.score(loaded, [(0, tiny.pair(0))])
        nll = measured(loaded, config, prepared.train).nll

        sign = 1 if prepared.train[0].p_a == 1 else -1
        margin = torch.tensor(sign * scored.margin)
        assert nll == pytest.approx(torch.nn.functional.softplus(-margin).item(), abs=1e-5)
