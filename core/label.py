"""Votes add up to a label."""

import math
from collections.abc import Sequence

from core.judging import MOST_LOGIT
from core.records import Consistency, Label, Order, Preference, Vote

_P_A = {Preference.A: 1.0, Preference.B: 0.0, Preference.TIE: 0.5}


def label_of(votes: Sequence[Vote]) -> Label:
    """The label of one labeler (or of a pooled kind) on one pair.

    Where every vote names its shown order and both orders occur, each order weighs the same, so that asking one order
    more often does not bring its position bias back in. Otherwise each vote weighs the same, but for its principle's
    weight. Probabilities from both orders, or under several principles, are averaged as logits: if the first-shown
    gains b logits, logit p_ab = d + b and logit p_ba = d - b, and their mean is d (`MOST_LOGIT` bounds each).
    """
    shares = _weights(votes)
    weighed = list(zip(shares, votes, strict=True))
    if _are_logits(votes):
        p_a = 1.0 / (1.0 + math.exp(-sum(share * logit_of(_p_a(vote)) for share, vote in weighed)))
    else:
        p_a = sum(share * _p_a(vote) for share, vote in weighed)
    p_tie = sum(share for share, vote in weighed if vote.preference is Preference.TIE)
    # Sums of weights miss 0.5 by rounding; a cancelled vote must count as cancelled.
    p_a, p_tie = round(p_a, 12), round(p_tie, 12)
    return Label(p_a=p_a, p_tie=p_tie, side=_side(p_a, votes), consistency=_consistency(votes), num_votes=len(votes))


def logit_of(probability: float) -> float:
    """Of a labeler's own probability in [0, 1], within `MOST_LOGIT`."""
    least = 1.0 / (1.0 + math.exp(MOST_LOGIT))
    kept = min(max(probability, least), 1.0 - least)
    return math.log(kept / (1.0 - kept))


def _are_logits(votes: Sequence[Vote]) -> bool:
    if any(vote.p_a is None for vote in votes) or len({vote.labeler for vote in votes}) > 1:
        return False
    return _are_in_both_orders(votes) or any(vote.principle is not None for vote in votes)


def _p_a(vote: Vote) -> float:
    return _P_A[vote.preference] if vote.p_a is None else vote.p_a


def _weights(votes: Sequence[Vote]) -> list[float]:
    """They add up to 1."""
    if not _are_in_both_orders(votes):
        total = sum(vote.weight for vote in votes)
        return [vote.weight / total for vote in votes]
    totals = {order: sum(vote.weight for vote in votes if vote.order is order) for order in (Order.AB, Order.BA)}
    return [0.5 * vote.weight / totals[vote.order] for vote in votes if vote.order is not None]


def _are_in_both_orders(votes: Sequence[Vote]) -> bool:
    """Whether every vote names its shown order and both occur."""
    return {vote.order for vote in votes} == {Order.AB, Order.BA}


def _side(p_a: float, votes: Sequence[Vote]) -> Preference | None:
    decided = [vote.preference for vote in votes if vote.preference is not Preference.TIE]
    if not decided:
        return None
    if p_a == 0.5:
        return decided[0]
    return Preference.A if p_a > 0.5 else Preference.B


def _consistency(votes: Sequence[Vote]) -> Consistency:
    """Under several principles a labeler may differ; it contradicts itself only under the same one, or as a whole."""
    if len(votes) == 1:
        return Consistency.SINGLE
    seen: dict[tuple[Order | None, str | None], set[Preference]] = {}
    for vote in votes:
        seen.setdefault((vote.order, vote.principle), set()).add(vote.preference)
    if any(len(preferences) > 1 for preferences in seen.values()):
        return Consistency.REPEAT_SPLIT
    by_order = {order: _as_a_whole([vote for vote in votes if vote.order is order]) for order in (Order.AB, Order.BA)}
    if None not in by_order.values() and by_order[Order.AB] != by_order[Order.BA]:
        return Consistency.ORDER_FLIPPED
    under_none = {vote.preference for vote in votes if vote.principle is None}
    return Consistency.REPEAT_SPLIT if len(under_none) > 1 else Consistency.CONSISTENT


def _as_a_whole(votes: Sequence[Vote]) -> Preference | None:
    """What votes in one order add up to; None without any."""
    if not votes:
        return None
    if all(vote.principle is None for vote in votes):
        return votes[0].preference  # all alike: repeats that differ were found before
    leaning = sum(vote.weight * (logit_of(_p_a(vote))) for vote in votes)
    if abs(leaning) < 1e-9:
        return Preference.TIE
    return Preference.A if leaning > 0 else Preference.B
