import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from core.config import Objective, Ties
from core.engine.objective import (
    TieParameter,
    bradley_terry_loss,
    log_probabilities,
    preference_loss,
    probabilities,
)

LEARNED = [Ties.RAO_KUPPER, Ties.DAVIDSON]
LOG_2, LOG_3 = math.log(2), math.log(3)


def of(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def loss(margin, p_a, p_tie=0.0, *, width=None, centre=0.0, **settings):
    """The loss of one pair whose rewards are `centre` +- margin / 2, in float64."""
    rewards = of(centre + margin / 2), of(centre - margin / 2)
    tie_parameter = None if width is None else of(width)[0]
    objective = Objective(**settings)
    return preference_loss(*rewards, of(p_a), of(p_tie), objective=objective, tie_parameter=tie_parameter).item()


def log_sigmoid(value):
    return -math.log1p(math.exp(-value))


class TestBradleyTerry:
    @pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 1.0])
    def test_loss_at_equal_rewards_is_log_two_whatever_the_target(self, target):
        assert loss(0.0, target) == pytest.approx(LOG_2)  # P(a) is 1/2 and so is P(b)

    def test_loss_of_a_margin_of_log_three_is_that_of_three_to_one(self):
        assert loss(LOG_3, 1.0) == pytest.approx(-math.log(3 / 4))  # sigmoid(log 3) = 3/4
        assert loss(LOG_3, 0.0) == pytest.approx(-math.log(1 / 4))

    def test_soft_target_weighs_both_answers(self):
        assert loss(LOG_3, 0.75) == pytest.approx(-0.75 * math.log(3 / 4) - 0.25 * math.log(1 / 4))

    def test_gradient_is_the_probability_less_the_target(self):
        margin = torch.tensor([LOG_3], requires_grad=True)

        preference_loss(
            margin, torch.zeros(1), torch.tensor([0.2]), torch.zeros(1), objective=Objective()
        ).sum().backward()

        assert margin.grad.item() == pytest.approx(0.75 - 0.2, abs=1e-6)

    def test_default_objective_is_the_loss_that_every_run_is_measured_by(self):
        a, b, p_a = torch.linspace(-4, 4, 9), torch.linspace(1, -1, 9), torch.linspace(0, 1, 9)

        losses = preference_loss(a, b, p_a, torch.zeros(9), objective=Objective())

        assert torch.equal(losses, bradley_terry_loss(a - b, p_a))

    def test_low_precision_and_extreme_margins_give_finite_float32_losses(self):
        rewards = torch.tensor([-200.0, 200.0], dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)

        losses = preference_loss(*rewards, torch.ones(2), torch.zeros(2), objective=Objective())

        assert losses.dtype is torch.float32
        assert losses.tolist() == pytest.approx([200.0, 0.0])  # -log sigmoid(-200) = 200 + log(1 + e^-200)

    def test_difference_of_low_precision_rewards_is_not_rounded(self):
        # Both are bfloat16 numbers; between 16 and 32 those lie 1/8 apart and the difference falls between two.
        rewards = torch.tensor([16.125], dtype=torch.bfloat16), torch.tensor([2**-7], dtype=torch.bfloat16)

        losses = preference_loss(*rewards, torch.zeros(1), torch.zeros(1), objective=Objective())

        assert losses.item() == pytest.approx(16.125 - 2**-7, abs=1e-6)  # -log sigmoid(-d) = d + log(1 + e^-d)


