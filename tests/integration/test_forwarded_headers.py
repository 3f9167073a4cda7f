"""Forwarded headers are used as far as the proxies are trusted, and no hop further."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import django_home

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.http.forwarded import as_client_sees, base_of, forwarded  # noqa: E402


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets TRUSTED_PROXIES for one test."""

    def trust(proxies: str) -> None:
        monkeypatch.setenv("TRUSTED_PROXIES", proxies)
        conf.reload()

    yield trust
    monkeypatch.undo()
    conf.reload()


def scope(client: str = "10.0.0.1", kind: str = "http", **headers: str) -> dict[str, Any]:
    fields = {"host": "inside"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": (client, 999),
        "path": "/files",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
    }


FORWARDED_HEADERS = {
    "x_forwarded_for": "203.0.113.7",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "files.example.org",
}


def seen(**changed: Any) -> tuple[Any, ...]:
    found = forwarded(scope(**changed))
    host = dict(found["headers"])[b"host"].decode()
    return found["client"][0], found["scheme"], host, found["root_path"], found["path"]


def told_origin(**changed: Any) -> str:
    """The origin that a ``Location`` names; empty where it is a path."""
    base = base_of(forwarded(scope(**changed)))
    return base.origin if base.proxied else ""


UNTOUCHED = ("10.0.0.1", "http", "inside", "", "/files")


def test_forwarded_headers_are_ignored_by_default() -> None:
    assert seen(**FORWARDED_HEADERS, x_forwarded_prefix="/up") == UNTOUCHED
    assert told_origin(**FORWARDED_HEADERS) == ""


