"""Votes add up to a label."""

from collections.abc import Sequence

from core.records import Consistency, Label, Order, Preference, Vote

_P_A = {Preference.A: 1.0, Preference.B: 0.0, Preference.TIE: 0.5}


def label_of(votes: Sequence[Vote]) -> Label:
    """The label of one labeler (or of a pooled kind) on one pair.

    Where every vote names its shown order and both orders occur, each order weighs the same, so that asking one order
    more often does not bring its position bias back in. Otherwise each vote weighs the same.
    """
    shares = _weights(votes)
    p_a = sum(share * _p_a(vote) for share, vote in zip(shares, votes, strict=True))
    p_tie = sum(share for share, vote in zip(shares, votes, strict=True) if vote.preference is Preference.TIE)
    # Sums of weights miss 0.5 by rounding; a cancelled vote must count as cancelled.
    p_a, p_tie = round(p_a, 12), round(p_tie, 12)
    return Label(p_a=p_a, p_tie=p_tie, side=_side(p_a, votes), consistency=_consistency(votes), num_votes=len(votes))


def _p_a(vote: Vote) -> float:
    return _P_A[vote.preference] if vote.p_a is None else vote.p_a


def _weights(votes: Sequence[Vote]) -> list[float]:
    num_ab = sum(vote.order is Order.AB for vote in votes)
    num_ba = sum(vote.order is Order.BA for vote in votes)
    if num_ab + num_ba < len(votes) or not num_ab or not num_ba:
        return [1.0 / len(votes)] * len(votes)
    return [0.5 / (num_ab if vote.order is Order.AB else num_ba) for vote in votes]


def _side(p_a: float, votes: Sequence[Vote]) -> Preference | None:
    decided = [vote.preference for vote in votes if vote.preference is not Preference.TIE]
    if not decided:
        return None
    if p_a == 0.5:
        return decided[0]
    return Preference.A if p_a > 0.5 else Preference.B


def _consistency(votes: Sequence[Vote]) -> Consistency:
    if len(votes) == 1:
        return Consistency.SINGLE
    seen = {order: {vote.preference for vote in votes if vote.order is order} for order in (Order.AB, Order.BA, None)}
    if any(len(preferences) > 1 for preferences in seen.values()):
        return Consistency.REPEAT_SPLIT
    if seen[Order.AB] and seen[Order.BA] and seen[Order.AB] != seen[Order.BA]:
        return Consistency.ORDER_FLIPPED
    unordered = {vote.preference for vote in votes}
    return Consistency.REPEAT_SPLIT if len(unordered) > 1 else Consistency.CONSISTENT