class TestTies:
    def test_half_is_half_a_win_for_each_side(self):
        # Two votes of five are ties, two a, one b: p_a = 2/5 + 1/5 and p_b = 1/5 + 1/5.
        expected = -0.6 * log_sigmoid(0.7) - 0.4 * log_sigmoid(-0.7)

        assert loss(0.7, 0.6, 0.4, ties=Ties.HALF) == pytest.approx(expected)

    def test_drop_counts_the_decided_share_alone(self):
        assert loss(0.7, 0.5, 1.0, ties=Ties.DROP) == 0
        # Of the same five votes the two for a and the one for b stay.
        expected = -0.4 * log_sigmoid(0.7) - 0.2 * log_sigmoid(-0.7)
        assert loss(0.7, 0.6, 0.4, ties=Ties.DROP) == pytest.approx(expected)

    @pytest.mark.parametrize(("margin", "huber"), [(0.5, 0.125), (-0.5, 0.125), (1.0, 0.5), (3.0, 2.5), (-3.0, 2.5)])
    def test_penalise_is_square_near_zero_and_straight_beyond_one(self, margin, huber):
        # d^2 / 2 up to 1, |d| - 1/2 beyond.
        assert loss(margin, 0.5, 1.0, ties=Ties.PENALISE, tie_penalty=2.0) == pytest.approx(2 * huber)

    def test_penalise_leaves_decided_pairs_to_bradley_terry(self):
        assert loss(0.7, 1.0, ties=Ties.PENALISE, tie_penalty=5.0) == pytest.approx(loss(0.7, 1.0))

    def test_penalise_pulls_a_partly_tied_pair_to_equal_rewards_and_not_to_its_lead(self):
        # Shares of 0.4, 0.2 and 0.4 for the tie; the decided ask for a lead of 0.5, the tie for none.
        expected = -0.4 * log_sigmoid(0.2) - 0.2 * log_sigmoid(-0.2) + 0.4 * 3 * 0.7**2 / 2

        assert loss(0.7, 0.6, 0.4, ties=Ties.PENALISE, tie_penalty=3.0, target_margin=0.5) == pytest.approx(expected)

    def test_default_penalty_bends_as_half_does_at_equal_rewards(self):
        step = 1e-3

        bends = [
            (loss(step, 0.5, 1.0, ties=ties) + loss(-step, 0.5, 1.0, ties=ties) - 2 * loss(0, 0.5, 1.0, ties=ties))
            / step**2
            for ties in (Ties.HALF, Ties.PENALISE)
        ]

        assert bends == pytest.approx([0.25, 0.25], rel=1e-4)  # half: sigmoid(0) sigmoid(-0); penalise: lambda

    def test_rao_kupper_is_as_its_paper_has_it(self):
        # theta = 3, pi_a / pi_b = e^d = 2: P(a) = 2 / (2 + 3) and P(b) = 1 / (1 + 3 * 2), the rest are ties.
        a, b = 2 / 5, 1 / 7

        assert loss(LOG_2, 1.0, width=LOG_3, ties=Ties.RAO_KUPPER) == pytest.approx(-math.log(a))
        assert loss(LOG_2, 0.0, width=LOG_3, ties=Ties.RAO_KUPPER) == pytest.approx(-math.log(b))
        assert loss(LOG_2, 0.5, 1.0, width=LOG_3, ties=Ties.RAO_KUPPER) == pytest.approx(-math.log(1 - a - b))

    def test_davidson_is_as_its_paper_has_it(self):
        # e^d = 4 and nu = 3/2: 4, 1 and 2 nu sqrt(4 * 1) = 6 of 11.
        margin = math.log(4)

        assert loss(margin, 1.0, width=1.5, ties=Ties.DAVIDSON) == pytest.approx(-math.log(4 / 11))
        assert loss(margin, 0.0, width=1.5, ties=Ties.DAVIDSON) == pytest.approx(-math.log(1 / 11))
        assert loss(margin, 0.5, 1.0, width=1.5, ties=Ties.DAVIDSON) == pytest.approx(-math.log(6 / 11))

    @pytest.mark.parametrize("ties", LEARNED)
    def test_partly_tied_label_weighs_all_three_answers(self, ties):
        p = probabilities(of(0.7), ties=ties, tie_parameter=of(0.9)[0])

        # p_a = 0.6 and p_tie = 0.4: shares of 0.4 for a, 0.2 for b, 0.4 for tie.
        expected = -0.4 * math.log(p.a) - 0.2 * math.log(p.b) - 0.4 * math.log(p.tie)
        assert loss(0.7, 0.6, 0.4, width=0.9, ties=ties) == pytest.approx(expected)

    @pytest.mark.parametrize("ties", Ties)
    def test_tie_counts_no_more_than_p_a_leaves_room_for(self, ties):
        # A labeler says tie and yet p_a = 0.9: at most 0.2 can be tied, so that the share of b is not negative.
        assert loss(0.7, 0.9, 1.0, width=0.9, ties=ties) == pytest.approx(loss(0.7, 0.9, 0.2, width=0.9, ties=ties))


