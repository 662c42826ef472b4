"""What training would make of pairs with a backbone, before any weight is loaded: each check is one function."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from core.config import Overflow, TrainConfig
from core.engine.estimate import NotEstimated, estimate, in_words, workload_of_texts
from core.engine.leaks import find_leaks
from core.engine.prepare import why_left_out
from core.engine.reader import Reader
from core.engine.tokens import Encoded, encode, encode_pairs
from core.findings import Finding, Level, concentration, of_pairs, passes, slices_of
from core.records import Candidate, Message, Pair, Part, Role

CHUNK_PAIRS = 500
MANY_TRIMMED, MANY_LEAKING = 0.05, 0.01  # shares of pairs that are worth a warning
FEW_PAIRS = 100  # to train on: fewer, and one label more or less moves the model
FEW_HELD_OUT = 30  # an accuracy of fewer has an interval of +-18 points and more (Wilson)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTokens:
    """What became of one pair's texts.

    Attributes:
        tokens_a, tokens_b: before trimming.
        responses_cut: max_tokens left no room for a whole response.
        is_same: both sides are the same tokens, after trimming.
        last_a, last_b: the last id of each side.
    """

    tokens_a: int
    tokens_b: int
    trimmed: bool
    responses_cut: bool
    is_same: bool
    last_a: int
    last_b: int


def read_pairs(reader: Reader, pairs: Sequence[Pair]) -> list[PairTokens]:
    """Tokenize pairs as training would; BadConfig where the chat template refuses one."""
    unlimited = replace(reader.rules, max_tokens=sys.maxsize)
    read = []
    for pair, (a, b) in zip(pairs, encode_pairs(reader.tokenizer, unlimited, pairs), strict=True):
        whole = (a, b)
        is_trimmed = max(len(a.input_ids), len(b.input_ids)) > reader.rules.max_tokens
        if is_trimmed:
            sides = (pair.response_a, pair.response_b)
            a, b = encode(reader.tokenizer, reader.rules, pair.prompt, sides)  # noqa: PLW2901 - the same, trimmed
        read.append(
            PairTokens(
                tokens_a=len(whole[0].input_ids),
                tokens_b=len(whole[1].input_ids),
                trimmed=is_trimmed,
                responses_cut=is_trimmed and _is_cut(pair, whole, (a, b)),
                is_same=a.input_ids == b.input_ids,
                last_a=a.input_ids[-1],
                last_b=b.input_ids[-1],
            )
        )
    return read


def _is_cut(pair: Pair, whole: tuple[Encoded, Encoded], trimmed: tuple[Encoded, Encoded]) -> bool:
    # A template that rewrites responses has none of them whole; then nothing can be told.
    return any(
        response.strip() in before.text and response.strip() not in after.text
        for response, before, after in zip((pair.response_a, pair.response_b), whole, trimmed, strict=True)
    )


def examine_tokens(
    reader: Reader,
    config: TrainConfig,
    candidates: Sequence[Candidate],
    read: Sequence[PairTokens],
    *,
    slices: Sequence[Sequence[str]],
) -> list[Finding]:
    """Checks of what the texts became; `slices` names those that each candidate belongs to."""
    return [
        pooled_token(reader, read),
        lengths(reader, read),
        trimmed(reader, config, read, slices=slices),
        cut_responses(reader, read, slices=slices),
        same_tokens(reader, read, slices=slices),
        split(candidates),
    ]


def pooled_token(reader: Reader, read: Sequence[PairTokens]) -> Finding:
    """What stands at the position that a decoder's head reads, on each side, as text."""
    sides = {"A": Counter(one.last_a for one in read), "B": Counter(one.last_b for one in read)}
    shown = {side: _as_text(reader.tokenizer, counted) for side, counted in sides.items()}
    numbers: dict[str, float | int | str | None] = {"pooling": reader.rules.pooling, "a": shown["A"], "b": shown["B"]}
    if reader.rules.pooling == "mean":
        sentence = f"The head reads the mean over all tokens; the last is {shown['A']} on A and {shown['B']} on B."
        return passes("pooled_token", sentence, numbers=numbers)
    sentence = f"The head reads the last token: {shown['A']} on A, {shown['B']} on B"
    if any(reader.tokenizer.pad_token_id in counted for counted in sides.values()):
        return Finding(
            check="pooled_token",
            level=Level.FAIL,
            sentence=f"{sentence}, and padding among them, which other libraries skip.",
            what_to_do="Take the padding token's text out of the responses.",
            numbers=numbers,
        )
    if len(sides["A"] | sides["B"]) > 1:
        return Finding(
            check="pooled_token",
            level=Level.WARN,
            sentence=f"{sentence}: texts end in different tokens.",
            what_to_do="Give the tokenizer an EOS token, so that every text is read at the same one.",
            numbers=numbers,
        )
    return passes("pooled_token", f"{sentence}.", numbers=numbers)


