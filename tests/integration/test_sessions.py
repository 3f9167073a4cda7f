"""Sessions of browsers: begun with a password or an API token, what the session may do, and what ends it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.integration.asgi_client import make_file
from windlass.kernel.clock import now
from windlass.kernel.principals import Scope

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]
PASSWORD = "seven-ells-of-rope"
SESSION = "/api/v1/auth/session"


@pytest.fixture
def app(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application, where hashing a password takes no time."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    configure(AUTH_MODE="required", RATE_LIMIT_PER_MINUTE="0")
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    from windlass.asgi import application

    return application


class Browser:
    """Keeps cookies, and sends the CSRF token as a page does."""

    def __init__(self, app: Any, address: str = "127.0.0.1") -> None:
        self._app, self._address = app, address
        self.cookies: dict[str, str] = {}
        self.last: httpx.Response

    def __call__(self, method: str, path: str, *, csrf: bool = True, **options: Any) -> httpx.Response:
        headers = {"X-CSRFToken": self.cookies.get("csrftoken", "")} if csrf else {}
        return asyncio.run(self._send(method, path, headers | options.pop("headers", {}), options))

    async def _send(self, method: str, path: str, headers: dict[str, str], options: dict[str, Any]) -> httpx.Response:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=(self._address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            self.last = await client.request(method, path, headers=headers, **options)
        self.cookies |= dict(self.last.cookies)
        return self.last

    def sign_in(self, **body: Any) -> httpx.Response:
        if "csrftoken" not in self.cookies:
            self("GET", "/")
        return self("POST", SESSION, json=body)

    @property
    def key(self) -> str | None:
        return self.cookies.get("sessionid")


@pytest.fixture
def browser(app: Any) -> Browser:
    return Browser(app)


@pytest.fixture
def person(app: Any) -> Any:
    return new_user()


def new_user(*, staff: bool = False) -> Any:
    from windlass.accounts.api import ensure_user

    user = ensure_user(f"person-{uuid.uuid4().hex[:12]}", staff=staff)
    user.set_password(PASSWORD)
    user.save()
    return user


def token_of(user: Any, **terms: Any) -> str:
    from windlass.accounts.api import create_token

    return create_token(user.username, **terms)


def test_a_password_signs_a_browser_in_until_it_signs_out(browser: Browser, person: Any) -> None:
    answer = browser.sign_in(username=person.username, password=PASSWORD)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "owner": f"user:{person.pk}",
        "name": person.username,
        "staff": False,
        "method": "password",
        "scopes": ["read", "write", "admin"],
    }
    asset = make_file(f"user:{person.pk}")
    assert browser("GET", SESSION).json() == answer.json()
    assert browser("GET", f"/files/{asset.id}/").status_code == 200
    assert browser("POST", "/files/?filename=a.txt", content=b"abc").status_code == 201  # the byte plane, too
    ended = browser.key
    assert browser("DELETE", SESSION).status_code == 204
    assert browser("GET", SESSION).status_code == 401
    browser.cookies["sessionid"] = str(ended)
    assert browser("GET", SESSION).status_code == 401, "the session has ended, not only its cookie"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser, person: Any) -> None:
    browser("GET", "/")
    answer = browser("POST", SESSION, json={"username": person.username, "password": PASSWORD})
    cookies = [each for each in answer.headers.get_list("set-cookie") if each.startswith("sessionid=")]
    assert len(cookies) == 1
    assert "HttpOnly" in cookies[0]
    assert "SameSite=Lax" in cookies[0]


def test_what_is_wrong_is_refused_with_the_reason(browser: Browser, person: Any) -> None:
    wrong = browser.sign_in(username=person.username, password="wrong")
    assert (wrong.status_code, wrong.json()["detail"]) == (401, "The user name or the password is wrong.")
    unknown = browser.sign_in(token="wl_unknown")
    assert (unknown.status_code, unknown.json()["type"]) == (401, "/problems/invalid-token")
    for body in ({}, {"username": "a"}, {"token": "wl_a", "username": "a", "password": "b"}):
        answer = browser.sign_in(**body)
        assert answer.status_code == 422
        assert '"token"' in answer.json()["detail"]
    assert browser.sign_in(token="").status_code == 422
    assert browser.key is None


def test_a_page_of_another_site_cannot_sign_its_visitor_in(browser: Browser, person: Any) -> None:
    credentials = {"username": person.username, "password": PASSWORD}
    browser("GET", "/")
    assert browser("POST", SESSION, json=credentials, csrf=False).status_code == 403
    foreign = {"Origin": "https://elsewhere.example"}
    assert browser("POST", SESSION, json=credentials, headers=foreign).status_code == 403
    assert browser.key is None
    assert browser.sign_in(**credentials).status_code == 200
    assert browser("DELETE", SESSION, csrf=False).status_code == 403
    assert browser("GET", SESSION).status_code == 200


def test_a_session_has_a_new_key_after_each_sign_in(browser: Browser, person: Any) -> None:
    """Whoever knew or planted the key of before is not signed in with it."""
    browser.sign_in(token=token_of(person))
    of_token, csrf = browser.key, browser.cookies["csrftoken"]
    other = new_user()
    browser.sign_in(username=other.username, password=PASSWORD)
    of_password = browser.key
    assert browser("GET", SESSION).json()["owner"] == f"user:{other.pk}"
    browser.sign_in(token=token_of(person))
    assert browser("GET", SESSION).json()["owner"] == f"user:{person.pk}"
    assert len({of_token, of_password, browser.key}) == 3
    assert browser.cookies["csrftoken"] != csrf
    for old in (of_token, of_password):
        browser.cookies["sessionid"] = str(old)
        assert browser("GET", SESSION).status_code == 401


@pytest.mark.parametrize("scopes", [{Scope.READ}, {Scope.READ, Scope.WRITE}, set(Scope)])
def test_a_session_that_a_token_began_has_its_scopes(browser: Browser, scopes: set[Scope]) -> None:
    staff = new_user(staff=True)
    found = browser.sign_in(token=token_of(staff, scopes=scopes)).json()
    assert (found["method"], set(found["scopes"])) == ("token", scopes)
    assert found["staff"] is (Scope.ADMIN in scopes)
    asset = make_file(f"user:{staff.pk}")
    assert browser("GET", f"/files/{asset.id}/").status_code == 200
    assert (browser("GET", "/error-handling/failed-tasks").status_code == 200) is (Scope.ADMIN in scopes)
    assert (browser("POST", "/files/?filename=a.txt", content=b"abc").status_code == 201) is (Scope.WRITE in scopes)
    assert (browser("DELETE", f"/files/{asset.id}/").status_code == 204) is (Scope.WRITE in scopes)
    assert browser("GET", "/admin/").status_code == 302, "Django's pages do not know of scopes"
    assert browser("DELETE", SESSION).status_code == 204


@pytest.mark.parametrize("end", ["revoked", "expired", "user disabled"])
def test_a_session_ends_with_its_token(browser: Browser, person: Any, end: str) -> None:
    from windlass.accounts.api import revoke_token
    from windlass.accounts.models import ApiToken

    assert browser.sign_in(token=token_of(person)).status_code == 200
    row = ApiToken.objects.get(user_id=person.pk)
    match end:
        case "revoked":
            revoke_token(row.pk)
        case "expired":
            ApiToken.objects.filter(pk=row.pk).update(expires_at=now())
        case "user disabled":
            person.is_active = False
            person.save()
    assert browser("GET", SESSION).status_code == 401
    assert browser("GET", "/files/").status_code == 401


def test_a_live_connection_ends_with_the_token_of_its_session(browser: Browser, person: Any) -> None:
    """The ticket of the connection was made with the session, and asks what the session still proves."""
    from windlass.accounts.api import revoke_token
    from windlass.accounts.models import ApiToken, Ticket
    from windlass.accounts.proofs import still_proves
    from windlass.kernel.principals import CredentialKind, Principal

    browser.sign_in(token=token_of(person))
    browser("POST", "/api/v1/auth/ticket")
    proof = Ticket.objects.get(owner=f"user:{person.pk}").proof
    holder = Principal(f"user:{person.pk}", credential=CredentialKind.TICKET, proof=proof)
    assert still_proves(holder)
    revoke_token(ApiToken.objects.get(user_id=person.pk).pk)
    assert not still_proves(holder)


def test_the_cookie_of_a_token_expires_with_it(browser: Browser, person: Any) -> None:
    answer = browser.sign_in(token=token_of(person, expires_at=now() + timedelta(hours=1)))
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith("sessionid="))
    age = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 3500 < age <= 3600


def test_wrong_tokens_and_passwords_are_slowed_down(app: Any, configure: Configure, person: Any) -> None:
    configure(WINDLASS_WRONG_CREDENTIALS_PER_MINUTE="3")
    for number, body in enumerate(({"token": "wl_guess"}, {"username": person.username, "password": "guess"})):
        browser = Browser(app, f"192.0.2.{number + 1}")
        answers = [browser.sign_in(**body).status_code for _ in range(5)]
        assert answers == [401, 401, 401, 429, 429]
        assert int(browser.last.headers["retry-after"]) > 0


def test_sign_ins_of_browsers_are_in_the_audit_log(browser: Browser, configure: Configure, person: Any) -> None:
    from windlass.events.models import PendingAuditEntry

    configure(AUTH_MODE="required", AUDIT_SIGN_INS="true", RATE_LIMIT_PER_MINUTE="0")
    browser.sign_in(username=person.username, password=PASSWORD)
    browser("DELETE", SESSION)
    browser.sign_in(token=token_of(person))
    owner = f"user:{person.pk}"
    entries = PendingAuditEntry.objects.filter(owner=owner, action="sign_in.succeeded").order_by("id")
    assert [(each.actor, each.credential) for each in entries] == [(owner, "password"), (owner, "token")]


def test_sessions_that_have_expired_are_deleted_by_housekeeping(browser: Browser, person: Any) -> None:
    from django.contrib.sessions.models import Session

    from windlass.operations.sweep import housekeeping

    browser.sign_in(username=person.username, password=PASSWORD)
    expired = browser.key
    Session.objects.filter(session_key=expired).update(expire_date=now() - timedelta(seconds=1))
    browser.sign_in(token=token_of(person))
    housekeeping()
    assert list(Session.objects.filter(session_key__in=[expired, browser.key]).values_list("pk", flat=True)) == [
        browser.key
    ]


def test_closing_an_account_deletes_the_sessions_of_its_tokens(browser: Browser, person: Any) -> None:
    from django.contrib.sessions.models import Session

    from windlass.accounts.api import close_account

    browser.sign_in(token=token_of(person))
    assert Session.objects.filter(session_key=browser.key).exists()
    close_account(f"user:{person.pk}")
    assert not Session.objects.filter(session_key=browser.key).exists()


def test_in_open_mode_nobody_needs_to_sign_in(app: Any, configure: Configure, person: Any) -> None:
    configure(AUTH_MODE="open", RATE_LIMIT_PER_MINUTE="0")
    browser = Browser(app)
    found = browser("GET", SESSION).json()
    assert (found["owner"], found["name"], found["staff"], found["method"]) == ("anonymous", None, True, "open")
    assert browser.sign_in(username=person.username, password=PASSWORD).json()["owner"] == f"user:{person.pk}"