class TestProbabilities:
    @pytest.mark.parametrize("ties", Ties)
    @pytest.mark.parametrize("width", [0.0, 1e-9, 0.3, LOG_3, 60.0])
    def test_three_answers_add_up_to_one(self, ties, width):
        p = probabilities(torch.linspace(-50, 50, 1001, dtype=torch.float64), ties=ties, tie_parameter=of(width)[0])

        assert (p.a + p.b + p.tie - 1).abs().max() < 1e-12

    @pytest.mark.parametrize("ties", LEARNED)
    def test_without_width_there_are_no_ties_and_the_rest_is_bradley_terry(self, ties):
        margin = torch.linspace(-30, 30, 61, dtype=torch.float64)

        log_p = log_probabilities(margin, ties=ties, tie_parameter=of(0.0)[0])

        torch.testing.assert_close(log_p.a, logsigmoid(margin), rtol=0, atol=1e-12)
        torch.testing.assert_close(log_p.b, logsigmoid(-margin), rtol=0, atol=1e-12)
        assert log_p.tie.exp().max() < 1e-300
        for p_a in (0.0, 0.3, 1.0):
            assert loss(1.3, p_a, width=0.0, ties=ties) == pytest.approx(loss(1.3, p_a), abs=1e-12)

    @pytest.mark.parametrize("theta", [1.5, 3.0, 10.0])
    def test_equal_rewards_tie_with_theta_less_one_over_theta_plus_one(self, theta):
        p = probabilities(of(0.0), ties=Ties.RAO_KUPPER, tie_parameter=of(math.log(theta))[0])

        assert p.tie.item() == pytest.approx((theta - 1) / (theta + 1))

    @pytest.mark.parametrize("nu", [0.2, 1.0, 3.0])
    def test_equal_rewards_tie_with_nu_over_one_plus_nu(self, nu):
        p = probabilities(of(0.0), ties=Ties.DAVIDSON, tie_parameter=of(nu)[0])

        assert p.tie.item() == pytest.approx(nu / (1 + nu))

    def test_davidson_keeps_the_odds_of_the_decided(self):
        margin = torch.linspace(-5, 5, 11, dtype=torch.float64)

        log_p = log_probabilities(margin, ties=Ties.DAVIDSON, tie_parameter=of(0.8)[0])

        torch.testing.assert_close(log_p.a - log_p.b, margin)

    @pytest.mark.parametrize(
        ("ties", "width", "edge"),
        # Modal while |d| < log(theta^2 - 2) - log theta, and while |d| < 2 log(2 nu).
        [(Ties.RAO_KUPPER, LOG_3, math.log(7 / 3)), (Ties.DAVIDSON, 1.0, 2 * LOG_2)],
    )
    def test_tie_is_the_likeliest_answer_up_to_its_edge(self, ties, width, edge):
        p = probabilities(of(edge - 1e-6, edge + 1e-6), ties=ties, tie_parameter=of(width)[0])

        assert (p.tie > p.a).tolist() == [True, False]

    @pytest.mark.parametrize("ties", LEARNED)
    @pytest.mark.parametrize("width", [1e-30, 1e-6, 50.0])
    def test_extreme_widths_have_finite_losses_and_gradients_in_float32(self, ties, width):
        margin = torch.tensor([-80.0, 0.0, 80.0], requires_grad=True)
        tie_parameter = torch.tensor(width, requires_grad=True)
        targets = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0.0, 0.0, 0.0])

        losses = preference_loss(
            margin, torch.zeros(3), *targets, objective=Objective(ties=ties), tie_parameter=tie_parameter
        )
        losses.sum().backward()

        assert losses.isfinite().all()
        assert margin.grad.isfinite().all()
        assert tie_parameter.grad.isfinite()


