"""The loss: pure tensors, one value a pair, always in float32."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(margin_B: Tensor, p_a_B: Tensor, *, label_smoothing: float = 0.0) -> Tensor:  # noqa: N803 - B pairs
    """Cross-entropy, per pair, of the target with the model's P(a is better) = sigmoid(margin).

    Args:
        margin_B: reward(a) - reward(b), logits, shape (B,).
        p_a_B: target P(a better) + P(tie) / 2, shape (B,), in [0, 1]; a tie counted as half is 0.5.
        label_smoothing: share of labels taken to be flipped, in [0, 0.5).

    Returns:
        Shape (B,), nats. The caller takes the (weighted) mean.

    Source: Bradley & Terry 1952; soft targets as in RLAIF (2309.00267); smoothing as in cDPO, eq. 3
    (ericmitchell.ai/cdpo.pdf): the target moves to (1 - e) p + e (1 - p).
    """
    margin, target = margin_B.to(torch.float32), p_a_B.to(torch.float32)
    target = target * (1 - label_smoothing) + (1 - target) * label_smoothing
    return -(target * logsigmoid(margin) + (1 - target) * logsigmoid(-margin))
