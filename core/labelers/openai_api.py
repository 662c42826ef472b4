"""Any server that speaks OpenAI's chat completions: hosted, vLLM, SGLang, llama.cpp, Ollama, `transformers serve`."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.errors import BadConfig, RunFailed
from core.judging import DEFAULT_KEY_VARIABLE, Attempt, LabelerConfig, Mode, Request, Source, Status
from core.labelers import parse
from core.labelers.calls import in_flight
from core.labelers.prompt import CHARACTERS_PER_TOKEN, render, render_second, verdict_schema
from core.records import Message

if TYPE_CHECKING:
    import tenacity
    from openai.types.chat import ChatCompletion

TOP_LOG_PROBS = 20  # as many as OpenAI's API gives
MOST_CALLS = 6  # of one question, where a server is busy or gone
MOST_REPAIRS = 2  # of a reply without a verdict
MOST_WAIT = 60.0  # seconds between two of them
TIMEOUT = 120.0
_WORTH_ANOTHER = {408, 409, 429}
_WRONG_FOR_ALL = {401, 402, 403, 404}
_WITHOUT_LOG_PROBS = 3  # replies in a row after which it is the server's way
_REPAIR = (
    "That was no verdict that can be read. Answer again, exactly in the form that was asked for, and nothing else."
)


class ChatServer:
    """Asks one model of one server, `most_in_flight` requests at a time.

    The key is read from the environment and is in no attempt, no error and no log. Every call is an attempt: the SDK's
    own retries are off.
    """

    def __init__(self, config: LabelerConfig, *, most_in_flight: int = 8, most_wait: float = MOST_WAIT) -> None:
        from openai import OpenAI  # noqa: PLC0415 - half a second of import

        self.mode = config.mode
        self._config, self._most_in_flight, self._most_wait = config, most_in_flight, most_wait
        self._key = key_of_environment(config)
        # A server on this machine often wants no key, and the SDK insists on one.
        self._client: OpenAI = OpenAI(
            api_key=self._key or "none", base_url=config.base_url, max_retries=0, timeout=TIMEOUT
        )
        self._takes_schema = config.mode is Mode.VERDICT
        self._without_log_probs = 0
        self._counted = _Counted()

    def check(self) -> None:
        """Whether the server is there and has the model; costs nothing. Raises RunFailed, BadConfig."""
        import openai  # noqa: PLC0415

        try:
            known = [model.id for model in self._client.models.list()]
        except openai.APIConnectionError:
            raise RunFailed(f"no server answers at {self._client.base_url}; set base_url to one that does") from None
        except openai.APIStatusError as error:
            self._refuse_if_wrong_for_all(error.status_code, but={404})
            return  # it lists no models; a call will show
        except (openai.OpenAIError, ValueError):
            return
        if known and self._config.model not in known:
            some = ", ".join(sorted(known)[:5])
            raise BadConfig(f"the server at {self._client.base_url} has no model {self._config.model!r}; it has {some}")

    def attempts(self, requests: Iterable[Request]) -> Iterator[Attempt]:
        return in_flight(requests, self._ask, at_most=self._most_in_flight)

    def _ask(self, request: Request, say: Callable[[Attempt], None]) -> None:
        """All calls of one request, in order; the last one says that it is."""
        messages = render(request, self.mode)
        if self._is_too_long(messages):
            tokens = _estimated_tokens(messages)
            why = f"the request has about {tokens:,} tokens, more than context_tokens={self._config.context_tokens:,}"
            say(Attempt(key=request.key, error=why, cost=0.0))
            return
        reasons: str | None = None
        if self.mode is Mode.REASON:
            first = self._call_until_answered(request, messages, say, is_letter=False)
            if first.error is not None or not first.reply:
                say(first)
                return
            say(_not_last(first))
            reasons = first.reply
            messages = render_second(request, reasons)
        attempt = self._call_until_answered(request, messages, say, is_letter=self.mode is not Mode.VERDICT)
        for _ in range(MOST_REPAIRS):
            if parse.read(attempt, request, self.mode).status is not Status.UNPARSED or self.mode is not Mode.VERDICT:
                break
            say(_not_last(attempt))
            again = (*messages, Message(messages[-1].role, f"{_REPAIR}\n\nYour answer was:\n{attempt.reply}"))
            attempt = self._call_until_answered(request, again, say, is_letter=False)
        say(attempt if reasons is None else _with_reasons(attempt, reasons))
        self._notice_missing_log_probs(attempt)

    def _call_until_answered(
        self, request: Request, messages: Sequence[Message], say: Callable[[Attempt], None], *, is_letter: bool
    ) -> Attempt:
        """Calls until one is worth no other; each but the one returned is said."""
        import tenacity  # noqa: PLC0415

        def before_another(state: tenacity.RetryCallState) -> None:
            assert state.outcome is not None  # a call has ended
            say(_not_last(state.outcome.result().attempt))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda call: call.again),
            stop=tenacity.stop_after_attempt(MOST_CALLS),
            wait=self._wait,
            before_sleep=before_another,
            retry_error_callback=lambda state: None if state.outcome is None else state.outcome.result(),
        )
        call: _Call = retrying(self._call, request, messages, is_letter=is_letter)
        return call.attempt

    def _wait(self, state: "tenacity.RetryCallState") -> float:
        """What the server asked for, else an exponential wait with full jitter."""
        import tenacity  # noqa: PLC0415

        assert state.outcome is not None  # a call has ended
        asked = state.outcome.result().retry_after
        jitter = tenacity.wait_random_exponential(multiplier=1.0, max=self._most_wait)
        return min(asked, self._most_wait) if asked is not None else float(jitter(state))

    def _call(self, request: Request, messages: Sequence[Message], *, is_letter: bool) -> "_Call":
        import openai  # noqa: PLC0415

        began = time.monotonic()
        try:
            completion = self._client.chat.completions.create(**self._arguments(request, messages, is_letter=is_letter))
        except openai.APIStatusError as error:
            return self._refused(request, error, time.monotonic() - began)
        except openai.APIConnectionError as error:
            is_timeout = isinstance(error, openai.APITimeoutError)
            words = f"no reply within {TIMEOUT:.0f} s" if is_timeout else "the connection broke"
            # What a server did before it fell silent may be on the bill: the cost is unknown.
            return _Call(Attempt(key=request.key, error=words, seconds=time.monotonic() - began), again=True)
        except (openai.OpenAIError, ValueError) as error:
            words = self._hidden(f"the reply is not a chat completion: {error}")
            return _Call(Attempt(key=request.key, error=words, seconds=time.monotonic() - began), again=True)
        return _Call(self._attempt(request, messages, completion, time.monotonic() - began))

    def _arguments(self, request: Request, messages: Sequence[Message], *, is_letter: bool) -> dict[str, Any]:
        limit = 1 if is_letter else self._config.max_output_tokens
        # OpenAI's newer models refuse the older name, and other servers may not know the newer one.
        name = "max_completion_tokens" if self._config.base_url is None else "max_tokens"
        arguments: dict[str, Any] = {
            "model": self._config.model,
            "messages": [{"role": message.role.value, "content": message.content} for message in messages],
            "seed": request.seed % 2**31,
            "temperature": self._config.temperature,
            name: limit,
        }
        if is_letter:
            arguments |= {"logprobs": True, "top_logprobs": TOP_LOG_PROBS}
        if self._takes_schema:
            schema = {"name": "verdict", "strict": True, "schema": verdict_schema(request.principles)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def _attempt(
        self, request: Request, messages: Sequence[Message], completion: "ChatCompletion", seconds: float
    ) -> Attempt:
        if not completion.choices:
            return Attempt(key=request.key, error="the reply has no choices", seconds=seconds)
        choice, usage = completion.choices[0], completion.usage
        listed = choice.logprobs.content if choice.logprobs is not None else None
        details = usage.prompt_tokens_details if usage is not None else None
        characters = sum(len(message.content) for message in messages)
        tokens_in = None if usage is None else usage.prompt_tokens
        return Attempt(
            key=request.key,
            reply=choice.message.content or choice.message.refusal or "",
            log_probs=json.dumps(_likeliest(listed[0])) if listed else None,
            finish_reason="content_filter" if choice.message.refusal else choice.finish_reason,
            http_status=200,
            model_returned=completion.model,
            tokens_expected=self._counted.expected(characters, tokens_in),
            tokens_in=tokens_in,
            tokens_cached=None if details is None else details.cached_tokens,
            tokens_out=None if usage is None else usage.completion_tokens,
            seconds=seconds,
        )

    def _refused(self, request: Request, error: Any, seconds: float) -> "_Call":
        status = int(error.status_code)
        self._refuse_if_wrong_for_all(status)
        words = self._hidden(f"HTTP {status}: {_short(_message_of(error))}")
        attempt = Attempt(key=request.key, error=words, http_status=status, cost=0.0, seconds=seconds)
        if status == 400 and self._takes_schema and "response_format" in str(error.message):
            self._takes_schema = False  # asked for in words alone from now on
            return _Call(attempt, again=True, retry_after=0.0)
        is_worth_another = status in _WORTH_ANOTHER or status >= 500
        return _Call(attempt, again=is_worth_another, retry_after=_retry_after(error.response))

    def _refuse_if_wrong_for_all(self, status: int, *, but: AbstractSet[int] = frozenset()) -> None:
        if status not in _WRONG_FOR_ALL - but:
            return
        place = self._client.base_url
        if status in {401, 403}:
            variable = variable_of(self._config)
            held = f"the key in {variable}" if self._key else f"a call without a key ({variable} is not set)"
            raise RunFailed(f"the server at {place} refused {held} (HTTP {status})")
        if status == 402:
            raise RunFailed(f"the account at {place} has no credit left (HTTP 402)")
        raise RunFailed(f"the server at {place} has no model {self._config.model!r} or no chat completions (HTTP 404)")

    def _notice_missing_log_probs(self, attempt: Attempt) -> None:
        if self.mode is Mode.VERDICT or attempt.error is not None:
            return
        if attempt.log_probs is not None:
            self._without_log_probs = -(10**9)  # it gives them
            return
        self._without_log_probs += 1
        if self._without_log_probs >= _WITHOUT_LOG_PROBS:
            raise RunFailed(
                f"the server at {self._client.base_url} answers without log-probabilities, "
                f"which mode={self.mode} needs; use --set mode=verdict"
            )

    def _is_too_long(self, messages: Sequence[Message]) -> bool:
        limit = self._config.context_tokens
        return limit is not None and _estimated_tokens(messages) + self._config.max_output_tokens > limit

    def _hidden(self, words: str) -> str:
        return words.replace(self._key, "(key)") if self._key else words


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, whether another is worth it, and after how many seconds where the server said so."""

    attempt: Attempt
    again: bool = False
    retry_after: float | None = None


