"""Scopes of tokens: over every route of both planes, of API tokens and JWTs, and where staff make them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.integration.test_access import METRICS, PAGE, PUBLIC, ROWS, STAFF, STREAMS
from tests.jwt_issuer import SECRET, token
from windlass.kernel.clock import now
from windlass.kernel.principals import Scope

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow

Configure = Callable[..., None]
#: Calls whose method does not say what they do.
READS_BY_POST = {"POST /files/zip", "POST /search", "POST /api/v1/auth/ticket", "DELETE /api/v1/auth/session"}


def needed(row: str) -> Scope | None:
    """The scope that the call needs; None for one that anybody may make."""
    method = row.partition(" ")[0]
    if ROWS[row] in (PUBLIC, PAGE):
        return None
    if ROWS[row] in (STAFF, METRICS):
        return Scope.ADMIN
    return Scope.READ if method in ("GET", "HEAD", "WS") or row in READS_BY_POST else Scope.WRITE


@pytest.fixture
def closed(configure: Configure) -> Any:
    configure(AUTH_MODE="required", JWT_SECRET=SECRET)
    from windlass.asgi import application

    return application


class Staff:
    """One user, who is staff, with a token of each scope."""

    def __init__(self, app: Any) -> None:
        from windlass.accounts.api import create_token, find_user

        self.name = f"staff-{uuid.uuid4().hex[:12]}"
        self._app = app
        self.tokens = {scope: create_token(self.name, staff=True, scopes=[scope]) for scope in Scope}
        self.owner = f"user:{find_user(self.name).pk}"  # type: ignore[union-attr]

    def with_scope(self, scope: Scope) -> ApiClient:
        return ApiClient(self._app, self.tokens[scope], self.owner)


@pytest.fixture
def staff(closed: Any) -> Staff:
    return Staff(closed)


@pytest.mark.parametrize("row", sorted(ROWS))
def test_each_route_needs_exactly_one_scope(row: str, staff: Staff) -> None:
    method, _, template = row.partition(" ")
    method = "HEAD" if row in STREAMS else method
    path = re.sub("{}", str(uuid.uuid4()), template)
    for scope in Scope:
        answer = staff.with_scope(scope)(method, path, headers={"Accept": "application/json"})
        if needed(row) in (None, scope):
            assert answer.status_code not in (401, 403), (scope, answer.text)
        elif method == "HEAD":
            assert answer.status_code == 403
        else:
            assert answer.status_code == 403, scope
            challenge = f'Bearer realm="windlass", error="insufficient_scope", scope="{needed(row)}"'
            assert answer.headers["www-authenticate"] == challenge
            if not row.startswith(("GET /s3", "POST /s3", "DELETE /s3")):  # whose errors have a shape of their own
                assert answer.json()["required_scope"] == needed(row), answer.text


def test_a_method_override_does_not_change_what_is_needed(staff: Staff) -> None:
    path = f"/uploads/{uuid.uuid4()}"
    headers = {"Tus-Resumable": "1.0.0", "X-HTTP-Method-Override": "DELETE"}
    assert staff.with_scope(Scope.READ)("POST", path, headers=headers).status_code == 403
    assert staff.with_scope(Scope.WRITE)("POST", path, headers=headers).status_code == 404


def test_without_admin_staff_see_their_own_only(staff: Staff, closed: Any) -> None:
    from windlass.accounts.api import create_token

    mine, others = make_file(staff.owner), make_file("user:elsewhere")
    reader = staff.with_scope(Scope.READ)
    assert reader("GET", f"/files/{mine.id}/").status_code == 200
    assert reader("GET", f"/files/{others.id}/").status_code == 404
    both = ApiClient(closed, create_token(staff.name, scopes=[Scope.READ, Scope.ADMIN]))
    assert both("GET", f"/files/{others.id}/").status_code == 200
    assert both("DELETE", f"/files/{others.id}/").status_code == 403


def test_admin_makes_nobody_staff(closed: Any) -> None:
    from windlass.accounts.api import create_token

    plain = ApiClient(closed, create_token(f"user-{uuid.uuid4().hex[:12]}"))
    answer = plain("GET", "/error-handling/statistics")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


class TestJwt:
    @pytest.mark.parametrize(
        ("scope", "reads", "writes"),
        [
            ({}, True, True),
            ({"scope": "read"}, True, False),
            ({"scope": "openid write email"}, False, True),
            ({"scope": "openid profile"}, False, False),
            ({"scope": ""}, False, False),
            ({"scope": ["read", "write"]}, True, True),
            ({"scope": "READ"}, False, False),
        ],
    )
    def test_the_scope_claim(self, closed: Any, scope: dict[str, Any], reads: bool, writes: bool) -> None:
        holder = ApiClient(closed, token(**scope))
        assert holder("GET", "/files/").status_code == (200 if reads else 403)
        assert holder("POST", "/files/?filename=a.txt", content=b"x").status_code == (201 if writes else 403)

    def test_staff_need_the_scope_admin(self, closed: Any) -> None:
        path = f"/files/{make_file('user:elsewhere').id}/"
        assert ApiClient(closed, token(staff=True, scope="read admin"))("GET", path).status_code == 200
        assert ApiClient(closed, token(staff=True, scope="read"))("GET", path).status_code == 404

    def test_another_claim(self, closed: Any, configure: Configure) -> None:
        configure(JWT_SCOPE_CLAIM="scp")
        assert ApiClient(closed, token(scope="none of ours", scp="read"))("GET", "/files/").status_code == 200
        assert ApiClient(closed, token(scp="write"))("GET", "/files/").status_code == 403

    @pytest.mark.parametrize("scope", [5, {"read": True}, ["read", 5], True])
    def test_a_claim_of_another_type_is_refused(self, closed: Any, scope: Any) -> None:
        answer = ApiClient(closed, token(scope=scope))("GET", "/files/")
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/invalid-token")


class TestTokens:
    def test_a_token_made_by_an_older_version_may_do_everything(self, closed: Any, user: Any) -> None:
        from django.db import connection

        from windlass.accounts.api import ensure_user
        from windlass.accounts.tokens import _digest

        name = f"old-{uuid.uuid4().hex[:12]}"
        values = [_digest("wl_made-long-ago" + name), name, now().isoformat(), ensure_user(name).pk]
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO windlass_accounts_apitoken (digest, name, created_at, user_id) VALUES (%s, %s, %s, %s)",
                values,
            )
        holder = ApiClient(closed, "wl_made-long-ago" + name)
        assert holder("POST", "/files/?filename=a.txt", content=b"x").status_code == 201
        assert holder("GET", "/files/").status_code == 200

    def test_an_expired_token_is_refused_and_the_last_use_is_shown(self, closed: Any) -> None:
        from windlass.accounts.api import create_token, list_tokens

        name = f"user-{uuid.uuid4().hex[:12]}"
        secret = create_token(name, expires_at=now() + timedelta(hours=1))
        assert ApiClient(closed, secret)("GET", "/files/").status_code == 200
        expired = create_token(name, expires_at=now() - timedelta(seconds=1))
        assert ApiClient(closed, expired)("GET", "/files/").json()["type"] == "/problems/invalid-token"
        rows = [row for row, user in list_tokens() if user == name]
        assert [row.last_used_at is not None for row in rows] == [True, False]


class TestAdmin:
    @pytest.fixture
    def admin(self, records_home: Any) -> Any:
        from django.contrib.auth import get_user_model
        from django.test import Client

        client = Client(SERVER_NAME="localhost")
        client.force_login(get_user_model().objects.create_superuser(f"admin-{uuid.uuid4().hex}"))
        return client

    PATH = "/admin/windlass_accounts/apitoken/"

    def test_staff_make_a_token_which_is_shown_once(self, admin: Any, closed: Any) -> None:
        from windlass.accounts.api import ensure_user, list_tokens

        name = f"user-{uuid.uuid4().hex[:12]}"
        ensure_user(name)
        assert b'name="username"' in admin.get(f"{self.PATH}add/").content
        made = admin.post(f"{self.PATH}add/", {"username": name, "name": "laptop", "scopes": ["write", "read"]})
        assert made.status_code == 200
        assert "no-store" in made["Cache-Control"]
        secret = re.search(r"wl_[A-Za-z0-9_-]{43}", made.content.decode())
        assert secret
        (row,) = [row for row, user in list_tokens() if user == name]
        assert (row.name, row.scopes) == ("laptop", "read write")
        assert ApiClient(closed, secret[0])("GET", "/files/").status_code == 200
        for page in (self.PATH, f"{self.PATH}{row.pk}/change/"):
            assert secret[0] not in admin.get(page).content.decode()
        assert admin.post(f"{self.PATH}{row.pk}/delete/", {"post": "yes"}).status_code == 302
        assert ApiClient(closed, secret[0])("GET", "/files/").status_code == 401

    @pytest.mark.parametrize(
        "form",
        [{"username": "nobody-at-all", "scopes": ["read"]}, {"username": "", "scopes": ["read"]}, {"scopes": []}],
    )
    def test_a_form_with_mistakes_makes_none(self, admin: Any, form: dict[str, Any]) -> None:
        from windlass.accounts.models import ApiToken

        before = ApiToken.objects.count()
        answer = admin.post(f"{self.PATH}add/", form)
        assert b"errorlist" in answer.content
        assert ApiToken.objects.count() == before
