"""Call an endpoint with OpenAI's interface: ``POST /embeddings`` and ``POST /chat/completions``.

The operator names the address and the key; nothing of a user or a document is part of either. Each endpoint has the
circuit breaker ``service.NAME``, which all processes share. Calls block: not on an event loop, and not while a database
thread is held.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from math import isfinite
from typing import TYPE_CHECKING, Any

from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.resilience.circuit_breaker import Breaker, BreakerOpen, breaker

if TYPE_CHECKING:
    import httpx

#: Attempts of one call, and the delay before the second one (seconds); it doubles with each further one.
ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
#: The longest ``Retry-After`` that a call waits for; with a longer one the endpoint counts as away.
LONGEST_PAUSE = 5.0
CONNECT_SECONDS = 5.0
#: Bytes of the largest answer that is read.
MAX_BYTES = 64 * 1024 * 1024
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
#: What the operator can put right, such as a key that has run out: meanwhile texts wait, and none of them has failed.
_WRONG_SETTINGS = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
)


class ModelAway(Exception):
    """The model does not answer now; the same call may succeed in ``retry_after`` seconds. The message names no text
    that was sent. ``is_failure``: it counts for the circuit breaker. ``is_short``: it may be over in a moment.
    ``is_unanswered``: the whole request was sent, and may be charged."""

    def __init__(
        self,
        message: str,
        retry_after: float = 30.0,
        *,
        is_failure: bool = True,
        is_short: bool = True,
        is_unanswered: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after, self.is_failure, self.is_short = retry_after, is_failure, is_short
        self.is_unanswered = is_unanswered


class ModelRefused(Exception):
    """The endpoint refuses the call, or its answer is not what its interface says. Repeating it does not help."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The text that a language model returned, which is data: it is checked by whoever asked. ``is_cut``: it ended at
    ``max_tokens``. The counts are what the endpoint charges; 0 if it does not say."""

    text: str
    is_cut: bool
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """``name`` is that of its breaker and of its figures in the metrics; ``url`` the base URL, to which
    ``/embeddings`` is added. ``timeout``: seconds of one attempt."""

    name: str
    url: str
    timeout: float
    api_key: str = field(default="", repr=False)
    attempts: int = ATTEMPTS

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order, all of one size. Raises ModelAway, ModelRefused."""
        if not texts:
            return []
        answer = self._post("/embeddings", {"model": model, "input": list(texts), "encoding_format": "float"})
        return _vectors(answer, len(texts))

    def complete(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        schema_name: str = "answer",
        temperature: float = 0.0,
        on_unanswered: Callable[[], None] = lambda: None,
    ) -> Completion:
        """The answer to ``messages`` (each with ``role`` and ``content``). ``schema``: a JSON schema that the endpoint
        is asked to hold; not every endpoint does. ``on_unanswered`` is called after each attempt that was sent, and
        whose answer did not arrive: it may be charged. Raises ModelAway, ModelRefused."""
        asked: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if schema is not None:
            described = {"name": schema_name, "schema": schema, "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": described}
        return _completion(self._post("/chat/completions", asked, on_unanswered))

    def admits_calls(self) -> bool:
        """Whether the breaker would admit a call now."""
        return self._breaker.admits_calls()

    @property
    def _breaker(self) -> Breaker:
        return breaker(breaker_name(self.name))

    def _post(
        self, path: str, document: Mapping[str, Any], on_unanswered: Callable[[], None] = lambda: None
    ) -> Mapping[str, Any]:
        """The answer's JSON object, with up to ``attempts`` attempts. Raises ModelAway, ModelRefused."""
        content = json.dumps(document).encode()
        for attempt in range(1, self.attempts + 1):
            try:
                with self._breaker.call(ModelAway, counts=lambda error: getattr(error, "is_failure", True)):
                    return self._attempt(path, content)
            except BreakerOpen as error:
                raise ModelAway(f"The model {self.name} is away.", error.retry_after) from error
            except ModelAway as error:
                if error.is_unanswered:
                    on_unanswered()
                pause = _pause(error, attempt)
                if attempt == self.attempts or not error.is_short or pause > LONGEST_PAUSE:
                    raise
                _wait(pause)
        raise AssertionError("unreachable")

    def _attempt(self, path: str, content: bytes) -> Mapping[str, Any]:
        began, outcome = monotonic(), "failed"
        try:
            answer = _object(self._exchange(path, content), self.name)
            outcome = "answered"
        except ModelRefused:
            outcome = "refused"
            raise
        finally:
            process_counters.model_calls.add(1, self.name, outcome)
            process_counters.model_seconds.observe(monotonic() - began, self.name)
        _count_tokens(self.name, answer)
        return answer

    def _exchange(self, path: str, content: bytes) -> bytes:
        """Redirects are not followed: the operator named the address. Raises ModelAway, ModelRefused."""
        import httpx  # here, because 3 MB of every process would be for what few servers use

        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        timeout = httpx.Timeout(self.timeout, connect=min(self.timeout, CONNECT_SECONDS))
        deadline = monotonic() + self.timeout
        try:
            with _client(os.getpid()).stream(
                "POST", self.url.rstrip("/") + path, content=content, headers=headers, timeout=timeout
            ) as response:
                _require_success(response, self.name)
                return _body(response, deadline, self.name)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ModelAway(
                f"The model {self.name} cannot be reached: {type(error).__name__}.",
                is_unanswered=isinstance(error, (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)),
            ) from error


