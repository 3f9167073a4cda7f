"""Which calls are limited, by which address and user, and what a refused client is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.asgi_client import ApiClient

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]

#: Calls that create an upload, a grant or a webhook, or make the server send something.
CREATE = {
    *("POST /files", "PUT /files", "PUT /files/{}", "POST /files/batch"),
    *("POST /api/v1/upload/init", "POST /api/v1/media/upload/init"),
    *("POST /api/v1/media/upload/simple", "POST /api/v1/media/upload/images"),
    *("GET /s3/params", "POST /s3/multipart"),
    *("POST /uploads/grants", "POST /api/v1/webhooks", "POST /api/v1/webhooks/{}/test"),
}
#: Calls that an admitted upload needs, what a protocol or a page asks before it, and health.
UNLIMITED = {
    *("PATCH /uploads/{}", "HEAD /uploads/{}", "OPTIONS /uploads/{}", "OPTIONS /files"),
    *("POST /api/v1/upload/chunk", "PUT /api/v1/upload/{}/chunks/{}", "POST /api/v1/upload/complete"),
    *("POST /api/v1/media/upload/chunk", "POST /api/v1/media/upload/{}/finalize"),
    *("GET /s3/multipart/{}", "GET /s3/multipart/{}/batch", "GET /s3/multipart/{}/{}"),
    *("POST /s3/multipart/{}/complete", "POST /s3/params/complete"),
    *("GET /livez", "GET /readyz", "GET /healthz", "GET /metrics"),
}
#: Calls that take a credential and give one.
SIGN_IN = {f"POST /api/v1/auth/{name}" for name in ("token", "refresh", "revoke", "session")}
#: All others that change something. Whoever adds an endpoint decides here which limit it has.
GENERAL = {
    *(
        "POST /api/v1/auth/ticket",
        "DELETE /api/v1/auth/session",
        "DELETE /uploads/{}",
        "DELETE /files/{}",
        "POST /files/zip",
        "POST /search",
        "POST /files/{}/release",
    ),
    *("POST /files/{}/reprocess", "POST /files/{}/restore", "POST /files/{}/signed-url"),
    *("POST /api/v1/upload/cancel", "DELETE /api/v1/media/upload/{}", "DELETE /api/v1/media/{}"),
    *("POST /api/v1/media/cleanup/expired", "POST /api/v1/media/posts/{}/published", "DELETE /s3/multipart/{}"),
    *("DELETE /api/v1/webhooks/{}", "PATCH /api/v1/webhooks/{}", "POST /api/v1/webhooks/{}/replay"),
    *("POST /api/v1/webhooks/{}/rotate-secret", "POST /api/v1/webhooks/{}/deliveries/{}/replay"),
    *("POST /graph/entities/{}/merges", "DELETE /graph/entities/{}/merges"),
    *("DELETE /error-handling/failed-tasks/{}", "POST /error-handling/retry-tasks"),
    *("POST /error-handling/circuit-breakers/{}/reset", "PUT /error-handling/service-level"),
}


def declared() -> Iterator[tuple[str, str]]:
    """Each endpoint of both planes, with the class that it declares."""
    from windlass.http.byte_endpoints import BYTE_ENDPOINTS
    from windlass.http.rest import routing
    from windlass.http.rest.call_rates import declared_rate

    for endpoint in BYTE_ENDPOINTS:
        yield f"{endpoint.method} {re.sub('{[^}]*}', '{}', endpoint.path)}", endpoint.rate
    for pattern, operation in routing._bound_operations():
        for method in operation.methods:
            yield f"{method} /{re.sub('<[^>]*>', '{}', pattern)}", declared_rate(operation)


def test_every_endpoint_has_the_limit_that_the_tables_say(records_home: Any) -> None:
    found = dict(declared())
    assert {call for call, kind in found.items() if kind == "create"} == CREATE
    assert {call for call, kind in found.items() if kind == "unlimited"} == UNLIMITED
    assert {call for call, kind in found.items() if kind == "sign-in"} == SIGN_IN
    changing = {call for call, kind in found.items() if kind == "general" and not call.startswith("GET ")}
    assert changing == GENERAL


@pytest.fixture
def app(records_home: Any, configure: Configure) -> Any:
    """The whole application, with a limit of three calls and counts of its own."""
    from windlass.asgi import application
    from windlass.resilience.rate_limits.configured import limiter

    configure(WINDLASS_RATE_LIMIT_PER_MINUTE="3", RATE_LIMIT_BURST="0")
    limiter()._local.reset()
    return application


def send(app: Any, method: str, path: str, *, client: str = "127.0.0.1", **options: Any) -> httpx.Response:
    """One request from the given address."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 999))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.request(method, path, **options)

    return asyncio.run(run())