class TestNoise:
    def test_label_smoothing_moves_the_target_by_its_share(self):
        # 10 % of labels taken to be flipped: the target 1 becomes .9.
        assert loss(1.7, 1.0, label_smoothing=0.1) == pytest.approx(loss(1.7, 0.9))
        assert loss(1.7, 0.5, label_smoothing=0.1) == pytest.approx(loss(1.7, 0.5))

    def test_label_smoothing_leaves_ties_as_they_are(self):
        settings = {"ties": Ties.RAO_KUPPER, "width": 0.8}

        # Shares of 0.5, 0.1 and 0.4 become 0.9 * 0.5 + 0.1 * 0.1 = 0.46, 0.14 and 0.4: p_a = 0.66.
        assert loss(1.7, 0.7, 0.4, label_smoothing=0.1, **settings) == pytest.approx(loss(1.7, 0.66, 0.4, **settings))

    def test_known_noise_mixes_the_probabilities_of_both_sides(self):
        # sigmoid(log 3) = 3/4, a fifth flipped: .8 * .75 + .2 * .25 = .65.
        assert loss(LOG_3, 1.0, noise_rate=0.2) == pytest.approx(-math.log(0.65))
        assert loss(LOG_3, 0.0, noise_rate=0.2) == pytest.approx(-math.log(0.35))
        assert loss(LOG_3, 0.75, noise_rate=0.2) == pytest.approx(-0.75 * math.log(0.65) - 0.25 * math.log(0.35))

    def test_known_noise_bounds_the_loss_of_a_wrong_label(self):
        assert loss(-500.0, 1.0, noise_rate=0.1) == pytest.approx(-math.log(0.1))

    def test_noise_flips_sides_and_makes_no_ties(self):
        noisy = loss(1.0, 0.5, 1.0, width=0.8, ties=Ties.DAVIDSON, noise_rate=0.2)

        assert noisy == pytest.approx(loss(1.0, 0.5, 1.0, width=0.8, ties=Ties.DAVIDSON))

    def test_almost_no_noise_is_almost_no_correction(self):
        assert loss(1.3, 0.8, noise_rate=1e-12) == pytest.approx(loss(1.3, 0.8), abs=1e-10)


class TestMargins:
    def test_target_margin_is_taken_off_the_lead_of_the_target(self):
        # As TRL: -log sigmoid(r_chosen - r_rejected - margin).
        assert loss(1.5, 1.0, target_margin=0.4) == pytest.approx(-log_sigmoid(1.1))
        assert loss(1.5, 0.0, target_margin=0.4) == pytest.approx(-log_sigmoid(-1.9))
        assert loss(1.5, 0.5, 1.0, target_margin=0.4) == pytest.approx(loss(1.5, 0.5))

    def test_adaptive_margin_grows_with_how_sure_the_target_is(self):
        # 2 * .9 - 1 = .8 of a margin of .5.
        expected = -0.9 * log_sigmoid(1.5 - 0.4) - 0.1 * log_sigmoid(-1.5 + 0.4)

        assert loss(1.5, 0.9, adaptive_margin=0.5) == pytest.approx(expected)
        assert loss(1.5, 1.0, adaptive_margin=0.5) == pytest.approx(loss(1.5, 1.0, target_margin=0.5))

    def test_best_rewards_of_a_soft_target_lead_by_the_margins_more(self):
        # Without margins the loss of p_a = .8 is lowest at log(.8 / .2); with them at that + .3 + .5 * .6.
        best = math.log(4) + 0.3 + 0.5 * 0.6

        around = [loss(best + off, 0.8, target_margin=0.3, adaptive_margin=0.5) for off in (-1e-3, 0.0, 1e-3)]

        assert around[1] == min(around)

    def test_centring_pulls_the_sum_of_the_rewards_to_zero(self):
        # (r_a + r_b)^2 with rewards 3 +- .5 is 36.
        assert loss(1.0, 0.7, centre=3.0, centring=0.01) == pytest.approx(loss(1.0, 0.7) + 0.36)
        assert loss(1.0, 0.7, centre=3.0) == pytest.approx(loss(1.0, 0.7))


