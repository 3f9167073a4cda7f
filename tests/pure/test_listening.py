"""The addresses that open mode allows, and the printed URL."""

from __future__ import annotations

import pytest

from windlass.cli.listening_socket import browser_url, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_loopback_addresses_are_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "files.example.org", "localhost.example.org"])
def test_other_addresses_are_public(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::", "http://127.0.0.1:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("files.example.org", "http://files.example.org:8000/"),
    ],
)
def test_the_printed_url_works_in_a_browser_on_this_machine(host: str, url: str) -> None:
    assert browser_url(host, 8000) == url