def create(app: Any, **options: Any) -> httpx.Response:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"} | options.pop("headers", {})
    return send(app, "POST", "/files/", headers=headers, **options)


def test_a_refused_client_is_told_the_limit_and_when_to_come_again(app: Any) -> None:
    admitted = [create(app) for _ in range(3)]
    assert [each.status_code for each in admitted] == [201] * 3
    assert [each.headers["ratelimit"].partition(";t=")[0] for each in admitted] == [
        f'"create";r={left}' for left in (2, 1, 0)
    ]
    refused = create(app)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-policy"] == '"create";q=3;w=60'
    document = refused.json()
    assert document["type"] == "/problems/rate-limited"
    assert (document["limit"], document["window_seconds"]) == (3, 60)
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 61
    assert document["retry_after"] == seconds
    assert refused.headers["ratelimit"] == f'"create";r=0;t={seconds}'
    assert refused.headers["tus-resumable"] == "1.0.0"


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("PUT", "/files/a.txt", {"content": b"a"}),
        ("POST", "/files/", {"files": {"file": b"a"}}),
        ("POST", "/files/batch/", {"files": {"file": b"a"}}),
        ("POST", "/api/v1/upload/init/", {"json": {"filename": "a", "total_size": 5}}),
        ("POST", "/api/v1/media/upload/init/", {"json": {}}),
        ("POST", "/s3/multipart", {"json": {}}),
        ("POST", "/uploads/grants/", {"json": {}}),
    ],
)
def test_every_protocol_is_refused_with_the_same_status_and_fields(
    app: Any, method: str, path: str, options: dict[str, Any]
) -> None:
    for _ in range(3):
        create(app)
    refused = send(app, method, path, **options)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit"].startswith('"create";r=0;t=')


def test_an_admitted_upload_is_never_limited(app: Any) -> None:
    upload, *_ = [create(app).headers.get("location", "") for _ in range(4)]
    for _ in range(40):
        assert send(app, "HEAD", upload, headers={"Tus-Resumable": "1.0.0"}).status_code == 200
    fields = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    for offset in range(5):
        reply = send(app, "PATCH", upload, headers=fields | {"Upload-Offset": str(offset)}, content=b"a")
        assert reply.status_code == 204
        assert "ratelimit" not in reply.headers
    assert send(app, "OPTIONS", "/files/").status_code == 204
    assert [send(app, "GET", "/livez").status_code for _ in range(40)] == [200] * 40


def test_reading_has_ten_times_the_limit_and_a_count_of_its_own(app: Any) -> None:
    statuses = [send(app, "GET", "/api/v1/quota/").status_code for _ in range(32)]
    assert statuses == [200] * 30 + [429] * 2
    assert send(app, "HEAD", "/api/v1/quota/").status_code == 200, "HEAD is never limited"
    assert create(app).status_code == 201
    policy = send(app, "GET", "/files/").headers["ratelimit-policy"]
    assert policy == '"general";q=30;w=60'


def test_a_network_of_ipv6_is_one_address(app: Any) -> None:
    statuses = [create(app, client=f"2001:db8:1:2::{number}").status_code for number in range(1, 5)]
    assert statuses == [201, 201, 201, 429]
    assert create(app, client="2001:db8:1:3::1").status_code == 201
    assert [create(app, client="::ffff:192.0.2.1").status_code for _ in range(3)] == [201] * 3
    assert create(app, client="192.0.2.1").status_code == 429, "a mapped address is the IPv4 address"