def _as_text(tokenizer: PreTrainedTokenizerBase, counted: Counter[int]) -> str:
    named = [f"{tokenizer.decode([token])!r}" for token, _ in counted.most_common(3)]
    return ", ".join(named) + (f" and {len(counted) - 3:,} others" if len(counted) > 3 else "")


def lengths(reader: Reader, read: Sequence[PairTokens]) -> Finding:
    longest = np.array([max(one.tokens_a, one.tokens_b) for one in read])
    median, p95 = (int(np.quantile(longest, q)) for q in (0.5, 0.95))
    numbers = {
        "median": median,
        "p95": p95,
        "longest": int(longest.max()),
        "tokens": sum(one.tokens_a + one.tokens_b for one in read),
        "max_tokens": reader.rules.max_tokens,
        "positions": reader.positions,
    }
    ends = "" if reader.positions is None else f" of the {reader.positions:,} that the backbone takes"
    sentence = (
        f"The longer text of a pair has {median:,} tokens at the median, {p95:,} at the 95th percentile and "
        f"{numbers['longest']:,} at most; max_tokens is {reader.rules.max_tokens:,}{ends}."
    )
    return passes("lengths", sentence, numbers=numbers)


def trimmed(
    reader: Reader, config: TrainConfig, read: Sequence[PairTokens], *, slices: Sequence[Sequence[str]]
) -> Finding:
    flags = [one.trimmed for one in read]
    num, drops = sum(flags), config.overflow is Overflow.DROP
    numbers = {"dropped" if drops else "trimmed": num}
    if not num:
        return passes("trimmed", f"Every pair fits into {reader.rules.max_tokens:,} tokens.", numbers=numbers)
    found = slices_of(flags, slices)
    where = concentration(found, num=num, num_all=len(read))
    verb = "are too long and dropped" if drops else "are too long and lose the beginning of their prompt"
    sentence = f"{of_pairs(num, len(read))} {verb}{where}."
    if num <= MANY_TRIMMED * len(read):
        return replace(passes("trimmed", sentence, numbers=numbers), slices=found)
    return Finding(
        check="trimmed",
        level=Level.WARN,
        sentence=sentence,
        what_to_do=f"{_more_room(reader)}.",
        numbers=numbers,
        slices=found,
    )


def _more_room(reader: Reader) -> str:
    if reader.positions is None:
        return "Raise max_tokens"
    if reader.positions > reader.rules.max_tokens:
        return f"Raise max_tokens, up to {reader.positions:,}"
    return "Choose a backbone that takes longer texts"


def cut_responses(reader: Reader, read: Sequence[PairTokens], *, slices: Sequence[Sequence[str]]) -> Finding:
    flags = [one.responses_cut for one in read]
    if not any(flags):
        return passes("cut_responses", "No response loses its end.", numbers={"pairs": 0})
    found = slices_of(flags, slices)
    where = concentration(found, num=sum(flags), num_all=len(read))
    return Finding(
        check="cut_responses",
        level=Level.WARN,
        sentence=f"{of_pairs(sum(flags), len(read))} lose their whole prompt and the end of a response{where}.",
        what_to_do=f"{_more_room(reader)}, or set overflow=drop.",
        numbers={"pairs": sum(flags)},
        slices=found,
    )


def same_tokens(reader: Reader, read: Sequence[PairTokens], *, slices: Sequence[Sequence[str]]) -> Finding:
    """Pairs whose sides a model cannot tell apart: training leaves them out."""
    flags = [one.is_same for one in read]
    after = sum(one.is_same and one.trimmed for one in read)
    numbers = {"after_trimming": after, "as_written": sum(flags) - after}
    if not any(flags):
        return passes("same_tokens", "No pair has the same tokens on both sides.", numbers=numbers)
    found = slices_of(flags, slices)
    why = "after trimming" if after == sum(flags) else "as the tokenizer reads them" if not after else "to the model"
    return Finding(
        check="same_tokens",
        level=Level.WARN,
        sentence=f"{of_pairs(sum(flags), len(read))} are the same on both sides {why} and left out"
        f"{concentration(found, num=sum(flags), num_all=len(read))}.",
        what_to_do=f"{_more_room(reader)}." if after else "Look at them: they differ only in what is stripped.",
        numbers=numbers,
        slices=found,
    )


