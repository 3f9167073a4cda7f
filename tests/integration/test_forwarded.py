"""What proxies say counts as far as they are trusted, and never a hop further."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import django_home

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.http.forwarded import base_of, forwarded  # noqa: E402


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


TOLD = {"x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https", "x_forwarded_host": "files.example.org"}


def seen(**changed: Any) -> tuple[Any, ...]:
    found = forwarded(scope(**changed))
    host = dict(found["headers"])[b"host"].decode()
    return found["client"][0], found["scheme"], host, found["root_path"], found["path"]


UNTOUCHED = ("10.0.0.1", "http", "inside", "", "/files")


def test_nobody_is_believed_by_default() -> None:
    assert seen(**TOLD, x_forwarded_prefix="/up") == UNTOUCHED
    assert base_of(forwarded(scope(**TOLD))) == ""


def test_a_trusted_proxy_is_believed(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.0/8")
    assert seen(**TOLD) == ("203.0.113.7", "https", "files.example.org", "", "/files")
    assert base_of(forwarded(scope(**TOLD))) == "https://files.example.org"
    assert seen(**TOLD, client="192.0.2.1")[1:] == UNTOUCHED[1:]
    assert seen(x_forwarded_prefix="/up/load/")[3:] == ("/up/load", "/up/load/files")
    assert base_of(forwarded(scope(x_forwarded_prefix="/up"))) == ""


def test_an_unix_socket_has_no_address_to_trust(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    alone = scope(**TOLD) | {"client": None}
    assert forwarded(alone) is alone


def test_a_chain_is_followed_to_the_first_that_nobody_trusts(trusting: Callable[[str], None]) -> None:
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


def test_the_standard_field_counts_where_the_others_are_absent(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    standard = 'for="[2001:db8::1]:4711";proto=HTTPS;host="files.example.org"'
    assert seen(forwarded=standard)[:3] == ("2001:db8::1", "https", "files.example.org")
    assert seen(forwarded=f"for=6.6.6.6;host=evil, {standard}")[:3] == ("2001:db8::1", "https", "files.example.org")
    assert seen(forwarded="for=6.6.6.6;host=evil;proto=https", **TOLD)[2] == "files.example.org"


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
def test_what_makes_no_sense_changes_nothing(trusting: Callable[[str], None], told: dict[str, str]) -> None:
    trusting("10.0.0.1")
    assert seen(**told) == UNTOUCHED


def test_looking_twice_sees_the_same(trusting: Callable[[str], None]) -> None:
    trusting("*")
    once = forwarded(scope(**TOLD, x_forwarded_prefix="/up"))
    assert forwarded(once) is once


def test_a_websocket_is_secure_too(trusting: Callable[[str], None]) -> None:
    trusting("10.0.0.1")
    assert forwarded(scope(kind="websocket", **TOLD))["scheme"] == "wss"
    assert forwarded(scope(kind="websocket", **TOLD | {"x_forwarded_proto": "http"}))["scheme"] == "ws"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TRUSTED_PROXIES", "proxy.example.org"), ("TRUSTED_PROXIES", "10.0.0.0/99"), ("ROOT_PATH", "up")),
        *(("ROOT_PATH", "/up/"), ("CORS_ALLOWED_ORIGINS", "example.org"), ("CORS_ALLOWED_ORIGINS", "https://a.b/c")),
    ],
)
def test_settings_that_make_no_sense_stop_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(conf.BadSetting, match=name):
        conf.reload()
    monkeypatch.undo()
    conf.reload()
