"""What can be wrong with pairs and their labels, seen without a model: each check is one function and one finding."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.findings import Finding, Level, of_pairs, slices_of
from core.measure.accuracy import Accuracy, always_the_first, always_the_longer, wilson_interval
from core.records import Candidate, Consistency, Message, Pair

# A rule that knows nothing of the texts is worth a warning where its whole interval lies outside this range.
FAIR_LOW, FAIR_HIGH = 0.45, 0.55
# Shares that are worth a warning.
MANY_TIES, MANY_CONFLICTS, MANY_DUPLICATES, MANY_UNLABELED = 0.5, 0.01, 0.01, 0.2
# A file that almost always puts the preferred response at one place is a file of triplets, not a biased labeler.
BY_LAYOUT = 0.98
_CONFLICTS = {Consistency.ORDER_FLIPPED, Consistency.REPEAT_SPLIT}


def examine_pairs(candidates: Sequence[Candidate], votes: pd.DataFrame, *, num_unlabeled: int) -> list[Finding]:
    """Every check of labeled pairs.

    Args:
        candidates: pairs with a label.
        votes: one row for each decided vote whose shown order is known: pair_id, a_first (1 or 0), p_a (1 or 0).
        num_unlabeled: pairs beside them that have no label.
    """
    return [
        labels(candidates, num_unlabeled=num_unlabeled),
        ties(candidates),
        conflicts(candidates),
        duplicates(candidates),
        file_position(candidates),
        shown_position(candidates, votes),
        longer(candidates),
    ]


def slice_names(one: Candidate) -> list[str]:
    """Slices that a pair belongs to: part, subset, turns of its prompt, length of its longer text."""
    turns = len(one.pair.prompt)
    characters = sum(len(turn.content) for turn in one.pair.prompt) + max(
        len(one.pair.response_a), len(one.pair.response_b)
    )
    named_turns = "1 turn" if turns == 1 else "2 to 4 turns" if turns < 5 else "5 turns or more"
    lengths = ((500, "under 500"), (2_000, "500 to 2,000"), (8_000, "2,000 to 8,000"))
    length = next((words for limit, words in lengths if characters < limit), "8,000 or more")
    subset = [] if one.subset is None else [f"subset {one.subset}"]
    return [*subset, f"part {one.part}", named_turns, f"{length} characters"]


def labels(candidates: Sequence[Candidate], *, num_unlabeled: int) -> Finding:
    total = len(candidates) + num_unlabeled
    numbers = {"labeled": len(candidates), "unlabeled": num_unlabeled}
    if not candidates:
        return Finding(
            check="labels",
            level=Level.FAIL,
            sentence=f"None of the {total:,} pairs has a label, so there is nothing to learn from.",
            what_to_do="Import labels, or let a labeler label the pairs.",
            numbers=numbers,
        )
    if num_unlabeled > MANY_UNLABELED * total:
        return Finding(
            check="labels",
            level=Level.WARN,
            sentence=f"{of_pairs(num_unlabeled, total)} have no label of this labeler and are left out.",
            what_to_do="Label the rest, or choose a labeler that covers more.",
            numbers=numbers,
        )
    return Finding(
        check="labels",
        level=Level.PASS,
        sentence=f"{of_pairs(len(candidates), total)} have a label.",
        numbers=numbers,
    )


def ties(candidates: Sequence[Candidate]) -> Finding:
    num = sum(one.is_tie for one in candidates)
    numbers = {"ties": num}
    if num == len(candidates):
        return Finding(
            check="ties",
            level=Level.FAIL,
            sentence=f"All {num:,} labels are ties, so nothing says which response is better.",
            what_to_do="Use a labeler that decides, or one whose p_a is a probability.",
            numbers=numbers,
        )
    if num > MANY_TIES * len(candidates):
        return Finding(
            check="ties",
            level=Level.WARN,
            sentence=f"{of_pairs(num, len(candidates))} are ties, which teach little.",
            what_to_do="Say what a tie teaches: ties=rao-kupper or davidson with method lora or full, else drop.",
            numbers=numbers,
        )
    sentence = f"{of_pairs(num, len(candidates))} are ties." if num else "No label is a tie."
    return Finding(check="ties", level=Level.PASS, sentence=sentence, numbers=numbers)


def conflicts(candidates: Sequence[Candidate]) -> Finding:
    """A > B and B > A: votes of one labeler on one pair, or labels of pairs that differ only in case and spaces."""
    against_itself = [one.consistency in _CONFLICTS for one in candidates]
    keys = [_loosely(one.pair) for one in candidates]
    better: dict[int, set[str]] = defaultdict(set)
    for key, one in zip(keys, candidates, strict=True):
        if one.p_a != 0.5:
            better[key].add(_squeezed(one.pair.response_a if one.p_a > 0.5 else one.pair.response_b))
    copies_differ = [len(better[key]) > 1 for key in keys]
    concerned = [mine or others for mine, others in zip(against_itself, copies_differ, strict=True)]
    num = sum(concerned)
    numbers = {"votes_differ": sum(against_itself), "copies_differ": sum(copies_differ)}
    sentence = f"{of_pairs(num, len(candidates))} are labeled both A > B and B > A"
    if num <= MANY_CONFLICTS * len(candidates):
        few = f"{sentence}, few enough to leave." if num else "No pair is labeled both A > B and B > A."
        return Finding(check="conflicts", level=Level.PASS, sentence=few, numbers=numbers)
    return Finding(
        check="conflicts",
        level=Level.WARN,
        sentence=f"{sentence}, so that they teach nothing or its opposite.",
        what_to_do="Review them under Labeler inconsistent in Disagreements, or ask the labeler again in both orders.",
        numbers=numbers,
        slices=slices_of(concerned, [slice_names(one) for one in candidates]),
    )


def duplicates(candidates: Sequence[Candidate]) -> Finding:
    """Exact copies are one pair already at the import; these differ in case and spaces."""
    seen: set[int] = set()
    repeats = []
    for key in (_loosely(one.pair) for one in candidates):
        repeats.append(key in seen)
        seen.add(key)
    num = sum(repeats)
    numbers = {"duplicates": num}
    if not num:
        return Finding(
            check="duplicates",
            level=Level.PASS,
            sentence="No pair repeats another, not even with other case or spaces.",
            numbers=numbers,
        )
    sentence = f"{of_pairs(num, len(candidates))} repeat another one up to case and spaces, and so weigh double."
    if num <= MANY_DUPLICATES * len(candidates):
        return Finding(check="duplicates", level=Level.PASS, sentence=sentence, numbers=numbers)
    return Finding(
        check="duplicates",
        level=Level.WARN,
        sentence=sentence,
        what_to_do="Remove the copies from the file, or drop them in review.",
        numbers=numbers,
        slices=slices_of(repeats, [slice_names(one) for one in candidates]),
    )


def file_position(candidates: Sequence[Candidate]) -> Finding:
    """Whether the preferred response stands first or second in the user's file.

    Pairs are stored by hash, so that no model sees this order; a labeler that read the file did.
    """
    decided = [one for one in candidates if one.p_a != 0.5]
    if not decided:
        return _no_decided("file_position")
    num = sum((one.p_a > 0.5) != one.swapped for one in decided)
    share = num / len(decided)
    low, high = wilson_interval(share, len(decided))
    numbers = {"first": num, "decided": len(decided), "low": low, "high": high}
    sentence = f"The file's first response is preferred in {100 * share:.1f} % of {len(decided):,} decided pairs"
    if share >= BY_LAYOUT or share <= 1 - BY_LAYOUT:
        return Finding(
            check="file_position",
            level=Level.PASS,
            sentence=f"{sentence}, as in a file of chosen and rejected; pairs are stored in an order by hash.",
            numbers=numbers,
        )
    if low > FAIR_HIGH or high < FAIR_LOW:
        return Finding(
            check="file_position",
            level=Level.WARN,
            sentence=f"{sentence}, which a balanced labeler would have near half.",
            what_to_do="If the labeler read the pairs in this order, label them again in both orders.",
            numbers=numbers,
        )
    return Finding(check="file_position", level=Level.PASS, sentence=f"{sentence}: balanced.", numbers=numbers)


def shown_position(candidates: Sequence[Candidate], votes: pd.DataFrame) -> Finding:
    """Accuracy of `always the first` that the labeler saw, vote by vote."""
    prompts = {one.pair_id: one.pair.prompt_hash for one in candidates}
    known = votes[votes["pair_id"].isin(prompts)]
    if known.empty:
        return Finding(
            check="shown_position",
            level=Level.PASS,
            sentence="No vote says which response the labeler saw first, so its position bias cannot be told.",
        )
    prompt = known["pair_id"].map(prompts).to_numpy(dtype=object)
    measured = always_the_first(known["a_first"].to_numpy(), known["p_a"].to_numpy(np.float64), prompt=prompt)
    return _rule(
        "shown_position",
        measured,
        rule="the response that the labeler saw first",
        counted=f"{len(known):,} votes",
        what_to_do="Ask the labeler in both orders, so that its position bias cancels.",
    )


def longer(candidates: Sequence[Candidate]) -> Finding:
    decided = [one for one in candidates if one.p_a != 0.5]
    if not decided:
        return _no_decided("longer")
    measured = always_the_longer(
        np.array([len(one.pair.response_a) for one in decided]),
        np.array([len(one.pair.response_b) for one in decided]),
        np.array([one.p_a for one in decided]),
        prompt=np.array([one.pair.prompt_hash for one in decided], dtype=object),
    )
    return _rule(
        "longer",
        measured,
        rule="the longer response",
        counted=f"{len(decided):,} decided pairs",
        what_to_do="Hold a run's accuracy against this one, which a model that only counts words would reach too.",
    )


def _rule(check: str, measured: Accuracy, *, rule: str, counted: str, what_to_do: str) -> Finding:
    """A rule that knows nothing of the texts should be right on half of the labels."""
    numbers = {"accuracy": measured.value, "low": measured.low, "high": measured.high}
    known = {key: None if np.isnan(value) else value for key, value in numbers.items()}
    interval = "" if np.isnan(measured.low) else f" ({100 * measured.low:.1f} to {100 * measured.high:.1f} %)"
    sentence = f"Always preferring {rule} is right on {100 * measured.value:.1f} %{interval} of {counted}"
    if measured.low > FAIR_HIGH or measured.high < FAIR_LOW:
        return Finding(check=check, level=Level.WARN, sentence=f"{sentence}.", what_to_do=what_to_do, numbers=known)
    return Finding(check=check, level=Level.PASS, sentence=f"{sentence}: the baseline to beat.", numbers=known)


def _no_decided(check: str) -> Finding:
    return Finding(check=check, level=Level.PASS, sentence="No label is decided, so there is nothing to measure.")


def _loosely(pair: Pair) -> int:
    """Equal for pairs that differ only in case and spaces, whatever their stored order."""
    sides = frozenset((_squeezed(pair.response_a), _squeezed(pair.response_b)))
    return hash((prompt_loosely(pair.prompt), sides))


def prompt_loosely(prompt: Sequence[Message]) -> int:
    """Equal for prompts that differ only in case and spaces."""
    return hash(tuple((turn.role, _squeezed(turn.content)) for turn in prompt))


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