def breaker_name(endpoint: str) -> str:
    return f"service.{endpoint}"


@lru_cache(maxsize=1)
def _client(process: int) -> httpx.Client:
    """One pool of connections for each process: a forked child must not use its parent's."""
    import httpx  # here, as above

    return httpx.Client(follow_redirects=False)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _pause(error: ModelAway, attempt: int) -> float:
    """Seconds before the next attempt: what the endpoint asks for, else twice the last, changed at random."""
    if not error.is_failure:
        return error.retry_after
    return BACKOFF_SECONDS * 2.0 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311  spreads load, no secret


def _require_success(response: httpx.Response, name: str) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status in _BUSY:
        raise ModelAway(f"The model {name} is busy ({status}).", _retry_after(response), is_failure=False)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ModelAway(f"The model {name} failed ({status}).", is_unanswered=status == HTTPStatus.GATEWAY_TIMEOUT)
    if status in _WRONG_SETTINGS or status < HTTPStatus.BAD_REQUEST:
        raise ModelAway(f"The endpoint of the model {name} does not serve this server ({status}).", is_short=False)
    raise ModelRefused(f"The endpoint of the model {name} refused the call ({status}).")


def _retry_after(response: httpx.Response) -> float:
    """Seconds; those of a date are not computed, and count as 1."""
    text = response.headers.get("Retry-After", "")
    return max(0.1, float(text)) if text.replace(".", "", 1).isdecimal() and len(text) < 8 else 1.0


def _body(response: httpx.Response, deadline: float, name: str) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():  # of no given size, so that the time is looked at whenever something arrives
        body += piece
        if len(body) > MAX_BYTES:
            raise ModelRefused(f"The answer of the model {name} has more than {MAX_BYTES} bytes.")
        if monotonic() > deadline:
            raise ModelAway(f"The model {name} did not send its answer in time.", is_unanswered=True)
    return bytes(body)


def _object(body: bytes, name: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"The answer of the model {name} is not JSON.") from error
    if not isinstance(answer, dict):
        raise ModelRefused(f"The answer of the model {name} is not a JSON object.")
    return answer


def _vectors(answer: Mapping[str, Any], count: int) -> list[list[float]]:
    """Raises ModelRefused unless there is one vector of numbers for each text, all of one size."""
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != count or not all(isinstance(each, dict) for each in data):
        raise ModelRefused(f"The answer does not have {count} vectors, one for each text.")
    numbered = sorted(enumerate(data), key=lambda pair: _index(pair[1], pair[0]))
    vectors = [each.get("embedding") for _, each in numbered]
    sizes = {len(vector) if isinstance(vector, list) else 0 for vector in vectors}
    if len(sizes) != 1 or 0 in sizes:
        raise ModelRefused("The vectors of the answer are empty, or not of one size.")
    return [_numbers(vector) for vector in vectors]


def _index(item: Mapping[str, Any], default: int) -> int:
    index = item.get("index", default)
    return index if isinstance(index, int) else default


def _numbers(vector: Any) -> list[float]:
    try:
        numbers = [float(number) for number in vector]
    except (TypeError, ValueError) as error:
        raise ModelRefused("A vector of the answer has something else than numbers.") from error
    if not all(map(isfinite, numbers)):
        raise ModelRefused("A vector of the answer has a number that is not finite.")
    return numbers


def _completion(answer: Mapping[str, Any]) -> Completion:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(first, dict) or not isinstance(text, str):
        raise ModelRefused("The answer has no text.")
    prompt, completion = _usage(answer)
    return Completion(text, first.get("finish_reason") == "length", prompt, completion)


def _usage(answer: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and of the completion."""
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    found = [counts.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (number if isinstance(number, int) and number > 0 else 0 for number in found)
    return prompt, completion


def _count_tokens(name: str, answer: Mapping[str, Any]) -> None:
    for kind, count in zip(("prompt", "completion"), _usage(answer), strict=True):
        if count:
            process_counters.model_tokens.add(count, name, kind)