EVERYTHING = {"tie_penalty": 0.7, "target_margin": 0.3, "adaptive_margin": 0.4, "centring": 0.05}


@pytest.mark.parametrize("ties", Ties)
@pytest.mark.parametrize("noise", [{}, {"label_smoothing": 0.1}, {"noise_rate": 0.2}])
class TestEveryObjective:
    def test_gradients_are_those_of_the_loss(self, ties, noise):
        generator = torch.Generator().manual_seed(0)
        rewards = [torch.randn(6, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2)]
        tie_parameter = of(0.8)[0].requires_grad_()
        targets = of(1, 0, 0.5, 0.7, 0.3, 0.5), of(0, 0, 1, 0.4, 0, 0.2)
        objective = Objective(ties=ties, **EVERYTHING, **noise)

        def losses(reward_a, reward_b, tie):
            return preference_loss(reward_a, reward_b, *targets, objective=objective, tie_parameter=tie)

        assert torch.autograd.gradcheck(losses, (*rewards, tie_parameter))

    def test_swapping_the_sides_leaves_the_loss_as_it_is(self, ties, noise):
        a, b = torch.linspace(-4, 4, 9, dtype=torch.float64), torch.linspace(2, 1, 9, dtype=torch.float64)
        p_a = torch.linspace(0, 1, 9, dtype=torch.float64)
        p_tie = torch.linspace(0.4, 0, 9, dtype=torch.float64)
        settings = {"objective": Objective(ties=ties, **EVERYTHING, **noise), "tie_parameter": of(0.8)[0]}

        swapped = preference_loss(b, a, 1 - p_a, p_tie, **settings)

        torch.testing.assert_close(swapped, preference_loss(a, b, p_a, p_tie, **settings), rtol=0, atol=1e-12)

    def test_pairs_do_not_touch_each_other(self, ties, noise):
        a, b = torch.linspace(-4, 4, 9), torch.linspace(2, 1, 9)
        p_a, p_tie = torch.linspace(0, 1, 9), torch.linspace(0.4, 0, 9)
        settings = {"objective": Objective(ties=ties, **EVERYTHING, **noise), "tie_parameter": torch.tensor(0.8)}

        together = preference_loss(a, b, p_a, p_tie, **settings)
        alone = [preference_loss(*(one[i : i + 1] for one in (a, b, p_a, p_tie)), **settings) for i in range(9)]

        torch.testing.assert_close(together, torch.cat(alone))


class TestTieParameter:
    @pytest.mark.parametrize("ties", LEARNED)
    @pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.999])
    def test_equal_rewards_tie_at_the_rate_it_began_with(self, ties, rate):
        tie = TieParameter.from_tie_rate(ties, rate)

        p = probabilities(torch.zeros(1), ties=ties, tie_parameter=tie())

        assert p.tie.item() == pytest.approx(rate, rel=1e-3)

    def test_rao_kupper_begins_at_one_plus_t_over_one_minus_t(self):
        assert math.exp(TieParameter.from_tie_rate(Ties.RAO_KUPPER, 0.5).value) == pytest.approx(3.0)

    @pytest.mark.parametrize("value", [1e-6, 0.3, 4.0, 50.0])
    def test_value_is_kept(self, value):
        assert TieParameter(Ties.DAVIDSON, value).value == pytest.approx(value, rel=1e-5)

    def test_stays_at_least_zero_wherever_the_optimizer_goes(self):
        tie = TieParameter(Ties.RAO_KUPPER, 0.0)
        with torch.no_grad():
            tie.raw.sub_(1000)

        assert tie.value == 0
        p = probabilities(torch.zeros(1), ties=Ties.RAO_KUPPER, tie_parameter=tie())
        assert (p.a.item(), p.tie.item()) == pytest.approx((0.5, 0.0))


