"""The loss: pure tensors, one value a pair, in float32 (float64 stays float64). The caller weighs and takes the mean.

Throughout, d = reward(a) - reward(b), and a soft target of p_a and p_tie is three shares that add up to 1:
a: p_a - p_tie / 2, b: 1 - p_a - p_tie / 2, tie: p_tie.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, logsigmoid, softplus

from core.config import Objective, Ties

# ruff: noqa: N803 - B pairs


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """One value for each answer, shape (B,): shares of a target, probabilities, or their logarithms."""

    a: Tensor
    b: Tensor
    tie: Tensor


class TieParameter(nn.Module):
    """The learned width of ties, at least 0; at 0 both rules are Bradley-Terry and no tie is possible.

    Rao-Kupper: alpha = log theta, a difference of rewards in logits; equal rewards tie with (theta - 1) / (theta + 1).
    Davidson: nu; equal rewards tie with nu / (1 + nu).
    """

    def __init__(self, ties: Ties, value: float) -> None:
        super().__init__()
        self.ties = ties
        value = max(value, 1e-12)
        # softplus undone: the optimizer moves a number without bounds.
        self.raw = nn.Parameter(torch.tensor(value + math.log(-math.expm1(-value)), dtype=torch.float32))

    @classmethod
    def from_tie_rate(cls, ties: Ties, tie_rate: float) -> "TieParameter":
        """The one by which equal rewards tie at `tie_rate`, in (0, 1): before training all rewards are near equal."""
        if ties is Ties.RAO_KUPPER:
            return cls(ties, 2 * math.atanh(tie_rate))
        return cls(ties, tie_rate / (1 - tie_rate))

    def forward(self) -> Tensor:
        return softplus(self.raw)

    @property
    def value(self) -> float:
        return float(self().detach())


def preference_loss(
    reward_a_B: Tensor,
    reward_b_B: Tensor,
    p_a_B: Tensor,
    p_tie_B: Tensor,
    *,
    objective: Objective,
    tie_parameter: Tensor | None = None,
) -> Tensor:
    """Cross-entropy, per pair, of a target with the model's probabilities, and the penalties of the objective.

    With the default objective: -p_a log sigmoid(d) - (1 - p_a) log sigmoid(-d).

    Args:
        reward_a_B: logits, shape (B,).
        reward_b_B: logits, shape (B,).
        p_a_B: target P(a better) + p_tie / 2, shape (B,), in [0, 1]; hard targets are 0 and 1.
        p_tie_B: target P(tie), shape (B,), in [0, 1]; no more of it counts than p_a leaves room for.
        tie_parameter: what `TieParameter` gives, where `objective.learns_ties`.

    Returns:
        Shape (B,), nats.

    Sources, by setting:
        Bradley & Terry 1952, soft targets as in RLAIF (arXiv 2309.00267).
        ties: `log_probabilities`; half, the tie's share goes to both sides alike; drop, it counts for nothing;
            penalise, it costs tie_penalty * huber(d), d^2 / 2 up to 1 and |d| - 1/2 beyond (Huber 1964).
        label_smoothing e: shares become (1 - e) a + e b and (1 - e) b + e a (cDPO, eq. 3; ericmitchell.ai/cdpo.pdf).
        noise_rate e, forward-corrected: labels are flipped after the fact, so that P(labeled a) is
            (1 - e) P(a) + e P(b) (Patrini et al. 2017, arXiv 1609.03944, theorem 2).
        target_margin m, adaptive_margin k: d loses m on the target's side (Llama 2, arXiv 2307.09288, eq. 2) and
            k (2 p_a - 1) (Secrets of RLHF II, arXiv 2401.06080, eq. 6, the margin within the sigmoid).
        centring c: c (r_a + r_b)^2 (arXiv 2312.09244, eq. 2; center_rewards_coefficient in TRL).
    """
    reward_a, reward_b, p_a = _wide(reward_a_B), _wide(reward_b_B), _wide(p_a_B)
    margin = reward_a - reward_b
    lead = objective.target_margin * torch.sign(2 * p_a - 1) + objective.adaptive_margin * (2 * p_a - 1)
    target = _target_shares(p_a, _wide(p_tie_B), objective)
    log_p = log_probabilities(margin - lead, ties=objective.ties, tie_parameter=tie_parameter)
    seen = _as_labeled(log_p, objective.noise_rate)
    losses = -(target.a * seen.a + target.b * seen.b)
    if objective.learns_ties:
        losses = losses - target.tie * seen.tie
    if objective.ties is Ties.PENALISE:
        penalty = huber_loss(margin, torch.zeros_like(margin), reduction="none")
        losses = losses + objective.tie_penalty * target.tie * penalty
    return losses + objective.centring * (reward_a + reward_b) ** 2


def bradley_terry_loss(margin_B: Tensor, p_a_B: Tensor) -> Tensor:
    """-p_a log sigmoid(margin) - (1 - p_a) log sigmoid(-margin), per pair: the NLL that every run is measured by.

    Whatever a run trains on, this stays comparable between runs: no tie parameter, smoothing, correction or penalty.
    """
    margin, p_a = _wide(margin_B), _wide(p_a_B)
    return -(p_a * logsigmoid(margin) + (1 - p_a) * logsigmoid(-margin))


def log_probabilities(margin_B: Tensor, *, ties: Ties, tie_parameter: Tensor | None = None) -> ThreeWay:
    """Logarithms of P(a better), P(b better) and P(tie) at a margin, each of shape (B,).

    Rao & Kupper 1967, alpha = log theta: P(a) = sigmoid(d - alpha), P(b) = sigmoid(-d - alpha),
        P(tie) = (theta^2 - 1) P(a) P(b).
    Davidson 1970: P(a), P(b), P(tie) as e^(d/2), e^(-d/2), 2 nu; log P(a) / P(b) stays d.
    Else Bradley-Terry, where P(tie) is 0 and its logarithm -inf.
    """
    margin = _wide(margin_B)
    if ties not in {Ties.RAO_KUPPER, Ties.DAVIDSON}:
        return ThreeWay(logsigmoid(margin), logsigmoid(-margin), torch.full_like(margin, -math.inf))
    assert tie_parameter is not None  # these rules have one
    # At 0 the logarithm, and so the loss of a pair that is no tie, would be no number.
    width = _wide(tie_parameter).to(margin).clamp_min(torch.finfo(margin.dtype).tiny)
    if ties is Ties.RAO_KUPPER:
        a, b = logsigmoid(margin - width), logsigmoid(-margin - width)
        # log(theta^2 - 1), exact for a small alpha and finite for a large one.
        return ThreeWay(a, b, 2 * width + torch.log(-torch.expm1(-2 * width)) + a + b)
    tie = torch.log(2 * width).expand_as(margin)
    answers = torch.log_softmax(torch.stack([margin / 2, -margin / 2, tie]), dim=0)
    return ThreeWay(answers[0], answers[1], answers[2])


def probabilities(margin_B: Tensor, *, ties: Ties, tie_parameter: Tensor | None = None) -> ThreeWay:
    """P(a better), P(b better), P(tie) at a margin, each of shape (B,); they add up to 1."""
    log_p = log_probabilities(margin_B, ties=ties, tie_parameter=tie_parameter)
    return ThreeWay(log_p.a.exp(), log_p.b.exp(), log_p.tie.exp())


def _target_shares(p_a: Tensor, p_tie: Tensor, objective: Objective) -> ThreeWay:
    # A labeler may call a pair a tie and still give a p_a far from a half.
    tie = torch.minimum(p_tie, 2 * torch.minimum(p_a, 1 - p_a))
    if objective.ties is Ties.HALF:
        tie = torch.zeros_like(p_a)
    a, b, flipped = p_a - tie / 2, 1 - p_a - tie / 2, objective.label_smoothing
    return ThreeWay((1 - flipped) * a + flipped * b, (1 - flipped) * b + flipped * a, tie)


def _as_labeled(log_p: ThreeWay, noise_rate: float) -> ThreeWay:
    """The logarithms after `noise_rate` of the decided labels were flipped; ties stay ties."""
    if noise_rate == 0:
        return log_p
    kept, flipped = math.log1p(-noise_rate), math.log(noise_rate)
    a = torch.logaddexp(log_p.a + kept, log_p.b + flipped)
    b = torch.logaddexp(log_p.b + kept, log_p.a + flipped)
    return ThreeWay(a, b, log_p.tie)


def _wide(values: Tensor) -> Tensor:
    """Float32, or float64 as it was: half precision cannot tell near rewards apart."""
    return values if values.dtype is torch.float64 else values.to(torch.float32)