class _Counted:
    """How many tokens a server counts a character as; tells when it read only a part of a long prompt."""

    LEAST_SEEN = 20
    SHORT = 6000  # characters: no server's default context cuts so few

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ratios: list[float] = []

    def expected(self, characters: int, tokens_in: int | None) -> int | None:
        """The fewest tokens that a prompt of so many characters had before; None until enough were seen."""
        with self._lock:
            if tokens_in and characters <= self.SHORT:
                self._ratios.append(tokens_in / characters)
            if len(self._ratios) < self.LEAST_SEEN:
                return None
            return int(min(self._ratios) * characters)


def variable_of(config: LabelerConfig) -> str:
    """The environment variable that holds a labeler's key."""
    return config.key_variable or DEFAULT_KEY_VARIABLE.get(config.source, DEFAULT_KEY_VARIABLE[Source.OPENAI])


def key_of_environment(config: LabelerConfig) -> str | None:
    """The key; None where a server of one's own needs none. BadConfig names the variable to set."""
    key = os.environ.get(variable_of(config), "").strip()
    if not key and (config.base_url is None or config.key_variable is not None):
        raise BadConfig(f"labeler {config.name} needs a key: set the environment variable {variable_of(config)}")
    return key or None


def _likeliest(place: Any) -> dict[str, float]:
    listed = {top.token: float(top.logprob) for top in place.top_logprobs}
    return listed or {place.token: float(place.logprob)}


def _message_of(error: Any) -> str:
    """The server's own words, without the SDK's."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return str(said or error.message)


def _retry_after(response: Any) -> float | None:
    """Seconds, of the header Retry-After; a date or nonsense is none."""
    try:
        return max(0.0, float(response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _estimated_tokens(messages: Sequence[Message]) -> int:
    return round(sum(len(message.content) for message in messages) / CHARACTERS_PER_TOKEN)


def _not_last(attempt: Attempt) -> Attempt:
    return replace(attempt, is_last=False)


def _with_reasons(attempt: Attempt, reasons: str) -> Attempt:
    return replace(attempt, reasoning=reasons)


def _short(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "…"
