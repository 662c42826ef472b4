import math

import pytest
import torch

from core.engine.objective import bradley_terry_loss


def loss(margin, target, **settings):
    return bradley_terry_loss(torch.tensor([margin]), torch.tensor([target]), **settings).item()


@pytest.mark.parametrize("target", [0.0, 0.3, 0.5, 1.0])
def test_loss_at_equal_rewards_is_log_two_whatever_the_target(target):
    assert loss(0.0, target) == pytest.approx(math.log(2), abs=1e-7)  # P(a) is 1/2 and so is P(b)


def test_loss_of_a_margin_of_log_three_is_that_of_three_to_one():
    margin = math.log(3)  # sigmoid(log 3) = 3/4

    assert loss(margin, 1.0) == pytest.approx(-math.log(3 / 4), abs=1e-6)
    assert loss(margin, 0.0) == pytest.approx(-math.log(1 / 4), abs=1e-6)


def test_soft_target_weighs_both_answers():
    expected = -0.75 * math.log(3 / 4) - 0.25 * math.log(1 / 4)

    assert loss(math.log(3), 0.75) == pytest.approx(expected, abs=1e-6)


def test_label_smoothing_moves_the_target_by_its_share():
    # 10 % of labels taken to be flipped: the target 1 becomes .9.
    assert loss(1.7, 1.0, label_smoothing=0.1) == pytest.approx(loss(1.7, 0.9), abs=1e-6)
    assert loss(1.7, 0.5, label_smoothing=0.1) == pytest.approx(loss(1.7, 0.5), abs=1e-6)


def test_swapping_the_sides_leaves_the_loss_as_it_is():
    margin, target = torch.linspace(-4, 4, 9), torch.linspace(0, 1, 9)

    swapped = bradley_terry_loss(-margin, 1 - target, label_smoothing=0.2)

    torch.testing.assert_close(swapped, bradley_terry_loss(margin, target, label_smoothing=0.2))


def test_gradient_is_the_probability_less_the_target():
    margin = torch.tensor([math.log(3)], requires_grad=True)

    bradley_terry_loss(margin, torch.tensor([0.2])).sum().backward()

    assert margin.grad.item() == pytest.approx(0.75 - 0.2, abs=1e-6)


def test_low_precision_and_extreme_margins_give_finite_float32_losses():
    margin = torch.tensor([-200.0, 200.0], dtype=torch.bfloat16)

    losses = bradley_terry_loss(margin, torch.tensor([1.0, 1.0]))

    assert losses.dtype is torch.float32
    assert losses.tolist() == pytest.approx([200.0, 0.0])  # -log sigmoid(-200) = 200 + log(1 + e^-200)
