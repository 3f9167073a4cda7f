"""Read the records of files, and wait for the end of processing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, TypedDict, TypeVar
from urllib.parse import urlencode

from windlass.client.effects import Flow, Response, Sleep
from windlass.client.errors import BadAnswer, WaitTimeout
from windlass.client.models import File, Page, Status, file_of, page_of, status_of
from windlass.client.retries import RetryBudget, send_with_retries
from windlass.client.server import Server

T = TypeVar("T")

#: Seconds between two requests while waiting: at first and after each change, and the most.
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.1, 5.0


def get_file(server: Server, file_id: str, retry_budget: RetryBudget) -> Flow[File]:
    response = yield from send_with_retries(server, "GET", server.url("files", file_id), retry_budget)
    return parse(file_of, response)


def get_status(server: Server, file_id: str, retry_budget: RetryBudget) -> Flow[Status]:
    response = yield from send_with_retries(server, "GET", server.url("files", file_id, "status"), retry_budget)
    return parse(status_of, response)


class FileFilters(TypedDict, total=False):
    """The keyword arguments of ``files``. A filter that is None is left out.

    ``status``: one or several. ``kind``: such as ``image`` or ``spreadsheet``. ``mime_type``: the detected type;
    ``image/*`` matches all images. ``q``: a part of the name, title, author or tags. ``from_`` and ``to``: files
    created then or later, and earlier; a day is meant in UTC, and ``to`` includes it. ``owner``: only the files of one
    owner, such as ``user:7``. ``trashed``: True lists the trash. ``sort``: such as ``name`` or ``-size``; default
    ``-created``, newest first. ``limit``: files that one request returns.
    """

    status: str | Sequence[str] | None
    kind: str | None
    mime_type: str | None
    reference: str | None
    q: str | None
    from_: date | str | None
    to: date | str | None
    owner: str | None
    trashed: bool | None
    sort: str | None
    limit: int | None


class SearchFilters(TypedDict, total=False):
    """The keyword arguments of ``search``, with the meanings of ``FileFilters``. ``limit``: files in the result, at
    most 100; 20 by default. ``mode``: ``hybrid``, ``text`` or ``vector``; without it what the server can do."""

    kind: str | None
    mime_type: str | None
    reference: str | None
    from_: date | str | None
    to: date | str | None
    limit: int | None
    mode: str | None


def search_body(query: str, filters: SearchFilters) -> dict[str, object]:
    """The body of POST /search/, which takes queries of any length that the server allows."""
    given = {name.rstrip("_"): _query_value(value) for name, value in filters.items() if value is not None}
    return {"q": query, **given}


def list_url(server: Server, filters: FileFilters) -> str:
    """Return the URL of a list's first page."""
    return _with_query(server.url("files"), {name.rstrip("_"): value for name, value in filters.items()})


def entities_url(server: Server, q: str, entity_type: str | None, limit: int | None) -> str:
    """Return the URL of the first page of entities."""
    return _with_query(server.url("graph", "entities"), {"q": q or None, "type": entity_type, "limit": limit})


def paths_url(server: Server, start: str, end: str, longest: int | None) -> str:
    """Return the URL of the paths between two entities of at most ``longest`` relations."""
    return _with_query(server.url("graph", "paths"), {"from": start, "to": end, "max": longest})


def _with_query(url: str, given: Mapping[str, object]) -> str:
    query = urlencode({name: _query_value(value) for name, value in given.items() if value is not None}, doseq=True)
    return f"{url}?{query}" if query else url


def _query_value(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else value


def get_page(server: Server, url: str, retry_budget: RetryBudget) -> Flow[Page]:
    response = yield from send_with_retries(server, "GET", url, retry_budget)
    page = parse(page_of, response)
    return Page(page.results, server.resolve(page.next, url) if page.next else None)


def wait_until_ended(
    server: Server,
    file_id: str,
    retry_budget: RetryBudget,
    timeout: float | None = None,
    on_status: Callable[[Status], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Flow[File]:
    """Poll until the file is in an end state, often at first and after each change, then less and less.

    ``on_status`` is called once for each change. Raises WaitTimeout after ``timeout`` seconds.
    """
    started, interval, last = clock(), FIRST_POLL_SECONDS, None
    while True:
        status = yield from get_status(server, file_id, retry_budget)
        if status != last:
            last, interval = status, FIRST_POLL_SECONDS
            if on_status:
                on_status(status)
        if status.ended:
            return (yield from get_file(server, file_id, retry_budget))
        remaining = interval if timeout is None else started + timeout - clock()
        if remaining <= 0:
            raise WaitTimeout(f"File {file_id} is still {status.status} after {timeout:g} seconds.")
        yield Sleep(min(interval, remaining))
        interval = min(interval * 1.5, LONGEST_POLL_SECONDS)


def parse(build: Callable[[Mapping[str, Any]], T], response: Response) -> T:
    """Build a record from a response. Raises BadAnswer."""
    document = response.json()
    if not isinstance(document, dict):
        raise BadAnswer("The answer is no JSON object. Is this address a Windlass server?", status=response.status)
    try:
        return build(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(
            f"The answer is not a record as Windlass gives it ({error!r}).", status=response.status
        ) from None