def test_headers_of_a_trusted_proxy_are_used(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.0/8")
    assert seen(**FORWARDED_HEADERS) == ("203.0.113.7", "https", "files.example.org", "", "/files")
    assert told_origin(**FORWARDED_HEADERS) == "https://files.example.org"
    assert seen(**FORWARDED_HEADERS, client="192.0.2.1")[1:] == UNTOUCHED[1:]
    assert seen(x_forwarded_prefix="/up/load/")[3:] == ("/up/load", "/up/load/files")
    assert told_origin(x_forwarded_prefix="/up") == ""


def test_headers_over_a_unix_socket_are_ignored(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    alone = scope(**FORWARDED_HEADERS) | {"client": None}
    assert forwarded(alone) is alone


def test_the_first_untrusted_address_of_a_chain_is_the_client(trusting: Callable[[str], None]) -> None:
    """The client's own entry stands at the far left, and may say anything."""
    trusting("10.0.0.1, 10.0.0.2")
    addresses = "6.6.6.6, 203.0.113.7, 10.0.0.2"
    told = {
        "x_forwarded_for": addresses,
        "x_forwarded_proto": "gopher, https, http",
        "x_forwarded_host": "evil, outside, inside2",
    }
    assert seen(**told)[:3] == ("203.0.113.7", "https", "outside")
    trusting("10.0.0.1")
    assert seen(**told)[:3] == ("10.0.0.2", "http", "inside2")
    trusting("*")
    assert seen(**told)[0] == "6.6.6.6"


def test_forwarded_is_used_if_x_forwarded_fields_are_absent(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    standard = 'for="[2001:db8::1]:4711";proto=HTTPS;host="files.example.org"'
    assert seen(forwarded=standard)[:3] == ("2001:db8::1", "https", "files.example.org")
    assert seen(forwarded=f"for=6.6.6.6;host=evil, {standard}")[:3] == ("2001:db8::1", "https", "files.example.org")
    assert seen(forwarded="for=6.6.6.6;host=evil;proto=https", **FORWARDED_HEADERS)[2] == "files.example.org"


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        ({"x_forwarded_port": "8443"}, "https://files.example.org:8443"),
        ({"x_forwarded_port": "443"}, "https://files.example.org"),
        ({"x_forwarded_port": "80", "x_forwarded_proto": "http"}, "http://files.example.org"),
        ({"x_forwarded_port": "8443", "x_forwarded_host": "files.example.org:9"}, "https://files.example.org:9"),
        ({"x_forwarded_port": "8443", "x_forwarded_host": "[2001:db8::1]"}, "https://[2001:db8::1]:8443"),
        ({"x_forwarded_port": "99999999"}, "https://files.example.org"),
        ({"x_forwarded_port": "0"}, "https://files.example.org"),
        ({"x_forwarded_port": "8443, 80"}, "https://files.example.org:80"),
    ],
)
def test_the_forwarded_port_is_part_of_the_origin(
    trusting: Callable[[str], None], told: dict[str, str], origin: str
) -> None:
    trusting("10.0.0.1")
    assert told_origin(**FORWARDED_HEADERS | told) == origin


def test_a_port_alone_is_added_to_the_host(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    assert told_origin(x_forwarded_port="8080") == "http://inside:8080"
    assert told_origin(x_forwarded_port="8080", host="inside:7000") == "http://inside:7000"


@pytest.mark.parametrize("proxies", ["10.0.0.1", "*"])
def test_the_first_entry_is_used_of_lists_without_addresses(trusting: Callable[[str], None], proxies: str) -> None:
    trusting(proxies)
    told = {"x_forwarded_proto": "https, http", "x_forwarded_host": "files.example.org, inside2"}
    assert told_origin(**told) == "https://files.example.org"
    assert told_origin(forwarded="proto=https;host=files.example.org, proto=http;host=inside2") == (
        "https://files.example.org"
    )
    assert told_origin(**told | {"x_forwarded_port": "8443"}) == "https://files.example.org:8443"


@pytest.mark.parametrize(
    ("settings", "arrived", "root", "path"),
    [
        ({"ROOT_PATH": "/wl"}, {}, "/wl", "/wl/files"),
        ({"ROOT_PATH": "/wl"}, {"path": "/wl/files"}, "/wl", "/wl/files"),
        ({"ROOT_PATH": "/wl"}, {"root_path": "/other", "path": "/other/files"}, "/other", "/other/files"),
        ({"FORCE_SCRIPT_NAME": "/wl"}, {}, "/wl", "/wl/files"),
        ({"FORCE_SCRIPT_NAME": "/wl/"}, {"root_path": "/other", "path": "/other/files"}, "/wl", "/wl/files"),
        ({}, {}, "", "/files"),
    ],
)
def test_the_prefix_of_the_settings_is_used(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], arrived: dict[str, str], root: str, path: str
) -> None:
    from django.test import override_settings

    monkeypatch.setenv("ROOT_PATH", settings.get("ROOT_PATH", ""))
    conf.reload()
    with override_settings(FORCE_SCRIPT_NAME=settings.get("FORCE_SCRIPT_NAME")):
        found = as_client_sees(scope() | arrived)
        assert as_client_sees(found) == found
    assert (found["root_path"], found["path"]) == (root, path)
    monkeypatch.undo()
    conf.reload()


@pytest.mark.parametrize(
    "told",
    [
        {"x_forwarded_host": "a b"},
        {"x_forwarded_host": "a/b"},
        {"x_forwarded_proto": "javascript"},
        {"x_forwarded_for": "unknown"},
        {"x_forwarded_prefix": "up"},
        {"x_forwarded_prefix": "//evil"},
        {"x_forwarded_prefix": "/a/../b c"},
        {"forwarded": "for=_hidden;host=;proto"},
        {"forwarded": ";;=,"},
    ],
)
def test_invalid_forwarded_headers_are_ignored(trusting: Callable[[str], None], told: dict[str, str]) -> None:
    trusting("10.0.0.1")
    assert seen(**told) == UNTOUCHED


def test_forwarded_headers_are_applied_once(trusting: Callable[[str], None]) -> None:
    trusting("*")
    once = forwarded(scope(**FORWARDED_HEADERS, x_forwarded_prefix="/up"))
    assert forwarded(once) is once


def test_the_forwarded_scheme_of_a_websocket_is_wss(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    assert forwarded(scope(kind="websocket", **FORWARDED_HEADERS))["scheme"] == "wss"
    assert forwarded(scope(kind="websocket", **FORWARDED_HEADERS | {"x_forwarded_proto": "http"}))["scheme"] == "ws"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TRUSTED_PROXIES", "proxy.example.org"), ("TRUSTED_PROXIES", "10.0.0.0/99"), ("ROOT_PATH", "up")),
        *(("ROOT_PATH", "/up/"), ("CORS_ALLOWED_ORIGINS", "example.org"), ("CORS_ALLOWED_ORIGINS", "https://a.b/c")),
    ],
)
def test_invalid_settings_end_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(conf.BadSetting, match=name):
        conf.reload()
    monkeypatch.undo()
    conf.reload()
