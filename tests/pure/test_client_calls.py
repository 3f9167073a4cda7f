"""Calls of the client without a server: records, lists, repeated requests, waiting, the base URL."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tests.pure.client_exchange import (
    CONNECTION_BROKE,
    FILE,
    RECORD,
    SERVER,
    Exchange,
    json_response,
    problem,
    retry_budget,
)
from windlass.client import (
    BadAnswer,
    Client,
    Conflict,
    GaveUp,
    WaitTimeout,
    api_calls,
)
from windlass.client.calls import Calls
from windlass.client.effects import Outcome, Response
from windlass.client.models import file_of
from windlass.client.retries import send_with_retries
from windlass.client.server import Server


def test_a_record_is_typed_and_unknown_members_are_kept() -> None:
    file = file_of(RECORD | {"invented_later": 1})
    assert (file.page_count, file.renditions[0].width, file.checks[0].state) == (3, 1, "passed")
    assert file.created_at.utcoffset() is not None
    assert file.raw["invented_later"] == 1
    rejected = file_of(RECORD | {"rejection": {"rule": "type", "detail": "No.", "limit": None, "actual": "x"}})
    assert rejected.rejection is not None
    assert rejected.rejection.rule == "type"


@pytest.mark.parametrize("answer", [Response(200, {}, b"<html>"), json_response([]), json_response({"id": FILE})])
def test_a_response_that_is_no_record_is_an_error(answer: Response) -> None:
    exchange = Exchange(api_calls.get_file(SERVER, FILE, retry_budget()))
    with pytest.raises(BadAnswer):
        exchange.answer(answer)


@pytest.mark.parametrize(
    "outcome", [CONNECTION_BROKE, Response(429, {"retry-after": "2"}), Response(502), Response(503)]
)
def test_a_get_request_is_repeated(outcome: Outcome) -> None:
    exchange = Exchange(api_calls.get_file(SERVER, FILE, retry_budget()))
    again = exchange.answer(outcome)
    assert again is not None
    assert again.method == "GET"
    exchange.answer(json_response(RECORD))
    assert exchange.result == file_of(RECORD)


def test_a_deletion_that_the_server_may_have_made_is_not_repeated() -> None:
    exchange = Exchange(send_with_retries(SERVER, "DELETE", SERVER.url("files", FILE), retry_budget()))
    with pytest.raises(GaveUp):
        exchange.answer(CONNECTION_BROKE)
    exchange = Exchange(send_with_retries(SERVER, "DELETE", SERVER.url("files", FILE), retry_budget()))
    again = exchange.answer(problem(503, "unavailable", **{"retry-after": "1"}))
    assert again is not None
    assert again.method == "DELETE"


@pytest.mark.parametrize("outcome", [CONNECTION_BROKE, problem(409, "request-in-progress"), Response(502)])
def test_a_post_is_repeated_with_the_same_key(outcome: Outcome) -> None:
    def call() -> Exchange[Response]:
        return Exchange(send_with_retries(SERVER, "POST", SERVER.url("files", FILE, "reprocess"), retry_budget()))

    exchange = call()
    key = exchange.request.headers["Idempotency-Key"]
    again = exchange.answer(outcome)
    assert again is not None
    assert (again.method, again.headers["Idempotency-Key"]) == ("POST", key)
    assert call().request.headers["Idempotency-Key"] != key


def test_another_conflict_is_final() -> None:
    exchange = Exchange(send_with_retries(SERVER, "POST", SERVER.url("files", FILE, "reprocess"), retry_budget()))
    with pytest.raises(Conflict):
        exchange.answer(problem(409, "still-running"))


def test_a_list_continues_at_the_next_link() -> None:
    url = api_calls.list_url(SERVER, {"status": "READY", "mime_type": "image/*", "q": None})
    assert url == "http://windlass.test/files/?status=READY&mime_type=image%2F%2A"
    exchange = Exchange(api_calls.get_page(SERVER, url, retry_budget()))
    exchange.answer(json_response({"results": [RECORD], "next": "/files/?cursor=x"}))
    assert exchange.result is not None
    assert exchange.result.next == "http://windlass.test/files/?cursor=x"


def test_the_base_url_may_have_a_path() -> None:
    server = Server("https://host.test/windlass/")
    assert server.url("files", "a/b") == "https://host.test/windlass/files/a%2Fb/"


@pytest.mark.parametrize("url", ["", "host:8000", "ftp://host", "http://"])
def test_an_invalid_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Server(url)


def status(state: str, progress: int = 0) -> Response:
    return json_response(
        {"id": FILE, "status": state, "progress": progress, "stage": "intake", "message": "", "steps": [], "owed": []}
    )


def test_waiting_reports_each_change_once_and_polls_less_often_without_changes() -> None:
    seen: list[tuple[str, int]] = []
    exchange = Exchange(
        api_calls.wait_until_ended(
            SERVER, FILE, retry_budget(), on_status=lambda now: seen.append((now.status, now.progress))
        )
    )
    for _ in range(5):
        exchange.answer(status("PENDING"))
    assert exchange.pauses == sorted(exchange.pauses)
    assert exchange.pauses[-1] > exchange.pauses[0]
    exchange.answer(status("PROCESSING", 50))
    assert exchange.pauses[-1] == exchange.pauses[0]
    exchange.answer(CONNECTION_BROKE)
    record = exchange.answer(status("READY", 100))
    assert record is not None
    assert record.url.endswith(f"/files/{FILE}/")
    exchange.answer(json_response(RECORD))
    assert exchange.result == file_of(RECORD)
    assert seen == [("PENDING", 0), ("PROCESSING", 50), ("READY", 100)]


def test_waiting_ends_at_its_timeout() -> None:
    moments = iter([0.0, 4.0, 10.5])
    exchange = Exchange(
        api_calls.wait_until_ended(SERVER, FILE, retry_budget(), timeout=10.0, clock=lambda: next(moments))
    )
    exchange.answer(status("PROCESSING"))
    with pytest.raises(WaitTimeout, match="PROCESSING"):
        exchange.answer(status("PROCESSING"))


def test_patience_is_a_deprecated_alias_of_retry_seconds() -> None:
    with pytest.warns(DeprecationWarning, match="retry_seconds"), Client(patience=0.0):
        pass


def test_filters_become_the_query_of_the_list() -> None:
    url = api_calls.list_url(
        SERVER,
        {
            "status": ["READY", "FAILED"],
            "from_": date(2026, 1, 2),
            "to": datetime(2026, 2, 3, 4, 5, tzinfo=UTC),
            "trashed": True,
            "q": "a b",
            "owner": None,
        },
    )
    assert url == (
        "http://windlass.test/files/?status=READY&status=FAILED&from=2026-01-02&to=2026-02-03T04%3A05%3A00%2B00%3A00"
        "&trashed=true&q=a+b"
    )
    assert api_calls.list_url(SERVER, {"status": "READY"}) == "http://windlass.test/files/?status=READY"
    assert api_calls.list_url(SERVER, {}) == "http://windlass.test/files/"


def test_the_text_that_was_read_last_is_asked_for_with_its_etag() -> None:
    calls = Calls("http://windlass.test", None, 60.0, None, None)
    exchange = Exchange(calls.text(FILE))
    assert "If-None-Match" not in exchange.request.headers
    exchange.answer(Response(200, {"etag": '"one"'}, "Größe".encode()))
    assert exchange.result == "Größe"
    exchange = Exchange(calls.text(FILE))
    assert exchange.request.headers["If-None-Match"] == '"one"'
    exchange.answer(Response(304, {"etag": '"one"'}))
    assert exchange.result == "Größe"
    exchange = Exchange(calls.text(FILE))
    exchange.answer(Response(200, {"etag": '"two"'}, b"other"))
    assert exchange.result == "other"
    exchange = Exchange(calls.text(FILE.replace("0", "1")))
    assert "If-None-Match" not in exchange.request.headers


def test_entities_are_merged_and_split() -> None:
    calls = Calls("http://windlass.test", None, 60.0, None, None)
    described = {"id": "1", "name": "A", "type": "person", "names": ["A", "B"], "mentions": 2}
    described |= {"files": [], "relations": []}
    exchange = Exchange(calls.merge_entity("2", into="1"))
    assert (exchange.request.method, exchange.request.url) == (
        "POST",
        "http://windlass.test/graph/entities/1/merges/",
    )
    again = exchange.answer(CONNECTION_BROKE)
    assert again is not None
    assert again.headers["Idempotency-Key"] == exchange.request.headers["Idempotency-Key"]
    exchange.answer(json_response(described))
    assert exchange.result is not None
    assert exchange.result.names == ("A", "B")
    exchange = Exchange(calls.split_entity("1"))
    assert (exchange.request.method, exchange.request.url) == (
        "DELETE",
        "http://windlass.test/graph/entities/1/merges/",
    )
    with pytest.raises(Conflict):
        exchange.answer(problem(409, "conflict"))
