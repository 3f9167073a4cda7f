"""Reading calls that bypass Django's handler have the replies that Django's handler would give."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.asgi_client import REQUEST_ID, ApiClient, make_file
from tests.integration.test_rest import counted_queries, make_whole_file

pytest_plugins = ["tests.integration.record_plane"]

User = Callable[..., ApiClient]

#: Replies that contain the time of the call.
CHANGING = frozenset(f"/error-handling/{name}" for name in ("health", "queues", "service-level", "throughput"))


@pytest.fixture
def application(records_home: Any) -> Any:
    from windlass.asgi import application

    return application


@pytest.fixture
def both_ways(application: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """Make a call directly and through Django's handler: status, headers in their order, and body of both replies."""
    from windlass.http import direct_reads

    direct = direct_reads.is_direct
    taken: list[bool] = []

    def recorded(*arguments: Any) -> bool:
        taken.append(direct(*arguments))
        return taken[-1]

    def reply(caller: ApiClient, method: str, path: str, headers: dict[str, str]) -> Any:
        response = caller(method, path, headers={"X-Request-ID": REQUEST_ID, "Accept-Encoding": "identity"} | headers)
        return response.status_code, response.headers.raw, response.content

    def call(caller: ApiClient, method: str, path: str, **headers: str) -> tuple[Any, Any]:
        taken.clear()
        monkeypatch.setattr(direct_reads, "is_direct", recorded)
        first = reply(caller, method, path, headers)
        assert all(taken), f"{method} {path} did not go the direct way"
        monkeypatch.setattr(direct_reads, "is_direct", lambda *_: False)
        return first, reply(caller, method, path, headers)

    return call


def get_templates() -> list[str]:
    """The paths of all reading operations of the record plane."""
    from windlass.http.rest.openapi import api

    templates = []
    for router in api._get_bound_routers():
        views = [operation for view in router.path_operations.values() for operation in view.operations]
        for pattern, operation in zip(router.urls_paths(router.prefix), views, strict=True):
            if "GET" in operation.methods:
                templates.append("/" + str(pattern.pattern))
    return templates


def test_every_reading_operation_answers_the_same_both_ways(
    application: Any, user: User, both_ways: Callable[..., tuple[Any, Any]]
) -> None:
    caller = user(app=application, staff=True)
    asset = make_whole_file(caller.owner)
    templates = get_templates()
    assert len(templates) > 15
    for template in templates:
        if template in CHANGING:
            continue
        for value in (str(asset.id), str(uuid.uuid4()), "none"):
            path = "/".join(value if part.startswith("<") else part for part in template.split("/"))
            for method in ("GET", "HEAD"):
                for query in ("", "?limit=1", "?nothing=1"):
                    direct, through_django = both_ways(caller, method, path + query)
                    assert direct == through_django, f"{method} {path}{query}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://elsewhere.example"},
        {"Tus-Resumable": "1.0.0"},
        {"Authorization": "Bearer wrong"},
        {"Cookie": "theme=dark; csrftoken=0aZ1bY2cX3dW4eV5fU6gT7hS8iR9jQ0k"},
    ],
)
def test_lists_and_records_answer_the_same_both_ways(
    application: Any, user: User, both_ways: Callable[..., tuple[Any, Any]], headers: dict[str, str]
) -> None:
    caller = user(app=application)
    original = make_whole_file(caller.owner, metadata={"ä": [1, None]})
    make_file(caller.owner, duplicate_of=original, rejection={"rule": "size", "detail": "large"})
    for path in ("/files/", f"/files/{original.id}/", f"/files/{original.id}/status/", "/files/?limit=1&sort=size"):
        direct, through_django = both_ways(caller, "GET", path, **headers)
        assert direct == through_django


def test_a_compressed_list_has_the_same_headers_both_ways(
    application: Any, user: User, both_ways: Callable[..., tuple[Any, Any]]
) -> None:
    caller = user(app=application)
    for _ in range(5):
        make_whole_file(caller.owner)
    direct, through_django = both_ways(caller, "GET", "/files/", **{"Accept-Encoding": "gzip"})
    names = [[name.lower() for name, _ in headers] for _, headers, _ in (direct, through_django)]
    assert names[0] == names[1]
    assert b"content-encoding" in names[0]
    assert names[0].count(b"content-length") == 1


@pytest.mark.parametrize("headers", [{"Cookie": "a=b; sessionid=none"}, {"Content-Length": "2"}])
def test_calls_that_middleware_acts_on_go_through_django(
    application: Any, user: User, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    from windlass.http import direct_reads

    monkeypatch.setattr(direct_reads, "answer", None)
    caller = user(app=application)
    assert caller("GET", "/files/", headers=headers, content=b"{}").status_code == 200


def test_a_record_takes_a_fixed_number_of_queries(application: Any, user: User) -> None:
    caller = user(app=application)
    files = [make_whole_file(caller.owner) for _ in range(5)]
    for path, most in ((f"/files/{files[0].id}/", 4), (f"/files/{files[0].id}/status/", 2), ("/files/?limit=5", 6)):
        caller("GET", path)
        with counted_queries() as seen:
            assert caller("GET", path).status_code == 200
        asked = [sql for sql in seen if "windlass_files_" in sql]
        assert len(asked) <= most, json.dumps(asked, indent=1)
