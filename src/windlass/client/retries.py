"""Retries: the backoff and its budget, and requests that are repeated while that is safe."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from windlass.client.effects import ConnectionFailure, Flow, Outcome, Request, Response, Sleep
from windlass.client.errors import GaveUp, WindlassError, error_of, is_in_progress
from windlass.client.server import Server

NOT_MODIFIED = HTTPStatus.NOT_MODIFIED
#: Statuses after which the same request may succeed: timeout, too many requests, a failure of the server or of a proxy.
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: The server did not process the request; the same request may succeed later.
_UNPROCESSED = frozenset({429, 503})
#: A proxy or the connection failed. Repeating a request is safe that changes nothing, or has an idempotency key.
_FAILED_ON_THE_WAY = frozenset({408, 425, 502, 504})


class RetryBudget:
    """Exponential backoff with jitter that ends after ``limit`` seconds without progress.

    Only time without progress is charged: pauses, and attempts that moved no byte. So a transfer that ran for hours
    before the connection broke still has its whole budget. Before the first response of the server, ``first`` seconds
    are enough to conclude that it cannot be reached.
    """

    def __init__(
        self,
        limit: float,
        *,
        first: float = 15.0,
        shortest: float = 0.5,
        longest: float = 30.0,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._limit = limit
        self._first = min(first, limit)
        self._shortest, self._longest, self._jitter = shortest, longest, jitter
        self._has_response = False
        self._spent = 0.0
        self._failures = 0

    def note_response(self) -> None:
        """Note that the server responded, with whatever status."""
        self._has_response = True

    def note_progress(self) -> None:
        """Restore the whole budget."""
        self._spent, self._failures = 0.0, 0

    def delay_after_failure(self, spent: float = 0.0, at_least: float | None = None) -> float | None:
        """Charge ``spent`` seconds and return the seconds to wait; None if the budget is used up."""
        self._spent += spent
        remaining = (self._limit if self._has_response else self._first) - self._spent
        if remaining <= 0:
            return None
        delay: float = min(self._shortest * 2.0 ** min(self._failures, 16), self._longest)
        delay = max(delay * self._jitter(0.5, 1.0), at_least or 0.0)
        self._failures += 1
        self._spent += delay
        return delay


def send_with_retries(
    server: Server,
    method: str,
    url: str,
    retry_budget: RetryBudget,
    payload: Any = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Flow[Response]:
    """Return the successful response, or the 304 that ``headers`` asked for. Raises Refused for the server's refusal,
    and GaveUp.

    A POST has an idempotency key, so that it can be repeated without a second effect.
    """
    body = b"" if payload is None else json.dumps(payload).encode()
    kind = {"Content-Type": "application/json"} if body else {}
    key = {"Idempotency-Key": quoted(str(uuid.uuid4()))} if method == "POST" else {}
    request = Request(method, url, {**headers, **kind, **key}, body)
    while True:
        outcome = yield from server.send(request)
        if isinstance(outcome, Response):
            retry_budget.note_response()
            if 200 <= outcome.status < 300 or outcome.status == NOT_MODIFIED:
                retry_budget.note_progress()
                return outcome
        delay = None
        if _is_repeatable(method, outcome):
            delay = retry_budget.delay_after_failure(outcome.seconds, outcome.retry_after)
        if delay is None:
            raise failure(outcome)
        yield Sleep(delay)


def quoted(key: str) -> str:
    """Return the key as a string of RFC 9651."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _is_repeatable(method: str, outcome: Outcome) -> bool:
    may_repeat = method in ("GET", "POST")
    if isinstance(outcome, ConnectionFailure):
        return may_repeat
    if outcome.status in _UNPROCESSED or is_in_progress(outcome):
        return True
    return may_repeat and outcome.status in _FAILED_ON_THE_WAY


def failure(outcome: Outcome) -> WindlassError:
    """Return the error for an outcome that is not repeated any more."""
    return GaveUp(sentence(outcome.reason)) if isinstance(outcome, ConnectionFailure) else error_of(outcome)


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
