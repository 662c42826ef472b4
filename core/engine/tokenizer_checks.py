"""What can be wrong with a backbone's tokenizer and its chat template: each check is one function and one finding.

It fails where training would be refused or its rewards would be wrong; what Tiebreak avoids by itself, but another tool
may stumble over, is a warning.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from core.engine.reader import Reader
from core.engine.tokens import encode, encode_pairs, render_whole
from core.errors import BadConfig
from core.findings import Finding, Level, of_pairs, passes, slices_of
from core.records import Message, Pair, Role

COMPARED_PAIRS = 32
SHORT_PROMPT = (Message(Role.USER, "What is it?"),)
# Two moments, as a template sees them: a macro of its own hides transformers' clock, which takes no other function.
_CLOCKS = tuple(f"{{% macro strftime_now(form) %}}{moment}{{% endmacro %}}" for moment in ("1", "2"))


def refused_turns(reader: Reader, pairs: Sequence[Pair]) -> dict[tuple[Role, ...], str]:
    """Sequences of roles that the chat template refuses, with its words."""
    if reader.tokenizer.chat_template is None:
        return {}
    refused = {}
    for turns in {tuple(turn.role for turn in pair.prompt) for pair in pairs}:
        try:
            render_whole(reader.tokenizer, _marked(turns), "marked answer")
        except BadConfig as error:
            refused[turns] = str(error)
    return refused


def examine_tokenizer(reader: Reader, pairs: Sequence[Pair]) -> list[Finding]:
    """Checks that need no more than a few pairs whose turns the chat template takes."""
    return [pad_token(reader), double_bos(reader), template_clock(reader.tokenizer), same_ending(reader, pairs)]


def turns(
    reader: Reader, pairs: Sequence[Pair], refused: Mapping[tuple[Role, ...], str], *, slices: Sequence[Sequence[str]]
) -> Finding:
    """A chat template that refuses some conversations (system turns, turns that do not alternate) or drops turns."""
    tokenizer = reader.tokenizer
    if tokenizer.chat_template is None:
        return passes("turns", "The tokenizer has no chat template: turns are written as role: text.")
    roles = [tuple(turn.role for turn in pair.prompt) for pair in pairs]
    is_refused = [one in refused for one in roles]
    if any(is_refused):
        return Finding(
            check="turns",
            level=Level.FAIL,
            sentence=f"{of_pairs(sum(is_refused), len(pairs))} cannot be written: {next(iter(refused.values()))}.",
            what_to_do="Join such turns into the user's in your file, or give the backbone a chat template that takes "
            "them.",
            numbers={"refused": sum(is_refused)},
            slices=slices_of(is_refused, slices),
        )
    loses = {one: _lost_turns(tokenizer, one) for one in set(roles)}
    lost = [bool(loses[one]) for one in roles]
    if any(lost):
        words = ", ".join(sorted({role.value for one in loses.values() for role in one}))
        return Finding(
            check="turns",
            level=Level.WARN,
            sentence=f"The chat template leaves turns out ({words}) in {of_pairs(sum(lost), len(pairs))}.",
            what_to_do="Look at the template; a model cannot judge what it is not shown.",
            numbers={"with_lost_turns": sum(lost)},
            slices=slices_of(lost, slices),
        )
    return passes("turns", "The chat template writes every turn of every prompt.")


def _marked(turns: Sequence[Role]) -> list[Message]:
    return [Message(role, f"marked turn {place}") for place, role in enumerate(turns)]


def _lost_turns(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Role]) -> list[Role]:
    text = render_whole(tokenizer, _marked(turns), "marked answer")
    return [turn.role for turn in _marked(turns) if turn.content not in text]


def pad_token(reader: Reader) -> Finding:
    """Public libraries pool the last id that is not padding: with padding equal to EOS, the one before it."""
    tokenizer, shipped = reader.tokenizer, reader.shipped_pad
    numbers = {"shipped": shipped, "used": str(tokenizer.pad_token)}
    if reader.rules.pooling == "last" and shipped is not None and shipped != tokenizer.pad_token:
        names = ("eos_token", "bos_token", "unk_token")
        twin = next(name for name in names if getattr(tokenizer, name) == shipped).removesuffix("_token").upper()
        return Finding(
            check="pad_token",
            level=Level.WARN,
            sentence=f"The backbone's tokenizer pads with {shipped!r}, which is its {twin} too; Tiebreak pads with "
            f"{str(tokenizer.pad_token)!r} instead.",
            what_to_do="Nothing for training; score with the checkpoint's own tokenizer, never with the backbone's.",
            numbers=numbers,
        )
    if shipped is None:
        added = f"The tokenizer came without a padding token; Tiebreak gives it {str(tokenizer.pad_token)!r}."
        return passes("pad_token", added, numbers=numbers)
    return passes("pad_token", f"Padding is {shipped!r}, which no text ends in.", numbers=numbers)


def double_bos(reader: Reader) -> Finding:
    """BOS comes once: from the chat template or from the tokenizer."""
    tokenizer = reader.tokenizer
    bos, name = tokenizer.bos_token_id, repr(str(tokenizer.bos_token))
    if bos is None:
        return passes("double_bos", "The tokenizer has no BOS.")
    (ours,) = encode(tokenizer, replace(reader.rules, max_tokens=sys.maxsize), SHORT_PROMPT, ("It.",))
    if ours.input_ids[:2] == (bos, bos):
        return Finding(
            check="double_bos",
            level=Level.FAIL,
            sentence=f"Every text begins with {name} twice.",
            what_to_do="Take one of the two out of the chat template.",
        )
    if tokenizer(ours.text)["input_ids"][:2] == [bos, bos]:
        return Finding(
            check="double_bos",
            level=Level.WARN,
            sentence=f"Both the chat template and the tokenizer write {name}; Tiebreak lets only the template do so.",
            what_to_do="Nothing for training; a server that is sent rendered text must not add special tokens.",
        )
    if ours.input_ids[0] != bos and tokenizer("It.")["input_ids"][0] == bos:
        return Finding(
            check="double_bos",
            level=Level.WARN,
            sentence=f"The tokenizer begins plain texts with {name}, but the chat template writes none.",
            what_to_do="Put {{ bos_token }} at the start of the backbone's chat template if it was trained with it.",
        )
    return passes("double_bos", f"{name} is never written twice.")


def template_clock(tokenizer: PreTrainedTokenizerBase) -> Finding:
    """Rendered by two clocks: a date in the template gives the same text another reward tomorrow."""
    if tokenizer.chat_template is None:
        return passes("template_clock", "There is no chat template that could write a date.")

    template = tokenizer.get_chat_template()
    first, second = (render_whole(tokenizer, SHORT_PROMPT, "It.", chat_template=clock + template) for clock in _CLOCKS)
    if first != second:
        place = next(at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
        return Finding(
            check="template_clock",
            level=Level.FAIL,
            sentence=f"The chat template writes the current date or time (after {first[:place][-30:]!r}), so that the "
            "same text has another reward tomorrow.",
            what_to_do="Replace strftime_now(...) in the backbone's chat template by a fixed date.",
        )
    if render_whole(tokenizer, SHORT_PROMPT, "It.", date_string="1 Jan 1999") != render_whole(
        tokenizer, SHORT_PROMPT, "It."
    ):
        return Finding(
            check="template_clock",
            level=Level.WARN,
            sentence="The chat template writes a date, fixed unless whoever renders it passes another date_string.",
            what_to_do="Pass no date_string where the checkpoint is served.",
        )
    return passes("template_clock", "The chat template writes the same text whatever the date.")


def same_ending(reader: Reader, pairs: Sequence[Pair]) -> Finding:
    """Training and scoring, and whoever tokenizes the checkpoint's recorded texts, must give the same ids."""
    tokenizer, rules = reader.tokenizer, reader.rules
    adds = tokenizer.chat_template is None
    some = pairs[:: max(1, len(pairs) // COMPARED_PAIRS)][:COMPARED_PAIRS]
    differ = lost = 0
    for pair, trained in zip(some, encode_pairs(tokenizer, rules, some), strict=True):
        for response, one in zip((pair.response_a, pair.response_b), trained, strict=True):
            if one.trimmed:
                continue
            scored = encode(tokenizer, rules, pair.prompt, (response,))[0]
            differ += one.input_ids != scored.input_ids
            lost += tuple(tokenizer(scored.text, add_special_tokens=adds)["input_ids"]) != scored.input_ids
    numbers = {"compared": 2 * len(some), "differ": differ, "text_differs": lost}
    if differ:
        return Finding(
            check="same_ending",
            level=Level.FAIL,
            sentence=f"{differ:,} of {2 * len(some):,} texts have other tokens when they are scored than in training.",
            what_to_do="Use another tokenizer for this backbone: this one depends on what it read before.",
            numbers=numbers,
        )
    if lost:
        return Finding(
            check="same_ending",
            level=Level.WARN,
            sentence=f"{lost:,} of {2 * len(some):,} rendered texts do not tokenize back to the same tokens, the "
            f"closing {str(tokenizer.eos_token)!r} among them.",
            what_to_do="Send other servers token ids instead of text, or mend the special tokens of the tokenizer.",
            numbers=numbers,
        )
    if not rules.append_eos:
        return passes("same_ending", "Training and scoring end texts alike, without an EOS of ours.", numbers=numbers)
    ending = f"Training and scoring end every text in {str(tokenizer.eos_token)!r} alike"
    if not adds and not (own := render_whole(tokenizer, SHORT_PROMPT, "It.")).endswith(str(tokenizer.eos_token)):
        ending += f"; the chat template alone would end in {own[-1]!r}"
    return passes("same_ending", f"{ending}.", numbers=numbers)
