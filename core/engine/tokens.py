"""Text becomes tokens: one function for training, scoring, preflight and checkpoints.

A pair is trimmed as one: both sides lose the same turns and the same words of the prompt, so that a difference in
reward never comes from a difference in what was cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from core.errors import BadConfig
from core.records import Message, Pair, Role

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """How texts become tokens; saved with the checkpoint.

    Attributes:
        pooling: `last`, the last real token (decoders); `mean`, over all real tokens (encoders).
        append_eos: end every text in the tokenizer's EOS.
    """

    max_tokens: int
    pooling: str
    append_eos: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """One prompt with one response.

    Attributes:
        response_start: first token of the response; before it is the prompt.
        trimmed: something was cut to fit max_tokens.
    """

    input_ids: tuple[int, ...]
    response_start: int
    trimmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded(Tokens):
    """The same with its text, which a public library tokenizes to the same ids."""

    text: str


TokenPair = tuple[Tokens, Tokens]


def encode(
    tokenizer: PreTrainedTokenizerBase, rules: TokenRules, prompt: Sequence[Message], responses: Sequence[str]
) -> list[Encoded]:
    """Encode the responses to one prompt so that each fits max_tokens, trimmed alike.

    The prompt loses its oldest turns, then its front. If a response alone is too long, all keep the same number of
    tokens from their starts.
    """
    made = _encode_all(tokenizer, rules, [(prompt, response) for response in responses])
    if not _too_long(made, rules):
        return made
    turns, kept = list(prompt), list(responses)
    while _too_long(made, rules) and len(turns) > 1:
        turns = _without_oldest(turns)
        made = _encode_all(tokenizer, rules, [(turns, response) for response in kept])
    while _too_long(made, rules) and turns and turns[0].content:
        excess = max(len(one.input_ids) for one in made) - rules.max_tokens
        turns[0] = Message(turns[0].role, _without_front(tokenizer, turns[0].content, excess))
        made = _encode_all(tokenizer, rules, [(turns, response) for response in kept])
    room = max(_num_tokens(tokenizer, response) for response in responses)
    while _too_long(made, rules) and room > 1:
        room -= max(1, max(len(one.input_ids) for one in made) - rules.max_tokens)
        kept = [_start(tokenizer, response, max(room, 1)) for response in responses]
        made = _encode_all(tokenizer, rules, [(turns, response) for response in kept])
    if _too_long(made, rules):
        least = max(len(one.input_ids) for one in made)
        raise BadConfig(f"max_tokens must be at least {least}, what the template alone takes, got {rules.max_tokens}")
    return [
        Encoded(text=one.text, input_ids=one.input_ids, response_start=one.response_start, trimmed=True) for one in made
    ]


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, rules: TokenRules, pairs: Sequence[Pair]
) -> list[tuple[Encoded, Encoded]]:
    """Tokens of both sides of each pair, as `encode` has them: the tokenizer works on all texts in parallel."""
    made = _encode_all(tokenizer, rules, [(pair.prompt, side) for pair in pairs for side in _sides(pair)])
    encoded = list(zip(made[0::2], made[1::2], strict=True))
    for place, pair in enumerate(pairs):
        if _too_long(encoded[place], rules):
            a, b = encode(tokenizer, rules, pair.prompt, _sides(pair))
            encoded[place] = (a, b)
    return encoded


def _sides(pair: Pair) -> tuple[str, str]:
    return pair.response_a, pair.response_b


def render(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], response: str) -> tuple[str, int]:
    """The text of a prompt with a response, and where the response begins in it (characters)."""
    if tokenizer.chat_template is None:
        turns = "".join(f"{turn.role.value}: {turn.content}\n\n" for turn in prompt)
        before = f"{turns}{Role.ASSISTANT.value}: "
        return before + response, len(before)
    text = render_whole(tokenizer, prompt, response)
    eos = tokenizer.eos_token
    # ChatML ends in EOS and a newline; without this the newline would be what is pooled.
    if isinstance(eos, str) and text.rstrip().endswith(eos):
        text = text.rstrip()
    # Not within a closing EOS: a response "im" would be found in "<|im_end|>".
    end = len(text) - len(eos) if isinstance(eos, str) and text.endswith(eos) else len(text)
    return text, max(text.rfind(response.strip(), 0, end), 0)


def render_whole(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[Message], response: str, **options: Any) -> str:
    """What the chat template itself makes of a prompt and a response; BadConfig if it refuses them.

    Args:
        options: of transformers' apply_chat_template: another chat_template, or variables that the template sees.
    """
    messages = [{"role": turn.role.value, "content": turn.content} for turn in prompt]
    whole = [*messages, {"role": "assistant", "content": response}]
    try:
        return str(tokenizer.apply_chat_template(whole, tokenize=False, **options))
    except TemplateError as error:
        roles = ", ".join(turn.role.value for turn in prompt)
        raise BadConfig(f"the chat template refuses a prompt with the turns {roles}: {error.message}") from None


def _encode_all(
    tokenizer: PreTrainedTokenizerBase, rules: TokenRules, texts: Sequence[tuple[Sequence[Message], str]]
) -> list[Encoded]:
    """Tokens of (prompt, response), however long."""
    if not texts:
        return []
    rendered = [render(tokenizer, prompt, response) for prompt, response in texts]
    # A chat template writes its own BOS; the tokenizer must not put a second one before it.
    made = tokenizer([text for text, _ in rendered], add_special_tokens=tokenizer.chat_template is None)
    encoded = []
    for place, (text, start) in enumerate(rendered):
        ids = made["input_ids"][place]
        found = (made.char_to_token(place, at) for at in range(start, len(text)))
        response_start = next((token for token in found if token is not None), len(ids) - 1)
        ending = rules.append_eos and ids[-1] != tokenizer.eos_token_id
        encoded.append(
            Encoded(
                text=text + str(tokenizer.eos_token) if ending else text,
                input_ids=(*ids, int(tokenizer.eos_token_id)) if ending else tuple(ids),
                response_start=response_start,
                trimmed=False,
            )
        )
    return encoded


def _without_oldest(turns: Sequence[Message]) -> list[Message]:
    """An answer goes with the turn that it answered; many chat templates refuse to begin with one."""
    kept = list(turns[1:])
    while len(kept) > 1 and kept[0].role is Role.ASSISTANT:
        kept.pop(0)
    return kept


def _too_long(made: Sequence[Tokens], rules: TokenRules) -> bool:
    return any(len(one.input_ids) > rules.max_tokens for one in made)


def _num_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _without_front(tokenizer: PreTrainedTokenizerBase, text: str, num_tokens: int) -> str:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    # A character may be several tokens, and then goes as a whole.
    last = offsets[:num_tokens][-1][1] if offsets else 0
    return next((text[start:] for start, _ in offsets[num_tokens:] if start >= last), "")


def _start(tokenizer: PreTrainedTokenizerBase, text: str, num_tokens: int) -> str:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if num_tokens >= len(offsets) else text[: offsets[num_tokens - 1][1]]
