"""One question and its answer, asked again where that may help."""

from __future__ import annotations

import json
from typing import Any

from windlass.client.commands import Answer, Flow, Interrupted, Outcome, Pause, Request, send
from windlass.client.errors import BadAnswer, GaveUp, refusal
from windlass.client.patience import Patience
from windlass.client.server import Server

#: The server says that the same request may succeed later, and that it did nothing.
_NOT_NOW = frozenset({429, 503})
#: Something between us and the server failed. For a question that changes nothing, asking again is safe.
_ON_THE_WAY = frozenset({408, 425, 502, 504})


def ask(server: Server, method: str, url: str, patience: Patience, payload: Any = None) -> Flow[Answer]:
    """The successful answer. Raises the Refused that the server said, or GaveUp."""
    body = b"" if payload is None else json.dumps(payload).encode()
    headers = server.headers(url, {"Content-Type": "application/json"} if body else None)
    while True:
        outcome = yield from send(Request(method, url, headers, body))
        if isinstance(outcome, Answer):
            patience.answered()
            if 200 <= outcome.status < 300:
                patience.progressed()
                return outcome
        yield from _again_or_raise(method, outcome, patience)


def _again_or_raise(method: str, outcome: Outcome, patience: Patience) -> Flow[None]:
    delay = None
    if _may_ask_again(method, outcome):
        wanted = outcome.retry_after if isinstance(outcome, Answer) else None
        delay = patience.after_failure(outcome.seconds, wanted)
    if delay is None:
        raise GaveUp(sentence(outcome.reason)) if isinstance(outcome, Interrupted) else refusal(outcome)
    yield Pause(delay)


def _may_ask_again(method: str, outcome: Outcome) -> bool:
    if isinstance(outcome, Interrupted):
        return method == "GET"
    return outcome.status in _NOT_NOW or (method == "GET" and outcome.status in _ON_THE_WAY)


def document(answer: Answer) -> Any:
    """The JSON object of a successful answer."""
    found = answer.json()
    if not isinstance(found, dict):
        raise BadAnswer("The answer is no JSON object. Is this address a Windlass server?", status=answer.status)
    return found


def sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
