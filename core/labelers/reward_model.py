"""A reward model as a labeler: a checkpoint of Tiebreak's, or any sequence classifier with one label."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from core.config import EMBEDDED_BACKBONE
from core.engine import backbone as backbones
from core.engine import checkpoint
from core.engine.device import choose_device
from core.engine.score import score_texts
from core.errors import BadConfig, NotFound
from core.judging import Attempt, LabelerConfig, Mode, Request
from core.records import Message

REQUESTS_AT_ONCE = 32
_Score = Callable[[Sequence[tuple[tuple[Message, ...], str]]], list[float]]


class RewardModelLabeler:
    """P(first) = sigmoid of the difference of both rewards over the checkpoint's temperature, as log-probabilities.

    It reads a response without the other one, so both orders give the same answer.
    """

    mode = Mode.LOG_PROB

    def __init__(self, config: LabelerConfig, *, device: str = "auto") -> None:
        if config.model == EMBEDDED_BACKBONE:
            raise BadConfig(f"{EMBEDDED_BACKBONE} is a backbone without a reward; name a checkpoint's folder")
        self._config, self._device_name = config, device
        self._score: _Score | None = None
        self._temperature = 1.0

    def check(self) -> None:
        """Load the model. Raises NotFound, BadConfig."""
        device = choose_device(self._device_name)
        folder = Path(self._config.model).expanduser()
        if (folder / checkpoint.FACTS).exists():
            loaded = checkpoint.load(folder, device)
            self._temperature = loaded.temperature or 1.0
            self._score = lambda texts: score_texts(loaded, texts)
            return
        self._score = _classifier(self._config.model, device)

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        if self._score is None:
            self.check()
        assert self._score is not None  # checked
        waiting = iter(requests)
        while chunk := list(islice(waiting, REQUESTS_AT_ONCE)):
            began = time.monotonic()
            texts = [(one.pair.prompt, response) for one in chunk for response in (one.first, one.second)]
            rewards = self._score(texts)
            seconds = (time.monotonic() - began) / len(chunk)
            for place, request in enumerate(chunk):
                margin = (rewards[2 * place] - rewards[2 * place + 1]) / self._temperature
                yield Attempt(
                    key=request.key,
                    reply="A" if margin > 0 else "B",
                    log_probs=json.dumps({"A": _log_sigmoid(margin), "B": _log_sigmoid(-margin)}),
                    finish_reason="stop",
                    model_returned=self._config.model,
                    cost=0.0,
                    seconds=seconds,
                )


def _classifier(name: str, device: torch.device) -> _Score:
    """Rewards of a public model, as its own forward gives them: the raw logit, without a sigmoid."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415 - seconds of import

    found = backbones.resolve(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(found.path, trust_remote_code=False)
        loaded = AutoModelForSequenceClassification.from_pretrained(
            found.path, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise NotFound(f"reward model {name!r} cannot be loaded: {str(error).splitlines()[0]}") from None
    if loaded.config.num_labels != 1:
        raise BadConfig(f"reward model {name!r} must have one label, it has {loaded.config.num_labels}")
    model = loaded.to(device).eval()

    @torch.no_grad()
    def score(texts: Sequence[tuple[tuple[Message, ...], str]]) -> list[float]:
        rewards = []
        for prompt, response in texts:  # one by one: not every such model pools right beside padding
            turns = [{"role": message.role.value, "content": message.content} for message in prompt]
            turns.append({"role": "assistant", "content": response})
            if tokenizer.chat_template is not None:
                text = tokenizer.apply_chat_template(turns, tokenize=False)
                inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
            else:
                inputs = tokenizer("\n\n".join(turn["content"] for turn in turns), return_tensors="pt")
            rewards.append(float(model(**inputs.to(device)).logits[0, 0]))
        return rewards

    return score


def _log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value)) if value >= 0 else value - math.log1p(math.exp(value))
