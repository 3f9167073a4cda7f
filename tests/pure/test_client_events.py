"""The client's event stream without a server: parsed however it is split, resumed after the last event."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pure.client_exchange import (
    CONNECTION_BROKE,
    FILE,
    SERVER,
    Exchange,
    answer_for_ever,
    problem,
    retry_budget,
)
from windlass.client import BadAnswer, Event, GaveUp, NotFound
from windlass.client.effects import Outcome, Response, Stream
from windlass.client.events import EventParser, follow

URL = "http://windlass.test/events/"


def document(number: int | None, **data: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "file.step",
        "file_id": FILE,
        "upload_id": None,
        "at": "2026-01-31T12:00:00.579713Z",
        "data": data,
    }


def frame(number: int | None, **data: Any) -> bytes:
    line = "" if number is None else f"id: {number}\n"
    return f"{line}data: {json.dumps(document(number, **data))}\n\n".encode()


STREAM = (
    b"retry: 2000\n\n" + frame(7, step="größe") + b": still here\n\n" + frame(None) + b"data: [1,\ndata: 2]\r\n\r\n"
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_stream_is_split(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(STREAM)]
    parser = EventParser()
    blocks = (STREAM[start:end] for start, end in pairwise(borders))
    assert [each for block in blocks for each in parser.feed(block)] == [
        document(7, step="größe"),
        document(None),
        [1, 2],
    ]


def test_a_stream_that_windlass_does_not_send_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="no JSON"):
        list(EventParser().feed(b"data: {\n\n"))
    parser = EventParser()
    list(parser.feed(b"x" * 1_000_000))
    with pytest.raises(BadAnswer, match="too long"):
        list(parser.feed(b"x" * 100_000))


def following(since: int | None = None, limit: float = 60.0) -> Exchange[None]:
    return Exchange(follow(SERVER, URL, retry_budget(limit), since))


def test_events_are_emitted_and_the_stream_resumes_after_the_last_one() -> None:
    exchange = following()
    assert exchange.request.headers["Accept"] == "text/event-stream"
    assert "Last-Event-ID" not in exchange.request.headers
    assert exchange.request.stream_idle_seconds == 45.0
    exchange.answer(Stream())
    exchange.answer(b"retry: 2000\n\n" + frame(7) + frame(9, progress=40) + frame(None))
    events: list[Event] = exchange.emitted
    assert [event.id for event in events] == [7, 9, None]
    assert (events[1].type, events[1].file_id, events[1].data) == ("file.step", FILE, {"progress": 40})
    assert events[0].at.utcoffset() is not None

    again = exchange.answer(CONNECTION_BROKE)
    assert again is not None
    assert again.headers["Last-Event-ID"] == "9"
    exchange.answer(Stream())
    again = exchange.answer(b"")
    assert again is not None, "a stream that the server ends is opened again"
    assert len(exchange.pauses) == 2


def test_events_after_a_number_are_asked_for() -> None:
    assert following(since=3).request.headers["Last-Event-ID"] == "3"


@pytest.mark.parametrize("outcome", [CONNECTION_BROKE, Response(503, {"retry-after": "4"}), Response(502)])
def test_a_connection_that_fails_is_tried_again(outcome: Outcome) -> None:
    exchange = following(since=3)
    again = exchange.answer(outcome)
    assert again is not None
    assert again.headers["Last-Event-ID"] == "3"
    assert exchange.pauses[0] == (4.0 if getattr(outcome, "headers", {}).get("retry-after") else 0.5)


def test_a_refusal_is_raised() -> None:
    with pytest.raises(NotFound):
        following().answer(problem(404, "not-found"))


def test_a_used_up_budget_is_raised_and_any_byte_restores_it() -> None:
    exchange = following(limit=3.0)
    for _ in range(20):
        exchange.answer(Stream())
        exchange.answer(b": still here\n\n")
        exchange.answer(CONNECTION_BROKE)
    with pytest.raises(GaveUp):
        answer_for_ever(exchange, CONNECTION_BROKE)
