"""Static files are sent compressed once, whatever the project has compressed before."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from tests.integration.asgi_client import ApiClient

SCRIPT = b"export const speed = 1;\n" * 100


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    path = tmp_path / "collected"
    path.mkdir()
    (path / "speed.js").write_bytes(SCRIPT)
    return path


@pytest.fixture
def fetch(collected: Path) -> Callable[..., HttpResponse]:
    from windlass.web.static_files import StaticFilesMiddleware

    def missing(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=404)

    def run(encodings: str) -> HttpResponse:
        with override_settings(STATIC_ROOT=str(collected), STATIC_URL="/static/"):
            reply = StaticFilesMiddleware(missing)(
                RequestFactory().get("/static/speed.js", HTTP_ACCEPT_ENCODING=encodings)
            )
        assert isinstance(reply, HttpResponse)
        return reply

    return run


def test_a_script_is_compressed_for_a_client_that_takes_it_so(fetch: Callable[..., HttpResponse]) -> None:
    reply = fetch("gzip, br")
    assert (reply["Content-Encoding"], gzip.decompress(reply.content)) == ("gzip", SCRIPT)
    assert reply["ETag"].startswith('W/"')
    assert int(reply["Content-Length"]) == len(reply.content)
    assert (fetch("").content, fetch("")["Vary"]) == (SCRIPT, "Accept-Encoding")


@pytest.mark.parametrize(("ending", "encoding"), [("gz", "gzip"), ("br", "br")])
def test_what_the_project_has_compressed_is_sent_as_it_is(
    fetch: Callable[..., HttpResponse], collected: Path, ending: str, encoding: str
) -> None:
    """WhiteNoise's storages put such files beside each collected one."""
    content = os.urandom(1000)
    (collected / f"speed.js.{ending}").write_bytes(content)
    reply = fetch("gzip, br")
    assert (reply["Content-Encoding"], reply.content) == (encoding, content)
    assert int(reply["Content-Length"]) == len(content)


def test_a_file_without_a_time_of_modification_is_served(fetch: Callable[..., HttpResponse], collected: Path) -> None:
    os.utime(collected / "speed.js", (0, 0))
    assert gzip.decompress(fetch("gzip").content) == SCRIPT


REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {"Accept-Encoding": "gzip"}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=5-9"}),
    ("GET", {"If-Modified-Since": "Fri, 01 Jan 2038 00:00:00 GMT"}),
    ("POST", {}),
]


@pytest.mark.parametrize(("method", "headers"), REQUESTS, ids=[f"{method} {list(each)}" for method, each in REQUESTS])
def test_the_standalone_server_answers_as_the_middleware_does_and_without_django(
    method: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from windlass.asgi import application
    from windlass.web.static_files import StaticFilesMiddleware

    monkeypatch.setattr(application, "_inner", None)
    path = "/static/windlass/js/api.js"
    sent = ApiClient(application)(method, path, headers={"Accept-Encoding": ""} | headers)
    request = RequestFactory().generic(method, path, headers={"Accept-Encoding": ""} | headers)
    expected = StaticFilesMiddleware(lambda _: HttpResponse(status=404))(request)
    assert (sent.status_code, sent.read()) == (expected.status_code, gunzipped(expected))
    assert {name: sent.headers[name] for name in expected.headers} == dict(expected.headers)
    has_script = "Content-Type" in expected.headers
    assert (sent.headers["Content-Security-Policy"] == "default-src 'none'") == has_script


def gunzipped(reply: HttpResponse) -> bytes:
    return gzip.decompress(reply.content) if reply.get("Content-Encoding") == "gzip" else reply.content