class Simulated:
    """Labels of pairs whose true margins are known."""

    def __init__(self, count, *, ties=Ties.HALF, width=0.0, noise=0.0, seed=0):
        self.generator = torch.Generator().manual_seed(seed)
        self.margin = 1.5 * torch.randn(count, dtype=torch.float64, generator=self.generator)
        p = probabilities(self.margin, ties=ties, tie_parameter=of(width)[0])
        drawn = torch.rand(count, dtype=torch.float64, generator=self.generator)
        self.p_tie = ((drawn >= p.a) & (drawn < p.a + p.tie)).double()
        a = (drawn < p.a).double()
        flipped = torch.rand(count, dtype=torch.float64, generator=self.generator) < noise
        self.p_a = torch.where(self.p_tie == 1, 0.5, torch.where(flipped, 1 - a, a))

    def fit(self, **settings):
        """The factor on the true margins, and the tie parameter, by which the labels are likeliest."""
        objective = Objective(**settings)
        scale = of(0.5)[0].requires_grad_()
        tie = TieParameter.from_tie_rate(objective.ties, 0.1).double() if objective.learns_ties else None
        unknown = [scale] if tie is None else [scale, tie.raw]
        optimizer = torch.optim.LBFGS(unknown, max_iter=50, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

        def mean_loss():
            optimizer.zero_grad()
            a, b = scale * self.margin / 2, -scale * self.margin / 2
            width = None if tie is None else tie()
            value = preference_loss(a, b, self.p_a, self.p_tie, objective=objective, tie_parameter=width).mean()
            value.backward()
            return value

        optimizer.step(mean_loss)
        return scale.item(), None if tie is None else tie.value


class TestRecovery:
    """What was planted in simulated labels is found; the standard errors of 60,000 pairs are under 0.01."""

    def test_rao_kupper_finds_theta_and_the_scale(self):
        scale, width = Simulated(60_000, ties=Ties.RAO_KUPPER, width=LOG_3).fit(ties=Ties.RAO_KUPPER)

        assert math.exp(width) == pytest.approx(3.0, rel=0.03)
        assert scale == pytest.approx(1.0, abs=0.03)

    def test_davidson_finds_nu_and_the_scale(self):
        scale, width = Simulated(60_000, ties=Ties.DAVIDSON, width=1.0).fit(ties=Ties.DAVIDSON)

        assert width == pytest.approx(1.0, rel=0.03)
        assert scale == pytest.approx(1.0, abs=0.03)

    def test_dropping_ties_inflates_the_scale_and_halving_them_shrinks_it(self):
        simulated = Simulated(60_000, ties=Ties.RAO_KUPPER, width=LOG_3)

        assert simulated.fit(ties=Ties.DROP)[0] > 1.3
        assert simulated.fit(ties=Ties.HALF)[0] < 0.9

    def test_without_ties_the_learned_width_goes_to_zero(self):
        scale, width = Simulated(20_000).fit(ties=Ties.RAO_KUPPER)

        assert width < 1e-3
        assert scale == pytest.approx(Simulated(20_000).fit()[0], abs=1e-3)

    def test_known_noise_gives_the_true_scale_and_unknown_noise_shrinks_it(self):
        simulated = Simulated(60_000, noise=0.2)

        assert simulated.fit(noise_rate=0.2)[0] == pytest.approx(1.0, abs=0.05)
        assert simulated.fit()[0] < 0.6

    def test_the_true_noise_rate_has_the_highest_likelihood(self):
        simulated = Simulated(60_000, noise=0.2)
        rates = (0.1, 0.15, 0.2, 0.25, 0.3)

        found = []
        for rate in rates:
            scale, _ = simulated.fit(noise_rate=rate)
            a = scale * simulated.margin
            objective = Objective(noise_rate=rate)
            losses = preference_loss(a, torch.zeros_like(a), simulated.p_a, simulated.p_tie, objective=objective)
            found.append(losses.mean().item())

        assert rates[found.index(min(found))] == 0.2

    def test_ties_and_noise_are_told_apart(self):
        simulated = Simulated(60_000, ties=Ties.RAO_KUPPER, width=LOG_3, noise=0.1)

        scale, width = simulated.fit(ties=Ties.RAO_KUPPER, noise_rate=0.1)

        assert math.exp(width) == pytest.approx(3.0, rel=0.04)
        assert scale == pytest.approx(1.0, abs=0.05)