def test_only_trusted_proxies_name_the_address(
    app: Any, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [create(app, client="192.0.2.9", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(4)]
    assert [each.status_code for each in named] == [201, 201, 201, 429]
    assert capsys.readouterr().out.count("rate_limits.proxy_is_not_trusted") == 1
    configure(TRUSTED_PROXIES="192.0.2.8")
    named = [create(app, client="192.0.2.8", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(9)]
    assert [each.status_code for each in named] == [201] * 9


def test_a_user_has_one_limit_from_all_addresses(
    app: Any, configure: Configure, user: Callable[..., ApiClient]
) -> None:
    configure(AUTH_MODE="required")
    ann, bob = user(), user()
    statuses = [create(app, client=f"192.0.2.{n}", headers=ann.headers).status_code for n in range(4)]
    assert statuses == [201, 201, 201, 429]
    assert create(app, client="192.0.2.3", headers=bob.headers).status_code == 201, "a refused call counts nowhere"


def test_a_forged_credential_takes_nothing_from_a_user(
    app: Any, configure: Configure, user: Callable[..., ApiClient]
) -> None:
    configure(AUTH_MODE="required")
    ann = user()
    for _ in range(9):
        assert create(app, client="192.0.2.1", headers={"Authorization": "Bearer wl_forged"}).status_code == 401
    assert create(app, client="192.0.2.1", headers=ann.headers).status_code == 201


def test_without_a_setting_the_user_of_this_machine_is_not_limited(
    app: Any, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WINDLASS_RATE_LIMIT_PER_MINUTE")
    configure(RATE_LIMIT_BURST="0")
    assert [create(app).status_code for _ in range(61)] == [201] * 61
    assert "ratelimit" not in create(app).headers
    shown = send(app, "GET", "/files/security/config/").json()["rate_limits"]
    assert shown == {
        "per_minute": 60,
        "burst": 0,
        "general_per_minute": 600,
        "general_burst": 0,
        "applies_to_this_machine": False,
    }
    statuses = [create(app, client="192.0.2.1").status_code for _ in range(61)]
    assert statuses == [201] * 60 + [429], "clients of other machines, through a trusted proxy, are"


def test_the_configuration_shows_what_is_in_effect(app: Any, configure: Configure) -> None:
    shown = send(app, "GET", "/files/security/config/").json()["rate_limits"]
    assert (shown["per_minute"], shown["burst"], shown["applies_to_this_machine"]) == (3, 0, True)
    configure(WINDLASS_RATE_LIMIT_PER_MINUTE="0")
    assert send(app, "GET", "/files/security/config/").json()["rate_limits"] is None
    assert [create(app).status_code for _ in range(9)] == [201] * 9


def test_a_directory_that_cannot_be_written_leaves_counts_to_each_process(
    app: Any, configure: Configure, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("")
    configure(METRICS_DIR=str(tmp_path / "file" / "below"))
    assert [create(app).status_code for _ in range(4)] == [201, 201, 201, 429]


@pytest.mark.parametrize(
    ("name", "value"), [("RATE_LIMIT_BURST", "-1"), ("RATE_LIMIT_STORAGE_URL", "memcached://localhost")]
)
def test_a_wrong_setting_is_refused(configure: Configure, name: str, value: str) -> None:
    from windlass.conf.reader import BadSetting

    with pytest.raises(BadSetting, match=name):
        configure(**{name: value})


def test_the_breaker_of_the_redis_is_known_where_there_is_one(app: Any, configure: Configure) -> None:
    listed = "/error-handling/circuit-breakers/"
    assert "rate_limits" not in send(app, "GET", listed).json()["circuit_breakers"]
    configure(RATE_LIMIT_STORAGE_URL="redis://127.0.0.1:1/0")
    assert "rate_limits" in send(app, "GET", listed).json()["circuit_breakers"]


def test_the_check_names_a_redis_that_does_not_answer(app: Any, configure: Configure) -> None:
    from windlass.resilience.rate_limits.configured import check_redis

    configure(RATE_LIMIT_STORAGE_URL="redis://127.0.0.1:1/0")
    with pytest.raises(ConnectionError, match="does not answer"):
        check_redis()
