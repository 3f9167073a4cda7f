"""Whoever guesses credentials has to wait, longer and longer; nobody else has to."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.integration.asgi_client import ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]
WRONG = {"Authorization": "Bearer wl_wrong"}
QUOTA = "/api/v1/quota/"


@pytest.fixture
def app(records_home: Any, configure: Configure) -> Any:
    """The whole application, which requires credentials, takes ten wrong ones a minute, and has counted none yet."""
    from windlass.asgi import application
    from windlass.http import counted_admission
    from windlass.resilience.rate_limits.configured import limiter

    configure(AUTH_MODE="required", WINDLASS_WRONG_CREDENTIALS_PER_MINUTE="10")
    limiter()._local.reset()
    counted_admission._proved._until.clear()
    return application


def send(app: Any, method: str, path: str, *, client: str = "192.0.2.1", **options: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 999))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.request(method, path, **options)

    return asyncio.run(run())


def guess(app: Any, times: int, **options: Any) -> list[int]:
    return [send(app, "GET", QUOTA, headers=WRONG, **options).status_code for _ in range(times)]


def test_the_eleventh_wrong_token_has_to_wait(app: Any) -> None:
    assert guess(app, 10) == [401] * 10
    refused = send(app, "GET", QUOTA, headers=WRONG)
    assert refused.status_code == 429
    assert refused.json()["type"] == "/problems/rate-limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert guess(app, 1, client="192.0.2.2") == [401], "another address has a count of its own"
    assert send(app, "GET", QUOTA).status_code == 401, "without a credential nothing is guessed"


def test_a_token_that_was_right_before_does_not_wait(app: Any, user: Callable[..., ApiClient]) -> None:
    ann, bob = user(), user()
    assert send(app, "GET", QUOTA, headers=ann.headers).status_code == 200
    guess(app, 10)
    assert send(app, "GET", QUOTA, headers=ann.headers).status_code == 200
    assert send(app, "GET", QUOTA, headers=bob.headers).status_code == 429, "it may be the next guess"
    assert send(app, "GET", QUOTA, headers=bob.headers, client="192.0.2.2").status_code == 200


def test_an_admitted_upload_does_not_wait(app: Any, user: Callable[..., ApiClient]) -> None:
    from windlass.http import counted_admission

    ann = user()
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    upload = send(app, "POST", "/files/", headers=ann.headers | tus).headers["location"]
    counted_admission._proved._until.clear()
    heads = [send(app, "HEAD", upload, headers=tus | WRONG).status_code for _ in range(12)]
    assert heads == [401] * 12
    assert guess(app, 1) == [429], "they count"
    assert send(app, "HEAD", upload, headers=tus | ann.headers).status_code == 200


def test_json_web_tokens_are_not_counted(app: Any) -> None:
    """Expired ones are usual, and a signature is not guessed one request at a time."""
    token = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln"}
    assert {send(app, "GET", QUOTA, headers=token).status_code for _ in range(15)} == {401}
    assert guess(app, 1) == [401]


def test_wrong_grants_wait_and_keep_no_token_out(app: Any, user: Callable[..., ApiClient]) -> None:
    statuses = [send(app, "POST", "/files/?grant=wlg_wrong", content=b"a").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert send(app, "GET", QUOTA, headers=user().headers).status_code == 200


def test_forged_signatures_wait_and_expired_ones_do_not(app: Any) -> None:
    from windlass.accounts.api import sign_path

    path = f"/files/{make_file('ann', b'abc').id}/download/"
    expired, _ = sign_path(path, -5)
    assert {send(app, "GET", expired).status_code for _ in range(15)} == {403}
    forged = f"{path}?{urlencode({'expires': 9999999999, 'signature': 'f' * 64})}"
    assert [send(app, "GET", forged).status_code for _ in range(11)] == [403] * 10 + [429]
    right, _ = sign_path(path, 60)
    assert send(app, "GET", right, client="192.0.2.2").json()["type"] == "/problems/not-ready", "it is admitted"


def test_the_limit_can_be_turned_off(app: Any, configure: Configure) -> None:
    configure(WINDLASS_WRONG_CREDENTIALS_PER_MINUTE="0")
    assert guess(app, 15) == [401] * 15


def sign_in(app: Any, name: str, password: str, client: str) -> int:
    """The status of Django's sign-in page: 302 if the password is right, 200 if not."""

    async def run() -> int:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 999))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            page = await http.get("/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            assert token
            fields = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
            return (await http.post("/admin/login/", data=fields)).status_code

    return asyncio.run(run())


@pytest.fixture
def account(app: Any, settings_with_fast_passwords: None) -> str:
    from django.contrib.auth import get_user_model

    name = f"Ann-{uuid.uuid4().hex[:8]}"
    get_user_model().objects.create_user(name, password="right", is_staff=True)
    return name


@pytest.fixture
def settings_with_fast_passwords(records_home: Any) -> Any:
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


def test_wrong_passwords_of_one_address_wait(app: Any, account: str) -> None:
    tries = [sign_in(app, f"{account}-{n}", "wrong", "192.0.2.1") for n in range(11)]
    assert tries == [200] * 10 + [429]
    assert sign_in(app, account, "right", "192.0.2.1") == 429
    assert sign_in(app, account, "right", "192.0.2.2") == 302


def test_wrong_passwords_of_one_account_wait_but_not_where_its_user_signs_in(app: Any, account: str) -> None:
    assert sign_in(app, account, "right", "192.0.2.200") == 302
    tries = [sign_in(app, account.upper() if n % 2 else account, "wrong", f"198.51.100.{n}") for n in range(31)]
    assert tries == [200] * 30 + [429]
    assert sign_in(app, account, "right", "198.51.100.77") == 429, "it may be the next guess"
    assert sign_in(app, account, "right", "192.0.2.200") == 302


def test_signing_in_has_the_limit_of_creating_calls(app: Any, account: str, configure: Configure) -> None:
    configure(WINDLASS_RATE_LIMIT_PER_MINUTE="3", RATE_LIMIT_BURST="0")
    assert [sign_in(app, account, "right", "192.0.2.1") for _ in range(4)] == [302, 302, 302, 429]


@pytest.mark.parametrize("backends", [None, ["django.contrib.auth.backends.ModelBackend"]], ids=["ours", "a project's"])
def test_wrong_passwords_of_the_api_wait(app: Any, account: str, backends: list[str] | None) -> None:
    from django.conf import settings
    from django.test import override_settings

    def sign_in_by_api(password: str, client: str = "192.0.2.1") -> int:
        fields = {"username": account, "password": password}
        return send(app, "POST", "/api/v1/auth/token/", client=client, json=fields).status_code

    with override_settings(AUTHENTICATION_BACKENDS=backends or settings.AUTHENTICATION_BACKENDS):
        assert [sign_in_by_api("wrong") for _ in range(11)] == [401] * 10 + [429]
        assert sign_in_by_api("right") == 429
        assert sign_in_by_api("right", "192.0.2.2") == 200
        assert sign_in_by_api("wrong", "192.0.2.2") == 401
