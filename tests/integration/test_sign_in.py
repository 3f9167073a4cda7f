"""Signing in with a password: access and refresh tokens, what ends them, tickets, and the change of SECRET_KEY."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.jwt_issuer import SECRET, claims, raw_token, token
from windlass.kernel.clock import now

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]
PASSWORD = "seven-ells-of-rope"
AUTH = "/api/v1/auth"


@pytest.fixture
def app(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application, where hashing a password takes no time."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    configure(AUTH_MODE="required", RATE_LIMIT_PER_MINUTE="0")
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    from windlass.asgi import application

    return application


class Person:
    """A user with a password."""

    def __init__(self, app: Any, *, staff: bool = False) -> None:
        from windlass.accounts.api import ensure_user

        self.app = app
        self.name = f"person-{uuid.uuid4().hex[:12]}"
        self.user = ensure_user(self.name, staff=staff)
        self.set_password(PASSWORD)
        self.owner = f"user:{self.user.pk}"

    def set_password(self, password: str) -> None:
        self.user.set_password(password)
        self.user.save()

    def call(self, path: str, **body: Any) -> Any:
        return ApiClient(self.app)("POST", AUTH + path, json=body)

    def sign_in(self) -> dict[str, Any]:
        answer = self.call("/token", username=self.name, password=PASSWORD)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self, token: str) -> Any:
        return self.call("/refresh", refresh=token)

    def with_token(self, access: str) -> ApiClient:
        return ApiClient(self.app, access, self.owner)

    def with_session(self) -> ApiClient:
        from django.conf import settings
        from django.contrib.sessions.backends.db import SessionStore

        self.session = SessionStore()
        self.session["_auth_user_id"] = str(self.user.pk)
        self.session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
        self.session["_auth_user_hash"] = self.user.get_session_auth_hash()
        self.session.save()
        caller = ApiClient(self.app, owner=self.owner)
        cookie = f"{settings.SESSION_COOKIE_NAME}={self.session.session_key}; csrftoken={'a' * 32}"
        caller.headers = {"Cookie": cookie, "X-CSRFToken": "a" * 32, "Origin": "http://localhost"}
        return caller

    def is_accepted(self, access: str) -> bool:
        status = self.with_token(access)("GET", "/files/").status_code
        assert status in (200, 401)
        return status == 200


@pytest.fixture
def person(app: Any) -> Person:
    return Person(app)


def refused(answer: Any, slug: str = "invalid-token") -> str:
    assert (answer.status_code, answer.json()["type"]) == (401, f"/problems/{slug}")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    return str(answer.json()["detail"])


class TestSignIn:
    def test_the_access_token_is_its_user(self, person: Person) -> None:
        tokens = person.sign_in()
        assert tokens.keys() == {"access", "token_type", "expires_in", "refresh"}
        assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 900)
        caller = person.with_token(tokens["access"])
        created = caller("POST", "/files/?filename=a.txt", content=b"x").json()
        assert [file["id"] for file in caller("GET", "/files/").json()["results"]] == [created["id"]]
        assert caller("GET", f"/files/{make_file('user:elsewhere').id}/").status_code == 404
        assert caller("GET", "/error-handling/statistics").status_code == 403

    def test_staff_are_staff(self, app: Any) -> None:
        boss = Person(app, staff=True)
        assert boss.with_token(boss.sign_in()["access"])("GET", "/error-handling/statistics").status_code == 200

    def test_a_wrong_name_and_a_wrong_password_get_the_same_reply(self, person: Person) -> None:
        for name, password in (
            (person.name, "wrong"),
            ("nobody-of-this-name", PASSWORD),
            (person.name.upper(), PASSWORD),
            (person.name, PASSWORD + " "),
        ):
            answer = person.call("/token", username=name, password=password)
            assert refused(answer, "unauthenticated") == "The user name or the password is wrong."

    def test_a_user_without_a_password_and_an_inactive_one_cannot_sign_in(self, person: Person) -> None:
        from windlass.accounts.api import ensure_user

        name = ensure_user(f"user-{uuid.uuid4().hex[:12]}").get_username()
        for password in ("x", "!"):
            refused(person.call("/token", username=name, password=password), "unauthenticated")
        person.user.is_active = False
        person.user.save()
        refused(person.call("/token", username=person.name, password=PASSWORD), "unauthenticated")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"username": "a"}',
            b'{"username": 5, "password": "x"}',
            b'{"username": "a", "password": null}',
            b'{"username": "", "password": "x"}',
            b'{"username": "a\\u0000b", "password": "x"}',
            b'{"username": "a", "password": "' + b"x" * 5000 + b'"}',
            b'{"username": {"$ne": ""}, "password": {"$ne": ""}}',
        ],
    )
    def test_a_malformed_body_is_4xx(self, app: Any, body: bytes) -> None:
        answer = ApiClient(app)("POST", f"{AUTH}/token", content=body)
        assert answer.status_code in (400, 422), answer.text

    def test_the_last_sign_in_is_recorded(self, person: Person) -> None:
        person.sign_in()
        person.user.refresh_from_db()
        assert now() - person.user.last_login < timedelta(minutes=1)


class TestRefresh:
    def test_a_refresh_token_is_exchanged_once(self, person: Person) -> None:
        first = person.sign_in()
        second = person.refresh(first["refresh"]).json()
        assert second.keys() == first.keys()
        assert second["refresh"] != first["refresh"]
        assert person.is_accepted(second["access"])
        assert person.is_accepted(first["access"]), "until it expires"
        assert person.refresh(second["refresh"]).status_code == 200

    def test_using_a_refresh_token_twice_ends_the_sign_in(self, person: Person) -> None:
        other = person.sign_in()
        first = person.sign_in()
        second = person.refresh(first["refresh"]).json()
        assert "used before" in refused(person.refresh(first["refresh"]))
        refused(person.refresh(second["refresh"]))
        assert not person.is_accepted(second["access"])
        assert person.is_accepted(other["access"]), "other sign-ins of the user last"

    def test_of_two_exchanges_at_once_one_succeeds_at_most(self, person: Person) -> None:
        token = person.sign_in()["refresh"]
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: person.refresh(token).status_code, range(4)))
        assert statuses.count(200) <= 1
        assert statuses.count(401) >= 3

    @pytest.mark.parametrize("end", ["password", "inactive", "deleted", "revoked", "expired", "admin"])
    def test_what_ends_a_sign_in(self, person: Person, end: str) -> None:
        from windlass.accounts.models import SignIn

        tokens = person.sign_in()
        match end:
            case "password":
                person.set_password("another-rope-of-nine")
            case "inactive":
                person.user.is_active = False
                person.user.save()
            case "deleted":
                person.user.delete()
            case "revoked":
                assert person.call("/revoke", refresh=tokens["refresh"]).status_code == 204
                assert person.call("/revoke", refresh=tokens["refresh"]).status_code == 204
            case "expired":
                SignIn.objects.filter(user_id=person.user.pk).update(expires_at=now())
            case "admin":
                SignIn.objects.get(user_id=person.user.pk).delete()
        refused(person.refresh(tokens["refresh"]))
        assert "has ended" in refused(person.with_token(tokens["access"])("GET", "/files/"))
        assert end in ("expired", "password", "inactive") or not SignIn.objects.filter(user_id=person.user.pk).exists()

    @pytest.mark.parametrize("text", ["", "wlr_", "wl_token", "wlr_" + "0" * 32 + "_" + "A" * 43, "x" * 200])
    def test_any_other_text_is_refused(self, person: Person, text: str) -> None:
        refused(person.refresh(text))
        assert person.call("/revoke", refresh=text).status_code == 204

    def test_a_refresh_token_is_no_bearer_credential(self, person: Person) -> None:
        assert not person.is_accepted(person.sign_in()["refresh"])

    def test_what_has_expired_is_swept(self, person: Person) -> None:
        from windlass.accounts.api import create_ticket, prune_sign_ins, prune_tickets
        from windlass.accounts.models import SignIn, Ticket
        from windlass.kernel.principals import Principal

        person.sign_in()
        create_ticket(Principal(person.owner))
        SignIn.objects.filter(user_id=person.user.pk).update(expires_at=now())
        Ticket.objects.filter(owner=person.owner).update(expires_at=now())
        prune_sign_ins()
        prune_tickets()
        assert not SignIn.objects.filter(user_id=person.user.pk).exists()
        assert not Ticket.objects.filter(owner=person.owner).exists()


class TestAccessTokens:
    def test_it_expires(self, person: Person, configure: Configure) -> None:
        configure(ACCESS_TOKEN_SECONDS="1")
        access = person.sign_in()["access"]
        deadline = time.monotonic() + 10
        while person.is_accepted(access) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert refused(person.with_token(access)("GET", "/files/")) == "The token has expired."

    def test_neither_issuer_signs_for_the_other(self, person: Person, configure: Configure) -> None:
        """Tokens with our type and the issuer's key, and with the issuer's type and our key."""
        from windlass.accounts.signing_keys import derived_keys

        configure(JWT_SECRET=SECRET)
        access = person.sign_in()["access"]
        ours = jwt.decode(access, options={"verify_signature": False})
        assert person.is_accepted(token())
        assert not person.is_accepted(jwt.encode(ours, SECRET, headers={"typ": "windlass-access+jwt"}))
        key = derived_keys("windlass.access-token")[0]
        assert not person.is_accepted(jwt.encode(claims(), key))
        assert not person.is_accepted(jwt.encode(ours, key))
        assert not person.is_accepted(jwt.encode(claims(iss="windlass"), key, headers={"typ": "windlass-access+jwt"}))
        unsigned = raw_token(b'{"alg":"none","typ":"windlass-access+jwt"}', json.dumps(ours).encode())
        assert not person.is_accepted(unsigned)

    def test_the_session_of_another_purpose_does_not_sign_it(self, person: Person) -> None:
        from django.conf import settings

        ours = jwt.decode(person.sign_in()["access"], options={"verify_signature": False})
        header = {"typ": "windlass-access+jwt"}
        assert not person.is_accepted(jwt.encode(ours, settings.SECRET_KEY, headers=header))


class TestKeyRotation:
    def test_a_previous_key_still_verifies_and_a_dropped_one_does_not(self, person: Person, settings_of: Any) -> None:
        from windlass.accounts.api import sign_path
        from windlass.files.api import FileStatus

        tokens = person.sign_in()
        file = make_file(person.owner, b"abc", gate_passed=True, status=FileStatus.READY, checksum="ab" * 32)
        signed = sign_path(f"/files/{file.id}/download/", 600)[0]
        nobody = ApiClient(person.app)
        before = settings_of.SECRET_KEY

        settings_of.SECRET_KEY, settings_of.SECRET_KEY_FALLBACKS = "the-new-key-of-this-test-" + "n" * 32, [before]
        assert nobody("GET", signed).status_code == 200
        assert person.is_accepted(tokens["access"])
        renewed = person.refresh(tokens["refresh"]).json()

        settings_of.SECRET_KEY_FALLBACKS = []
        assert nobody("GET", signed).status_code == 403
        assert not person.is_accepted(tokens["access"])
        assert not person.is_accepted(renewed["access"]), "the sign-in is of the previous key"
        assert person.is_accepted(person.sign_in()["access"])


@pytest.fixture
def settings_of(app: Any) -> Any:
    from django.test import override_settings

    with override_settings():
        from django.conf import settings

        yield settings


class TestTickets:
    def ticket(self, caller: ApiClient) -> str:
        answer = caller("POST", f"{AUTH}/ticket")
        assert answer.status_code == 201, answer.text
        assert answer.json()["expires_in"] == 60
        return str(answer.json()["ticket"])

    def test_a_ticket_opens_one_stream(self, person: Person) -> None:
        ticket = self.ticket(person.with_token(person.sign_in()["access"]))
        nobody = ApiClient(person.app)
        assert nobody("HEAD", f"/events/?ticket={ticket}").status_code == 200
        assert "used" in refused(nobody("GET", f"/events/?ticket={ticket}"))

    def test_it_shows_its_owners_events_only(self, person: Person) -> None:
        mine, others = make_file(person.owner), make_file("user:elsewhere")
        caller = person.with_token(person.sign_in()["access"])
        nobody = ApiClient(person.app)
        assert nobody("HEAD", f"/files/{mine.id}/events/?ticket={self.ticket(caller)}").status_code == 200
        assert nobody("HEAD", f"/files/{others.id}/events/?%74icket={self.ticket(caller)}").status_code == 404

    @pytest.mark.parametrize("path", ["/files/", "/api/v1/quota", "/uploads/x/", "/files/zip/", "/metrics"])
    def test_it_is_for_nothing_else(self, person: Person, path: str) -> None:
        ticket = self.ticket(person.with_token(person.sign_in()["access"]))
        nobody = ApiClient(person.app)
        assert nobody("GET", f"{path}?ticket={ticket}").status_code == 401
        assert not person.is_accepted(ticket)
        assert nobody("HEAD", f"/events/?ticket={ticket}").status_code == 200, "it was not used up"

    def test_a_wrong_one_is_refused_also_in_open_mode(self, person: Person, configure: Configure) -> None:
        from windlass.accounts.models import Ticket

        ticket = self.ticket(person.with_token(person.sign_in()["access"]))
        Ticket.objects.filter(owner=person.owner).update(expires_at=now())
        nobody = ApiClient(person.app)
        for query in ("ticket=", "ticket=wlt_made-up", f"ticket={ticket}", f"ticket={ticket}&ticket={ticket}"):
            refused(nobody("GET", f"/events/?{query}"))
        configure(AUTH_MODE="open")
        refused(nobody("GET", "/events/?ticket=wlt_made-up"))

    def test_many_connections_at_once_use_it_once(self, person: Person) -> None:
        ticket = self.ticket(person.with_token(person.sign_in()["access"]))
        with ThreadPoolExecutor(6) as pool:
            answers = pool.map(lambda _: ApiClient(person.app)("HEAD", f"/events/?ticket={ticket}"), range(6))
            assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5

    @pytest.mark.parametrize("kind", ["sign-in", "token", "session", "jwt", "open", "staff"])
    def test_its_stream_ends_with_the_credential_that_made_it(
        self, person: Person, configure: Configure, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        from windlass.accounts.api import create_token
        from windlass.accounts.models import ApiToken, SignIn
        from windlass.http.live import credential_watch

        monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.05)
        configure(JWT_SECRET=SECRET, JWT_LEEWAY_SECONDS="0")

        def end() -> None:
            match kind:
                case "sign-in":
                    SignIn.objects.filter(user_id=person.user.pk).delete()
                case "token":
                    ApiToken.objects.filter(user_id=person.user.pk).delete()
                case "session":
                    person.session.flush()
                case "open":
                    configure(AUTH_MODE="required")
                case "staff":
                    type(person.user).objects.filter(pk=person.user.pk).update(is_staff=False)

        match kind:
            case "sign-in":
                caller = person.with_token(person.sign_in()["access"])
            case "token":
                caller = person.with_token(create_token(person.name))
            case "session":
                caller = person.with_session()
            case "jwt":
                caller = person.with_token(token(exp=time.time() + 1.5))
            case "open":
                configure(AUTH_MODE="open")
                caller = ApiClient(person.app)
            case "staff":
                caller = person.with_token(create_token(person.name, staff=True))
        ticket = self.ticket(caller)

        async def follow() -> None:
            nobody = ApiClient(person.app)
            stream = asyncio.create_task(nobody._send("GET", f"/events/?ticket={ticket}"))
            await asyncio.sleep(0.4)
            assert not stream.done()
            await asyncio.to_thread(end)
            async with asyncio.timeout(20):
                assert (await stream).status_code == 200

        asyncio.run(follow())
