"""Questions about file records, and changes to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from windlass.client.commands import Answer, Flow, Pause
from windlass.client.errors import BadAnswer, WaitTimeout
from windlass.client.exchange import ask, document
from windlass.client.models import File, Page, SignedUrl, Status, file_of, page_of, signed_url_of, status_of
from windlass.client.patience import Patience
from windlass.client.server import Server

T = TypeVar("T")


def file(server: Server, file_id: str, patience: Patience) -> Flow[File]:
    answer = yield from ask(server, "GET", server.url("files", file_id), patience)
    return read(file_of, answer)


def status(server: Server, file_id: str, patience: Patience) -> Flow[Status]:
    answer = yield from ask(server, "GET", server.url("files", file_id, "status"), patience)
    return read(status_of, answer)


def text(server: Server, file_id: str, patience: Patience) -> Flow[str]:
    answer = yield from ask(server, "GET", server.url("files", file_id, "text"), patience)
    return answer.body.decode("utf-8", "replace")


def first_page(server: Server, filters: Mapping[str, Any]) -> str:
    """The URL of a list; filters that are None are left out."""
    given = {name: value for name, value in filters.items() if value is not None}
    query = urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()})
    return server.url("files") + (f"?{query}" if query else "")


def page(server: Server, url: str, patience: Patience) -> Flow[Page]:
    answer = yield from ask(server, "GET", url, patience)
    found = read(page_of, answer)
    return Page(found.results, server.resolve(found.next, url) if found.next else None)


def delete(server: Server, file_id: str, permanent: bool, patience: Patience) -> Flow[None]:
    url = server.url("files", file_id) + ("?permanent=true" if permanent else "")
    yield from ask(server, "DELETE", url, patience)


def restore(server: Server, file_id: str, patience: Patience) -> Flow[File]:
    answer = yield from ask(server, "POST", server.url("files", file_id, "restore"), patience)
    return read(file_of, answer)


def release(server: Server, file_id: str, patience: Patience) -> Flow[File]:
    answer = yield from ask(server, "POST", server.url("files", file_id, "release"), patience)
    return read(file_of, answer)


def reprocess(server: Server, file_id: str, patience: Patience) -> Flow[None]:
    yield from ask(server, "POST", server.url("files", file_id, "reprocess"), patience)


def signed_url(server: Server, file_id: str, expires_in: int | None, patience: Patience) -> Flow[SignedUrl]:
    url = server.url("files", file_id, "signed-url")
    wanted = {} if expires_in is None else {"expires_in": expires_in}
    answer = yield from ask(server, "POST", url, patience, wanted)
    found = read(signed_url_of, answer)
    return SignedUrl(server.resolve(found.url, url), found.expires_at)


def wait(
    server: Server,
    file_id: str,
    patience: Patience,
    timeout: float | None = None,
    on_status: Callable[[Status], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Flow[File]:
    """Ask until the file is in an end state. Asked often at first and after each change, then less and less.

    Raises WaitTimeout. ``on_status`` hears each change once.
    """
    began, interval, last = clock(), 0.1, None
    while True:
        now = yield from status(server, file_id, patience)
        if now != last:
            last, interval = now, 0.1
            if on_status:
                on_status(now)
        if now.ended:
            return (yield from file(server, file_id, patience))
        left = interval if timeout is None else began + timeout - clock()
        if left <= 0:
            raise WaitTimeout(f"File {file_id} is still {now.status} after {timeout:g} seconds.")
        yield Pause(min(interval, left))
        interval = min(interval * 1.5, 5.0)


def read(make: Callable[[Mapping[str, Any]], T], answer: Answer) -> T:
    """A record from an answer. Raises BadAnswer."""
    try:
        return make(document(answer))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswer(f"The answer is not a record as Windlass gives it ({error!r}).", status=answer.status) from None
