"""Any transformers causal model on this machine as a judge: no server, no key."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from core.config import Precision
from core.engine import backbone as backbones
from core.engine.device import choose_device, half_precision
from core.errors import BadConfig, NotFound
from core.judging import Attempt, LabelerConfig, Mode, Request
from core.labelers.prompt import LETTERS, render
from core.records import Message

REQUESTS_AT_ONCE = 8  # both orders of four pairs
_ANSWER = "Answer:"  # where a model has no chat template, what its letter follows
_OTHERS = 5  # likeliest other tokens that are kept beside the letters


class LocalJudge:
    """Log-probabilities of the two letters after a rendered request, in float32.

    A letter that is one token for the tokenizer costs one forward; one that is several is scored by teacher forcing.
    """

    mode = Mode.LOG_PROB

    def __init__(self, config: LabelerConfig, *, device: str = "auto") -> None:
        if config.mode is not Mode.LOG_PROB:
            raise BadConfig(f"a local judge answers in mode=log-prob, got mode={config.mode}")
        self._config, self._device_name = config, device
        self._model: Any = None
        self._tokenizer: Any = None

    def check(self) -> None:
        """Load the model. Raises NotFound where it cannot be."""
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - seconds of import

        found = backbones.resolve(self._config.model)
        self._device = choose_device(self._device_name)
        dtype = half_precision(Precision.AUTO, self._device) or torch.float32
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(found.path, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                found.path, dtype=dtype, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise NotFound(f"judge {self._config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        self._model = model.to(self._device).eval()  # type: ignore[arg-type]  # transformers wraps torch's own `to`
        self._letters = {letter: self._spellings(letter) for letter in LETTERS}

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        if self._model is None:
            self.check()
        waiting = iter(requests)
        while chunk := list(islice(waiting, REQUESTS_AT_ONCE)):
            yield from self._answers(chunk)

    def _answers(self, chunk: Sequence[Request]) -> Iterator[Attempt]:
        began = time.monotonic()
        prompts = [self._ids(render(request, self.mode)) for request in chunk]
        limit = self._limit()
        fitting = [place for place, ids in enumerate(prompts) if len(ids) < limit]
        found = dict(zip(fitting, self._log_probs([prompts[place] for place in fitting]), strict=True))
        seconds = (time.monotonic() - began) / len(chunk)
        for place, request in enumerate(chunk):
            tokens = len(prompts[place])
            if place not in found:
                why = f"the request has {tokens:,} tokens, more than the {limit:,} that the judge reads"
                yield Attempt(key=request.key, error=why, cost=0.0)
                continue
            listed = found[place]
            yield Attempt(
                key=request.key,
                reply=max(LETTERS, key=lambda letter: listed[letter]),
                log_probs=json.dumps(listed),
                finish_reason="stop",
                model_returned=self._config.model,
                tokens_in=tokens,
                tokens_out=1,
                cost=0.0,
                seconds=seconds,
            )

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        """The request as the model's own chat, its turn to answer; without a template, as turns of text."""
        if self._tokenizer.chat_template is not None:
            turns = [{"role": message.role.value, "content": message.content} for message in messages]
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            # The template writes the first token itself, where there is one.
            return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        text = "\n\n".join(f"{message.role.value}: {message.content}" for message in messages) + f"\n\n{_ANSWER}"
        return list(self._tokenizer(text)["input_ids"])

    def _spellings(self, letter: str) -> list[list[int]]:
        """Token ids of the ways to write a letter, each once."""
        spelled = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in (letter, f" {letter}")]
        return [list(ids) for ids in dict.fromkeys(map(tuple, spelled))]

    def _limit(self) -> int:
        own = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        limits = [one for one in (own, self._config.context_tokens) if one]
        return min(limits, default=2**31)

    @torch.no_grad()
    def _log_probs(self, prompts: Sequence[list[int]]) -> list[dict[str, float]]:
        """Natural log-probabilities of the letters, and of a few likely other tokens, after each prompt."""
        if not prompts:
            return []
        after = self._next(prompts)
        whole = {letter: self._of_spellings(prompts, after, self._letters[letter]) for letter in LETTERS}
        spelled = {ids[0] for spellings in self._letters.values() for ids in spellings}
        found = []
        for place, row in enumerate(after):
            listed = {letter: float(whole[letter][place]) for letter in LETTERS}
            for token in torch.topk(row, min(len(row), _OTHERS + len(spelled))).indices.tolist():
                text = self._tokenizer.decode([token])
                if token not in spelled and text.strip().upper() not in LETTERS and text not in listed:
                    listed[text] = float(row[token])
            found.append(listed)
        return found

    def _of_spellings(self, prompts: Sequence[list[int]], after: Tensor, spellings: Sequence[list[int]]) -> Tensor:
        """Log of the summed probability of every spelling, shape (B,)."""
        each = []
        for ids in spellings:
            total = after[:, ids[0]]
            for length in range(1, len(ids)):
                total = total + self._next([prompt + ids[:length] for prompt in prompts])[:, ids[length]]
            each.append(total)
        return torch.logsumexp(torch.stack(each), dim=0)

    def _next(self, prompts: Sequence[list[int]]) -> Tensor:
        """Log-probabilities of the next token, shape (B, V), float32, of left-padded prompts."""
        longest = max(map(len, prompts))
        ids = torch.zeros((len(prompts), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, prompt in enumerate(prompts):
            ids[place, longest - len(prompt) :] = torch.tensor(prompt)
            mask[place, longest - len(prompt) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = self._model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            use_cache=False,
            logits_to_keep=1,
        )
        return torch.log_softmax(output.logits[:, -1].float(), dim=-1).cpu()
