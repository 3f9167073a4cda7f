"""Conditional downloads: If-Range, validators, and the preconditions of RFC 9110, 13.2.2."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from tests.integration.downloads.served_files import DATA, a_file, a_rendition, etag, path
from windlass.files.api import FileAsset


def test_if_range_resumes_only_the_same_file(client: httpx.Client) -> None:
    asset = a_file()
    modified = client.head(path(asset)).headers["last-modified"]
    older = "Mon, 01 Jan 2024 00:00:00 GMT"
    for validator, status in [
        (etag(asset), 206),
        (modified, 206),
        ('"another"', 200),
        (f"W/{etag(asset)}", 200),
        (older, 200),
        ("nonsense", 200),
    ]:
        reply = client.get(path(asset), headers={"Range": "bytes=10-19", "If-Range": validator})
        assert reply.status_code == status, validator
        assert reply.content == (DATA[10:20] if status == 206 else DATA)


def test_a_matching_validator_is_304(client: httpx.Client) -> None:
    asset = a_file()
    modified = asset.created_at
    for headers in [
        {"If-None-Match": etag(asset)},
        {"If-None-Match": f'"x", W/{etag(asset)}'},
        {"If-None-Match": "*"},
        {"If-None-Match": etag(asset), "Range": "bytes=0-1"},
        {"If-Modified-Since": (modified + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")},
    ]:
        for method in ("GET", "HEAD"):
            reply = client.request(method, path(asset), headers=headers)
            assert (reply.status_code, reply.content) == (304, b""), headers
            assert reply.headers["etag"] == etag(asset)


def test_another_validator_is_200(client: httpx.Client) -> None:
    asset = a_file(b"12345")
    future = (datetime.now(UTC) + timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for headers in [
        {"If-None-Match": '"x"', "If-Modified-Since": future},
        {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-None-Match": ""},
    ]:
        assert client.get(path(asset), headers=headers).status_code == 200, headers


def earlier(asset: FileAsset) -> str:
    return format_datetime(asset.created_at - timedelta(days=1), usegmt=True)


def later(asset: FileAsset) -> str:
    return format_datetime(asset.created_at + timedelta(days=1), usegmt=True)


FAILING: list[Callable[[FileAsset], dict[str, str]]] = [
    lambda asset: {"If-Match": '"other"'},
    lambda asset: {"If-Match": ""},
    lambda asset: {"If-Match": f"W/{etag(asset)}"},
    lambda asset: {"If-Match": '"a", "b"'},
    lambda asset: {"If-Match": '"other"', "If-None-Match": etag(asset)},
    lambda asset: {"If-Match": '"other"', "If-Unmodified-Since": later(asset)},
    lambda asset: {"If-Match": '"other"', "Range": "bytes=0-1", "If-Range": etag(asset)},
    lambda asset: {"If-Match": '"other"', "Range": "bytes=99999999-"},
    lambda asset: {"If-Unmodified-Since": earlier(asset)},
    lambda asset: {"If-Unmodified-Since": earlier(asset), "If-None-Match": etag(asset)},
    lambda asset: {"If-Unmodified-Since": earlier(asset), "Range": "bytes=0-1"},
]


HOLDING: list[tuple[Callable[[FileAsset], dict[str, str]], int]] = [
    (lambda asset: {"If-Match": etag(asset)}, 200),
    (lambda asset: {"If-Match": "*"}, 200),
    (lambda asset: {"If-Match": f'"other", W/"x", {etag(asset)}'}, 200),
    (lambda asset: {"If-Match": etag(asset), "If-Unmodified-Since": earlier(asset)}, 200),
    (lambda asset: {"If-Match": etag(asset), "If-None-Match": etag(asset)}, 304),
    (lambda asset: {"If-Match": etag(asset), "Range": "bytes=0-1"}, 206),
    (lambda asset: {"If-Unmodified-Since": later(asset)}, 200),
    (lambda asset: {"If-Unmodified-Since": format_datetime(asset.created_at, usegmt=True)}, 200),
    (lambda asset: {"If-Unmodified-Since": "yesterday"}, 200),
    (lambda asset: {"If-Unmodified-Since": later(asset), "If-None-Match": "*"}, 304),
]


@pytest.mark.parametrize("headers", FAILING)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_failed_precondition_is_412(
    client: httpx.Client, method: str, headers: Callable[[FileAsset], dict[str, str]]
) -> None:
    asset = a_file()
    reply = client.request(method, path(asset), headers=headers(asset))
    assert reply.status_code == 412
    assert reply.headers["etag"] == etag(asset)
    if method == "GET":
        assert reply.json()["type"] == "/problems/precondition-failed"


@pytest.mark.parametrize(("headers", "status"), HOLDING)
def test_a_precondition_that_holds_is_served(
    client: httpx.Client, headers: Callable[[FileAsset], dict[str, str]], status: int
) -> None:
    asset = a_file()
    assert client.get(path(asset), headers=headers(asset)).status_code == status


@pytest.mark.parametrize("name", ["thumbnail", "text", "poster"])
def test_renditions_have_preconditions(client: httpx.Client, name: str) -> None:
    asset = a_file()
    a_rendition(asset, name)
    address = f"/files/{asset.id}/{name}" if name != "poster" else f"/files/{asset.id}/renditions/poster"
    tag = client.get(address).headers["etag"]
    assert client.get(address, headers={"If-Match": tag}).status_code == 200
    assert client.get(address, headers={"If-Match": etag(asset)}).status_code == 412
    assert client.head(address, headers={"If-Unmodified-Since": earlier(asset)}).status_code == 412


def test_a_zip_download_has_no_validators(database: Path) -> None:
    from tests.integration.asgi_client import ApiClient
    from windlass.asgi import application

    asset = a_file(b"abc")
    caller = ApiClient(application)
    for method, address, options in (
        ("GET", f"/files/zip/?ids={asset.id}", {}),
        ("HEAD", f"/files/zip/?ids={asset.id}", {}),
        ("POST", "/files/zip/", {"json": {"ids": [str(asset.id)]}}),
    ):
        for value, status in (("*", 200), (etag(asset), 412)):
            assert caller(method, address, headers={"If-Match": value}, **options).status_code == status
        unmodified = {"If-Unmodified-Since": earlier(asset)}
        assert caller(method, address, headers=unmodified, **options).status_code == 200
