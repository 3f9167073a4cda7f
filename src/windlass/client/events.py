"""Server-Sent Events as an iterator that outlives connections: it resumes after the last event that was received."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from windlass.client.effects import ConnectionFailure, Emit, Flow, Read, Request, Response, Sleep, Stream
from windlass.client.errors import BadAnswer
from windlass.client.models import Event, event_of
from windlass.client.retries import TRANSIENT, RetryBudget, failure
from windlass.client.server import Server

#: The server sends a comment after 15 seconds without an event. A stream that is silent for so long is broken.
IDLE_SECONDS = 45.0
#: The longest line that is accepted; the events of Windlass are far shorter.
MAX_LINE_BYTES = 1024 * 1024


class EventParser:
    """Turns the bytes of a stream, however they are split, into the JSON of its events."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, block: bytes) -> Iterator[Any]:
        """Yield the documents of the events that end in this block. Raises BadAnswer for data that is no JSON."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise BadAnswer("The event stream has a line that is too long. Is this address a Windlass server?")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if text.startswith("data:"):
                self._data.append(text.removeprefix("data:").removeprefix(" "))
            elif not text and self._data:
                document, self._data = "\n".join(self._data), []
                yield _json(document)


def follow(server: Server, url: str, retry_budget: RetryBudget, since: int | None = None) -> Flow[None]:
    """Emit each event after the one numbered ``since``. Never returns.

    Raises Refused for the server's refusal, and GaveUp after the budget without a connection.
    """
    last = since
    while True:
        resumed = {} if last is None else {"Last-Event-ID": str(last)}
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"} | resumed
        outcome = yield from server.open(Request("GET", url, headers, stream_idle_seconds=IDLE_SECONDS))
        if isinstance(outcome, Stream):
            retry_budget.note_response()
            end: Response | ConnectionFailure = ConnectionFailure("the stream ended")
            parser = EventParser()
            while block := (yield from _read(outcome)):
                if isinstance(block, ConnectionFailure):
                    end = block
                    break
                retry_budget.note_progress()
                for document in parser.feed(block):
                    event = _event(document)
                    last = last if event.id is None else event.id
                    yield Emit(event)
            outcome = end
        elif isinstance(outcome, Response):
            retry_budget.note_response()
            if outcome.status not in TRANSIENT:
                raise failure(outcome)
        delay = retry_budget.delay_after_failure(outcome.seconds, outcome.retry_after)
        if delay is None:
            raise failure(outcome)
        yield Sleep(delay)


def _read(stream: Stream) -> Flow[bytes | ConnectionFailure]:
    block: bytes | ConnectionFailure = yield Read(stream)
    return block


def _event(document: Any) -> Event:
    try:
        return event_of(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"The stream has an event that is not as Windlass sends it ({error!r}).") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadAnswer("The event stream has data that is no JSON. Is this address a Windlass server?") from None
