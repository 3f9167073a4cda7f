"""Cookies and HSTS over TLS, the check of the host, and file modes of the standalone server."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]
TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture
def call(records_home: Path) -> ApiClient:
    """The standalone server; ASGITransport's client is 127.0.0.1."""
    from windlass.asgi import application

    return ApiClient(application)


def cookies(answer: Any) -> list[str]:
    found = answer.headers.get_list("set-cookie")
    assert found, "the page sets its CSRF cookie"
    return [str(each) for each in found]


class TestBehindTls:
    @pytest.mark.parametrize("headers", [TLS, {"Forwarded": "for=192.0.2.1;proto=https"}])
    @pytest.mark.parametrize("path", ["/", "/admin/login/"])
    def test_cookies_are_secure_behind_a_tls_proxy(
        self, call: ApiClient, configure: Configure, headers: Any, path: str
    ) -> None:
        configure(TRUSTED_PROXIES="127.0.0.1")
        for cookie in cookies(call("GET", path, headers=headers)):
            assert cookie.lower().count("; secure") == 1
            assert "samesite=lax" in cookie.lower()

    def test_forwarded_headers_of_untrusted_peers_are_ignored(self, call: ApiClient, configure: Configure) -> None:
        configure(HSTS_SECONDS="60")
        answer = call("GET", "/", headers=TLS)
        assert all("secure" not in cookie.lower() for cookie in cookies(answer))
        assert "strict-transport-security" not in answer.headers

    def test_secure_cookies_makes_cookies_secure_always(self, call: ApiClient, configure: Configure) -> None:
        configure(SECURE_COOKIES="true")
        assert all("; Secure" in cookie for cookie in cookies(call("GET", "/")))

    @pytest.mark.parametrize("path", ["/", "/admin/login/", "/files/", "/livez", "/nothing", "/api/docs", "/uploads/x"])
    def test_every_kind_of_reply_has_hsts(self, call: ApiClient, configure: Configure, path: str) -> None:
        configure(TRUSTED_PROXIES="127.0.0.1", HSTS_SECONDS="31536000", HSTS_INCLUDE_SUBDOMAINS="true")
        told = call("GET", path, headers=TLS).headers.get_list("strict-transport-security")
        assert told == ["max-age=31536000; includeSubDomains"]
        assert "strict-transport-security" not in call("GET", path).headers

    def test_there_is_no_hsts_by_default(self, call: ApiClient, configure: Configure) -> None:
        configure(TRUSTED_PROXIES="127.0.0.1")
        assert "strict-transport-security" not in call("GET", "/files/", headers=TLS).headers


class TestDatabaseFile:
    """A file of an earlier version, readable for everybody, with what SQLite keeps beside it; and a new one."""

    @pytest.mark.parametrize("existed", [True, False])
    def test_the_database_and_its_journal_files_are_private(
        self, records_home: Path, tmp_path: Path, existed: bool
    ) -> None:
        from django.db import connections

        from windlass.database.sqlite.base import DatabaseWrapper

        file = tmp_path / "windlass.sqlite3"
        earlier = None
        if existed:
            earlier = sqlite3.connect(file)
            earlier.execute("PRAGMA journal_mode=WAL")
            earlier.execute("CREATE TABLE a (b)")
            for each in tmp_path.iterdir():
                each.chmod(0o644)
        wrapper = DatabaseWrapper(connections["default"].settings_dict | {"NAME": str(file)}, "other")
        try:
            with wrapper.cursor() as cursor:
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("CREATE TABLE IF NOT EXISTS c (d)")
            modes = {each.name: oct(stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.iterdir()}
        finally:
            wrapper.close()
            if earlier is not None:
                earlier.close()
        assert len(modes) == 3
        assert set(modes.values()) == {"0o600"}, modes


def test_the_checks_warn_of_a_home_that_others_can_read(records_home: Path, configure: Configure) -> None:
    from windlass.conf.system_checks import check_settings

    mode = stat.S_IMODE(records_home.stat().st_mode)
    try:
        records_home.chmod(0o755)
        assert "windlass.W012" in {message.id for message in check_settings(None)}
        records_home.chmod(0o700)
        assert "windlass.W012" not in {message.id for message in check_settings(None)}
    finally:
        records_home.chmod(mode)


def test_the_checks_refuse_a_short_secret_key(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.conf.system_checks import check_settings

    monkeypatch.setenv("SECRET_KEY", "short")
    (error,) = check_settings(None)
    assert error.id == "windlass.E001"
    assert "SECRET_KEY has 5 characters; it must have at least 32" in error.msg
