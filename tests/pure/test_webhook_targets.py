"""Where webhooks may be sent, and how they are signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from windlass.events.webhooks import targets
from windlass.events.webhooks.signatures import new_secret, signed_headers
from windlass.events.webhooks.targets import Target, TargetRefused, check_target, parse_target, require_permitted
from windlass.kernel.network_addresses import is_in_networks, is_public

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808"]

NOT_PUBLIC = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "this host",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "metadata of Alibaba Cloud",
    "169.254.169.254": "metadata of most clouds, link-local",
    "168.63.129.16": "Azure's host",
    "192.0.0.192": "metadata of Oracle Cloud",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarks",
    "198.51.100.1": "documentation",
    "203.0.113.9": "documentation",
    "192.88.99.1": "6to4 relay",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "this host",
    "::1": "loopback",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:169.254.169.254": "mapped metadata",
    "::ffff:10.0.0.1": "mapped private",
    "::127.0.0.1": "IPv4-compatible",
    "64:ff9b::7f00:1": "NAT64 of loopback",
    "64:ff9b::a9fe:a9fe": "NAT64 of the metadata",
    "64:ff9b:1::1": "local NAT64",
    "2002:7f00:1::": "6to4 of loopback",
    "2002:808:808::": "6to4",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "fc00::1": "unique local",
    "fd00:ec2::254": "metadata of AWS by IPv6",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with a zone",
    "2606:2800:220:1::1%eth0": "a zone",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "100::1": "discard",
    "not an address": "text",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    require_permitted([address], (), encrypted=True)


@pytest.mark.parametrize("address", NOT_PUBLIC, ids=lambda address: f"{address} ({NOT_PUBLIC[address]})")
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(TargetRefused) as refused:
        require_permitted([address], (), encrypted=True)
    assert "WEBHOOK_ALLOWED_NETWORKS" in str(refused.value)
    assert address not in str(refused.value), "an internal address is not told"


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(TargetRefused):
        require_permitted(["8.8.8.8", "127.0.0.1"], (), encrypted=True)


def test_listed_networks_are_permitted_and_no_others() -> None:
    networks = ("10.0.0.0/8", "fd00::/8", "192.168.7.9")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::5", "192.168.7.9"):
        assert is_in_networks(address, networks)
        require_permitted([address], networks, encrypted=True)
        require_permitted([address], networks, encrypted=False)
    for address in ("192.168.7.8", "11.0.0.1", "::1"):
        assert not is_in_networks(address, networks)
    with pytest.raises(TargetRefused):
        require_permitted(["10.1.2.3", "127.0.0.1"], networks, encrypted=True)
    require_permitted(["127.0.0.1"], ("*",), encrypted=False)


def test_plain_http_to_a_public_address_is_refused() -> None:
    with pytest.raises(TargetRefused, match="must begin with https://"):
        require_permitted(["8.8.8.8"], ("10.0.0.0/8",), encrypted=False)


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://example.org", Target("https", "example.org", 443, "/"), "example.org"),
        ("HTTPS://Example.ORG:443/a?b=c", Target("https", "example.org", 443, "/a?b=c"), "example.org"),
        ("http://example.org:443/", Target("http", "example.org", 443, "/"), "example.org:443"),
        ("https://[2606:2800::1]:8443/x", Target("https", "2606:2800::1", 8443, "/x"), "[2606:2800::1]:8443"),
        ("https://xn--bcher-kva.example/%C3%BC", Target("https", "xn--bcher-kva.example", 443, "/%C3%BC"), None),
    ],
)
def test_urls(url: str, target: Target, authority: str | None) -> None:
    assert parse_target(url) == target
    assert authority is None or target.authority == authority


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "https"),
        ("example.org", "https"),
        ("file:///etc/passwd", "https"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://user:secret@example.org/", "user name"),
        ("https://example.org@127.0.0.1/", "user name"),
        ("https://example.org/#part", "fragment"),
        ("https://bücher.example/", "character"),
        ("https://example.org/a b", "character"),
        ("https://example.org\\@127.0.0.1/", "character"),
        ("https://example.org/\r\nX-Evil: 1", "character"),
        ("https://example.org:0/", "host"),
        ("https://example.org:99999/", "malformed"),
        ("https://[::1/", "malformed"),
        ("https://[fe80::1%25eth0]/", ""),
        ("https://-example.org/", "host"),
        ("https://" + "a" * 3000 + "/", "characters"),
    ],
)
def test_malformed_urls_are_refused_and_say_why(url: str, why: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        parse_target(url)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://0177.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost/",
        "https://[::ffff:127.0.0.1]/",
        "https://0/",
    ],
)
def test_every_spelling_of_loopback_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        check_target(url, ())


def test_a_name_is_refused_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "resolve", lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(TargetRefused, match="not public"):
        check_target("https://internal.example.org/", ())
    assert check_target("https://internal.example.org/", ("10.0.0.0/8",)).host == "internal.example.org"

    def unknown(host: str, port: int) -> list[str]:
        raise OSError

    monkeypatch.setattr(targets, "resolve", unknown)
    with pytest.raises(TargetRefused, match="cannot be found"):
        check_target("https://nowhere.example.org/", ())


def test_names_of_breakers_fit_their_column_and_differ() -> None:
    assert parse_target("https://Hooks.example.org/a").breaker_name == "webhook.hooks.example.org"
    assert parse_target("https://hooks.example.org:8443/b").breaker_name == "webhook.hooks.example.org:8443"
    long = [parse_target(f"https://{'a' * 60}.{'b' * 60}.{end}/").breaker_name for end in ("org", "net")]
    assert max(map(len, long)) <= 100
    assert long[0] != long[1]


def test_the_library_of_the_specification_verifies_what_is_signed() -> None:
    secret, older = new_secret(), new_secret()
    body = json.dumps({"type": "file.ready", "data": {"name": "Grüße"}}).encode()
    moment = int(datetime.now(UTC).timestamp())
    headers = signed_headers("msg", moment, body, [secret, older])
    assert headers["webhook-id"] == "msg"
    for key in (secret, older):
        assert Webhook(key).verify(body, headers) == json.loads(body)
    for wrong in (
        (new_secret(), headers, body),
        (secret, headers, body + b" "),
        (secret, headers | {"webhook-id": "other"}, body),
        (secret, headers | {"webhook-timestamp": str(moment + 1)}, body),
        (secret, signed_headers("msg", moment - 600, body, [secret]), body),
    ):
        key, sent, received = wrong
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(received, sent)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the reference implementations."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