def split(candidates: Sequence[Candidate]) -> Finding:
    """Prompts, or long responses, that stand both in train and held out."""
    leaking = find_leaks(candidates).pair_ids
    held_out = {_loosely(one.pair.prompt) for one in candidates if one.part is not Part.TRAIN}
    near = [
        one.part is Part.TRAIN and one.pair_id not in leaking and _loosely(one.pair.prompt) in held_out
        for one in candidates
    ]
    num_train = sum(one.part is Part.TRAIN for one in candidates)
    numbers = {"left_out": len(leaking), "near": sum(near)}
    if any(near):
        return Finding(
            check="split",
            level=Level.WARN,
            sentence=f"{of_pairs(sum(near), num_train)} to train on have a prompt that is also held out, up to case "
            "and spaces, so that held-out accuracy is too good.",
            what_to_do="Write such prompts alike in your file: equal prompts go to one part.",
            numbers=numbers,
        )
    if not leaking:
        return passes("split", "No prompt stands on both sides of the split.", numbers=numbers)
    sentence = (
        f"{of_pairs(len(leaking), num_train)} to train on share a prompt or a long response with held-out pairs, and "
        "training leaves them out."
    )
    if len(leaking) <= MANY_LEAKING * num_train:
        return passes("split", sentence, numbers=numbers)
    return Finding(
        check="split",
        level=Level.WARN,
        sentence=sentence,
        what_to_do="Held-out accuracy is safe; to train on more, hold out other prompts (import --split).",
        numbers=numbers,
    )


def _loosely(prompt: Sequence[Message]) -> tuple[tuple[Role, str], ...]:
    return tuple((turn.role, " ".join(turn.content.casefold().split())) for turn in prompt)


def resources(config: TrainConfig, candidates: Sequence[Candidate], device: torch.device) -> Finding:
    """Memory and time of the run, from the backbone's config alone; texts are measured by their bytes."""
    check = "resources"
    try:
        needed = estimate(config, workload_of_texts(config, candidates), device)
    except NotEstimated as unknown:
        return Finding(check=check, level=Level.WARN, sentence=f"{unknown}.", what_to_do="Try a few pairs first.")
    memory = f"{in_words(needed.memory.total)} of memory"
    sentence = (
        f"Training by {config.method} takes about {memory}, where {device} has {in_words(needed.free)} free, and about "
        f"{max(1, round(needed.seconds / 60)):,} min of computing."
    )
    numbers = {
        "memory_bytes": needed.memory.total,
        "free_bytes": needed.free,
        "seconds": round(needed.seconds),
        "trainable": needed.trainable,
    }
    if needed.fits:
        return passes(check, sentence, numbers=numbers)
    return Finding(
        check=check,
        level=Level.FAIL if needed.cannot_fit else Level.WARN,
        sentence=sentence,
        what_to_do="Take fewer tokens in a row (row_tokens), gradient checkpointing, or lora in place of full.",
        numbers=numbers,
    )


def training_set(config: TrainConfig, candidates: Sequence[Candidate], read: Sequence[PairTokens]) -> Finding:
    """What is left in each part after everything that training leaves out."""
    leaking = find_leaks(candidates).pair_ids
    left = Counter(
        one.part
        for one, tokens in zip(candidates, read, strict=True)
        if one.part is Part.TEST
        or (
            one.pair_id not in leaking
            and why_left_out(config, is_tie=one.is_tie, trimmed=tokens.trimmed, is_same=tokens.is_same) is None
        )
    )
    numbers = {part.value: left[part] for part in Part}
    sentence = (
        f"{left[Part.TRAIN]:,} pairs are left to train on, {left[Part.VALID]:,} to choose the checkpoint by and "
        f"{left[Part.TEST]:,} to report on."
    )
    if not left[Part.TRAIN]:
        why = "No pair is left to train on, and training would be refused."
        what = "See the other findings for what takes them away; import more pairs."
        return Finding(check="training_set", level=Level.FAIL, sentence=why, what_to_do=what, numbers=numbers)
    if left[Part.TRAIN] < FEW_PAIRS or min(left[Part.VALID], left[Part.TEST]) < FEW_HELD_OUT:
        return Finding(
            check="training_set",
            level=Level.WARN,
            sentence=sentence,
            what_to_do=f"Import more pairs: at least {FEW_PAIRS} to train on and {FEW_HELD_OUT} of each held-out part.",
            numbers=numbers,
        )
    return passes("training_set", sentence, numbers=numbers)
