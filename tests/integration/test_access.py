"""Every route of both planes with every kind of credential.

The table below is written by hand. A route without a row fails, and so does a row without a route. test_isolation.py
makes the calls about things that have an owner.
"""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.integration.route_rows import KINDS, Row
from tests.jwt_issuer import SECRET, token
from windlass.kernel.clock import now
from windlass.kernel.principals import Scope

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow

Configure = Callable[..., None]

#: What a route may be called with, when credentials are required.
PUBLIC = Row(KINDS)
OWNER = Row(frozenset({"token", "session", "jwt", "staff"}))
OWNER_READS = Row(OWNER.kinds, only_reads=True)
LIVE = Row(OWNER.kinds | {"ticket"})
STAFF = Row(frozenset({"staff"}))
CREATE = Row(OWNER.kinds | {"grant"})
CONTINUE = Row(OWNER.kinds | {"used grant"})
DOWNLOAD = Row(OWNER.kinds | {"signed"})
METRICS = Row(STAFF.kinds | {"metrics"})
#: Django's own pages look at the session alone; to all others they show the sign-in page.
PAGE = PUBLIC

TUS = {"Tus-Resumable": "1.0.0"}
TUS_PATCH = TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
IETF = {"Upload-Draft-Interop-Version": "6"}
IETF_PATCH = IETF | {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?0"}
#: Of calls about direct uploads: these tests have no store that takes them, and the owner is told so.
NO_DIRECT_STORE = frozenset({501})
NOT_READY = frozenset({409})
#: Of an entity with one name, which can be neither split nor merged with itself.
ONE_NAME = frozenset({409})
#: Of a WebSocket.
UPGRADED = frozenset({101})
CHUNK_FORM: dict[str, Any] = {
    "data": {"upload_id": "{id}", "chunk_index": "0"},
    "files": {"chunk": ("chunk", b"0123456789")},
}

ROWS: dict[str, Row] = {
    "GET /": PUBLIC,
    "GET /f/{}": PUBLIC,  # the page's script asks the API as the visitor
    "GET /first-run/": PUBLIC,
    "GET /operations/": PUBLIC,  # answers with the sign-in page, or 404; test_sign_in_pages.py
    "GET /sign-in/": PUBLIC,
    "GET /api/docs": PUBLIC,
    "GET /api/openapi.json": PUBLIC,
    "POST /api/v1/auth/refresh": PUBLIC,
    "POST /api/v1/auth/revoke": PUBLIC,
    "DELETE /api/v1/auth/session": OWNER_READS,
    "GET /api/v1/auth/session": OWNER,
    "POST /api/v1/auth/session": PUBLIC,
    "POST /api/v1/auth/ticket": OWNER_READS,
    "POST /api/v1/auth/token": PUBLIC,
    "GET /api/v1/media/supported-formats": OWNER,
    "GET /api/v1/media/upload/{}/status": OWNER.of("media upload"),
    "GET /api/v1/media/{}": OWNER.of("picture"),
    "DELETE /api/v1/media/upload/{}": OWNER.of("media upload"),
    "DELETE /api/v1/media/{}": OWNER.of("picture"),
    "POST /api/v1/media/cleanup/expired": STAFF,
    "POST /api/v1/media/posts/{}/published": OWNER.of("post", json={"success": True}, hidden=200),
    "POST /api/v1/media/upload/chunk": OWNER.of("media upload", **CHUNK_FORM),
    "POST /api/v1/media/upload/images": OWNER,
    "POST /api/v1/media/upload/init": OWNER,
    "POST /api/v1/media/upload/simple": OWNER,
    "POST /api/v1/media/upload/{}/finalize": OWNER.of("media upload", json={}, own=NOT_READY),
    "GET /api/v1/quota": OWNER,
    "GET /api/v1/upload/status/{}": OWNER.of("chunked upload"),
    "POST /api/v1/upload/cancel": OWNER.of("chunked upload", json={"upload_id": "{id}"}),
    "POST /api/v1/upload/chunk": OWNER.of(
        "chunked upload", json={"upload_id": "{id}", "chunk_index": 0, "chunk_data": "MDEyMzQ1Njc4OQ=="}
    ),
    "POST /api/v1/upload/complete": OWNER.of("chunked upload", json={"upload_id": "{id}"}, own=NOT_READY),
    "POST /api/v1/upload/init": OWNER,
    "PUT /api/v1/upload/{}/chunks/{}": OWNER.of("chunked upload", "{id}", "0", content="0123456789"),
    "GET /api/v1/audit": STAFF,
    "GET /api/v1/webhooks": OWNER.listing("webhook"),
    "POST /api/v1/webhooks": OWNER,
    "DELETE /api/v1/webhooks/{}": OWNER.of("webhook"),
    "GET /api/v1/webhooks/{}": OWNER.of("webhook"),
    "PATCH /api/v1/webhooks/{}": OWNER.of("webhook", json={"enabled": False}),
    "GET /api/v1/webhooks/{}/deliveries": OWNER.of("webhook"),
    "POST /api/v1/webhooks/{}/deliveries/{}/replay": OWNER.of("webhook", "{id}", "{delivery}"),
    "POST /api/v1/webhooks/{}/replay": OWNER.of("webhook", json={"since": "2026-01-01T00:00:00Z"}),
    "POST /api/v1/webhooks/{}/rotate-secret": OWNER.of("webhook"),
    "POST /api/v1/webhooks/{}/test": OWNER.of("webhook"),
    "GET /error-handling/circuit-breakers": STAFF,
    "GET /error-handling/circuit-breakers/{}": STAFF,
    "POST /error-handling/circuit-breakers/{}/reset": STAFF,
    "DELETE /error-handling/failed-tasks/{}": STAFF,
    "GET /error-handling/failed-deliveries": STAFF,
    "GET /error-handling/failed-tasks": STAFF,
    "GET /error-handling/failed-tasks/{}": STAFF,
    "GET /error-handling/health": STAFF,
    "GET /error-handling/owners": STAFF,
    "GET /error-handling/queues": STAFF,
    "GET /error-handling/service-level": STAFF,
    "PUT /error-handling/service-level": STAFF,
    "GET /error-handling/statistics": STAFF,
    "GET /error-handling/throughput": STAFF,
    "GET /error-handling/uploads": STAFF,
    "POST /error-handling/retry-tasks": STAFF,
    "GET /events": LIVE,
    "DELETE /files/{}": OWNER.of("file").of("trashed file", query="permanent=true"),
    "GET /files": OWNER.listing("file"),
    "GET /files/security/config": OWNER,
    "GET /files/zip": OWNER.of("file", query="ids={id}").of("file", query="reference={reference}"),
    "GET /files/{}": OWNER.of("file"),
    "GET /files/{}/download": DOWNLOAD.of("file"),
    "GET /files/{}/events": LIVE.of("file"),
    "GET /files/{}/renditions/{}": DOWNLOAD.of("file", "{id}", "large"),
    "GET /files/{}/status": OWNER.of("file"),
    "GET /files/{}/text": OWNER.of("file"),
    "GET /files/{}/thumbnail": OWNER.of("file"),
    "OPTIONS /files": PUBLIC,
    "POST /files": CREATE.of("partial upload", headers=TUS | {"Upload-Concat": "final;/uploads/{id}"}),
    "POST /files/batch": CREATE,
    "POST /files/zip": OWNER_READS.of("file", json={"ids": ["{id}"]}).of("file", json={"reference": "{reference}"}),
    "POST /files/{}/release": OWNER.of("file"),
    "POST /files/{}/reprocess": OWNER.of("file"),
    "POST /files/{}/restore": OWNER.of("trashed file"),
    "POST /files/{}/signed-url": OWNER.of("file"),
    "PUT /files": CREATE,
    "PUT /files/{}": CREATE,
    "GET /healthz": PUBLIC,
    "GET /livez": PUBLIC,
    "GET /metrics": METRICS,
    "GET /problems/{}": PUBLIC,
    "GET /profiles": OWNER,
    "GET /files/{}/graph": OWNER.of("file"),
    "GET /files/{}/passages": OWNER.of("file"),
    "GET /graph/entities": OWNER.listing("entity"),
    "GET /graph/entities/{}": OWNER.of("entity"),
    "DELETE /graph/entities/{}/merges": OWNER.of("entity", own=ONE_NAME),
    "POST /graph/entities/{}/merges": OWNER.of("entity", json={"entity": "{id}"}, own=ONE_NAME),
    "GET /graph/paths": OWNER,
    "GET /search": OWNER,
    "POST /search": OWNER_READS,
    "GET /readyz": PUBLIC,
    "GET /s3/multipart/{}": OWNER.of("direct upload", query="key={key}", own=NO_DIRECT_STORE),
    "GET /s3/multipart/{}/batch": OWNER.of("direct upload", query="key={key}&partNumbers=1", own=NO_DIRECT_STORE),
    "GET /s3/multipart/{}/{}": OWNER.of("direct upload", "{id}", "1", query="key={key}", own=NO_DIRECT_STORE),
    "GET /s3/params": OWNER,
    "DELETE /s3/multipart/{}": OWNER.of("direct upload", query="key={key}", own=NO_DIRECT_STORE),
    "POST /s3/multipart": OWNER,
    "POST /s3/multipart/{}/complete": OWNER.of(
        "direct upload", query="key={key}", json={"parts": [{"PartNumber": 1, "ETag": "a"}]}, own=NO_DIRECT_STORE
    ),
    "POST /s3/params/complete": OWNER.of("direct upload", query="key={key}", own=NO_DIRECT_STORE),
    "DELETE /uploads/{}": CONTINUE.of("tus upload", headers=TUS).of("ietf upload", headers=IETF),
    "GET /uploads/{}": CONTINUE.of("tus upload", own=NOT_READY).of("finished upload", own=NOT_READY),
    "GET /uploads/{}/events": LIVE.of("tus upload"),
    "HEAD /uploads/{}": CONTINUE.of("tus upload", headers=TUS).of("ietf upload", headers=IETF),
    "OPTIONS /uploads/{}": PUBLIC,
    "PATCH /uploads/{}": CONTINUE.of("tus upload", headers=TUS_PATCH, content="01").of(
        "ietf upload", headers=IETF_PATCH, content="01"
    ),
    "POST /uploads/grants": OWNER,
    "WS /ws/events": LIVE,
    "WS /ws/files/{}": LIVE.of("file", own=UPGRADED),
    "WS /ws/uploads/{}": LIVE.of("tus upload", own=UPGRADED).of("ietf upload", own=UPGRADED),
}


def byte_routes() -> Iterator[str]:
    from windlass.asgi import BYTE_ROUTES

    for route in BYTE_ROUTES:
        for method in route.methods or ():
            # HEAD is a row of its own where it is not the answer to GET without its body.
            if method != "HEAD" or "GET" not in (route.methods or ()):
                yield f"{method} {re.sub('{[^}]*}', '{}', route.path)}"


def websocket_routes() -> Iterator[str]:
    from windlass.http.live.websockets import ENDPOINTS

    return (f"WS {re.sub('{[^}]*}', '{}', endpoint.path)}" for endpoint in ENDPOINTS)


def django_routes() -> Iterator[str]:
    """Every URL of Django's resolver; what takes no particular method is listed with GET."""
    from django.urls import URLPattern, URLResolver, get_resolver

    from windlass.http.rest.routing import refuse

    def walk(found: list[Any], before: str) -> Iterator[tuple[str, Any]]:
        for one in found:
            if isinstance(one, URLResolver):
                yield from walk(one.url_patterns, before + str(one.pattern))
            elif isinstance(one, URLPattern) and one.callback is not refuse:
                yield before + str(one.pattern), one.callback

    for path, view in walk(get_resolver().url_patterns, ""):
        if path.startswith("admin/"):
            continue  # tested as a whole below
        for method in getattr(view, "windlass_accesses", None) or {"GET"}:
            yield f"{method} /{re.sub('<[^>]*>', '{}', path)}"


def test_every_route_has_a_row_and_every_row_a_route(records_home: Path) -> None:
    assert {*byte_routes(), *websocket_routes(), *django_routes()} == set(ROWS)


@pytest.fixture
def closed(configure: Configure) -> Any:
    """The whole application, where credentials are required."""
    configure(
        AUTH_MODE="required", METRICS_TOKEN="a-token-for-metrics-alone", JWT_SECRET=SECRET, JWT_OWNER_PREFIX="user:"
    )
    from windlass.asgi import application

    return application


@pytest.fixture
def owner(closed: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=closed)
    return found


def new_grant(owner: str, **terms: Any) -> str:
    from windlass.accounts.api import create_grant

    token, _ = create_grant(owner, **({"profile": "default", "expires_in": 600} | terms))
    return token


def create_upload(caller: ApiClient, path: str) -> str:
    """The path and query of a new tus upload."""
    answer = caller("POST", path, headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


class Visitor:
    """Sends one request with a credential of each kind. All of them are of one owner, whose file and upload are asked
    for."""

    def __init__(self, app: Any, owner: ApiClient, staff: ApiClient) -> None:
        from windlass.accounts.api import sign_path
        from windlass.files.api import FileStatus

        self.file = make_file(owner.owner, b"abc", gate_passed=True, status=FileStatus.READY, checksum="ab" * 32)
        nobody = ApiClient(app)
        self._grant = new_grant(owner.owner)
        location = create_upload(nobody, f"/files/?grant={new_grant(owner.owner)}")
        self.upload, self._used = location.removeprefix("/uploads/").split("?")
        self._signature = sign_path(f"/files/{self.file.id}/download/", 600)[0].partition("?")[2]
        self._rendition_signature = sign_path(f"/files/{self.file.id}/renditions/1/", 600)[0].partition("?")[2]
        self._app, self._owner, self._staff = app, owner, staff

    def __call__(self, kind: str, method: str, path: str) -> int:
        headers: dict[str, str] = {}
        query = ""
        match kind:
            case "token":
                headers = self._owner.headers
            case "staff":
                headers = self._staff.headers
            case "session":
                headers = self._session()
            case "grant":
                query = f"?grant={self._grant}"
            case "used grant":
                query = f"?{self._used}"
            case "expired grant":
                query = f"?grant={new_grant(self._owner.owner, expires_in=-1)}"
            case "expired token":
                headers = self._new_token(self._owner, expires_at=now() - timedelta(seconds=1))
            case "read token" | "write token":
                headers = self._new_token(self._owner, scopes={Scope(kind.removesuffix(" token"))})
            case "staff without admin":
                headers = self._new_token(self._staff, scopes={Scope.READ, Scope.WRITE})
            case "ticket":
                query = f"?ticket={self._owner('POST', '/api/v1/auth/ticket').json()['ticket']}"
            case "jwt":
                headers = self._jwt()
            case "expired jwt":
                headers = self._jwt(exp=int(time.time()) - 3600)
            case "signed":
                query = f"?{self._rendition_signature if '/renditions/' in path else self._signature}"
            case "metrics":
                headers = {"Authorization": "Bearer a-token-for-metrics-alone"}
        headers |= {"Accept": "application/json"}
        return ApiClient(self._app)(method, path + query, headers=headers).status_code

    def _jwt(self, **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(sub=self._owner.owner.removeprefix('user:'), **claims)}"}

    @staticmethod
    def _new_token(user: ApiClient, **terms: Any) -> dict[str, str]:
        from django.contrib.auth import get_user_model

        from windlass.accounts.api import create_token

        found = get_user_model().objects.get(pk=user.owner.removeprefix("user:"))
        return {"Authorization": f"Bearer {create_token(found.get_username(), **terms)}"}

    def _session(self) -> dict[str, str]:
        from django.conf import settings
        from django.contrib.auth import get_user_model
        from django.contrib.sessions.backends.db import SessionStore

        found = get_user_model().objects.get(pk=self._owner.owner.removeprefix("user:"))
        session = SessionStore()
        session["_auth_user_id"] = str(found.pk)
        session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
        session["_auth_user_hash"] = found.get_session_auth_hash()
        session.save()
        cookie = f"{settings.SESSION_COOKIE_NAME}={session.session_key}; csrftoken={'a' * 32}"
        return {"Cookie": cookie, "X-CSRFToken": "a" * 32, "Origin": "http://localhost"}


@pytest.fixture
def visitor(closed: Any, owner: ApiClient, user: Any) -> Visitor:
    return Visitor(closed, owner, user(app=closed, staff=True))


#: Streams never end: they are asked with HEAD.
STREAMS = {"GET /events", "GET /files/{}/events", "GET /uploads/{}/events"}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_each_route_accepts_exactly_the_credentials_of_its_row(row: str, visitor: Visitor) -> None:
    method, _, template = row.partition(" ")
    method = "HEAD" if row in STREAMS else method
    allowed = ROWS[row].accepted(row.partition(" ")[0])
    for kind in sorted(KINDS):
        thing = visitor.upload if "uploads/" in template or "/upload/" in template else str(visitor.file.id)
        path = template.replace("{}", thing, 1).replace("{}", "1")
        status = visitor(kind, method, path)
        if kind in allowed:
            assert status not in (401, 403), (kind, status)
        else:
            # A grant that is unused, expired or not, is of no upload: each is another's to it, and is not there.
            refused = (401, 403, 404) if kind.endswith("grant") and "used grant" in allowed else (401, 403)
            assert status in refused, (kind, status)


@pytest.mark.parametrize("kind", ["none", "grant", "signed", "metrics", "token"])
def test_the_admin_is_for_staff_who_have_signed_in(kind: str, visitor: Visitor) -> None:
    for path in (
        "/admin/",
        "/admin/windlass_files/fileasset/",
        f"/admin/windlass_accounts/grant/{uuid.uuid4()}/change/",
    ):
        assert visitor(kind, "GET", path) in (302, 403)


class TestGrantsAreForOneUpload:
    @pytest.mark.parametrize("name", ["grant", "%67rant", "g%72an%74", "%67%72%61%6e%74"])
    def test_a_zip_is_not_read_by_a_grant(self, closed: Any, owner: ApiClient, name: str) -> None:
        """However the parameter is encoded, by ids and by reference, with a body and with a query."""
        from windlass.files.api import FileStatus

        file = make_file(owner.owner, b"private", gate_passed=True, status=FileStatus.READY, reference="order")
        query = f"{name}={new_grant(owner.owner)}"
        nobody = ApiClient(closed)
        for asked in ({"ids": [str(file.id)]}, {"reference": "order"}):
            assert nobody("POST", f"/files/zip/?{query}", json=asked).status_code == 401
        for asked_for in (f"ids={file.id}", "reference=order"):
            assert nobody("GET", f"/files/zip/?{query}&{asked_for}").status_code == 401

    @pytest.mark.parametrize("name", ["grant", "%67rant"])
    def test_an_encoded_parameter_name_is_recognized_as_the_grant(
        self, closed: Any, owner: ApiClient, name: str
    ) -> None:
        path = f"/files/?{name}={new_grant(owner.owner)}"
        assert ApiClient(closed)("POST", path, content=b"anchor").status_code == 201
        assert ApiClient(closed)("POST", path, content=b"again").status_code == 403

    def test_a_grant_in_the_url_replaces_other_credentials(self, closed: Any, owner: ApiClient) -> None:
        """A page with a grant in its URL may do no more than the grant, also if its user is signed in."""
        assert owner("GET", f"/files/?grant={new_grant(owner.owner)}").status_code == 401

    def test_a_grant_restricts_requests_in_open_mode_too(self, records_home: Path) -> None:
        from windlass.asgi import application

        nobody = ApiClient(application)
        assert nobody("GET", f"/files/?grant={new_grant('anonymous')}").status_code == 401
        assert nobody("GET", "/files/?grant=wlg_made-up").status_code == 401

    def test_a_grant_outside_the_query_is_ignored(self, closed: Any, owner: ApiClient) -> None:
        token = new_grant(owner.owner)
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"grant={token}"},
            {"Cookie": f"sessionid={token}"},
            {"Grant": token},
            {"Upload-Metadata": f"grant {token}"},
        ):
            assert ApiClient(closed)("POST", "/files/", content=b"x", headers=headers).status_code == 401
        assert ApiClient(closed)("PUT", f"/files/{token}", content=b"x").status_code == 401

    def test_an_invalid_grant_is_refused(self, closed: Any, owner: ApiClient) -> None:
        token = new_grant(owner.owner)
        for query in (
            f"grant={token}x",
            f"grant={token[:-1]}",
            f"grant={token.upper()}",
            "grant=",
            f"grant={token}&grant={token}",
            f"grant=wlg_made-up&grant={token}",
            f"grant={new_grant(owner.owner, expires_in=-1)}",
        ):
            assert ApiClient(closed)("POST", f"/files/?{query}", content=b"x").status_code == 401, query
        assert ApiClient(closed)("POST", f"/files/?grant={token}", content=b"x").status_code == 201

    def test_a_used_grant_gives_access_to_its_upload_only(self, closed: Any, owner: ApiClient) -> None:
        nobody = ApiClient(closed)
        mine = create_upload(nobody, f"/files/?grant={new_grant(owner.owner)}")
        others = create_upload(owner, "/files/")
        query = mine.partition("?")[2]
        for method in ("HEAD", "PATCH", "DELETE", "GET"):
            assert nobody(method, f"{others}?{query}", headers={"Tus-Resumable": "1.0.0"}).status_code == 404
        assert nobody("HEAD", mine, headers={"Tus-Resumable": "1.0.0"}).status_code == 200
        for path in ("events/", "download/", "status/"):
            assert nobody("GET", mine.replace("?", f"/{path}?")).status_code in (401, 403, 404)

    @pytest.mark.parametrize("kind", ["deactivated", "deleted"])
    def test_a_grant_ends_with_its_issuers_account(self, closed: Any, owner: ApiClient, kind: str) -> None:
        from django.contrib.auth import get_user_model

        nobody, unused = ApiClient(closed), new_grant(owner.owner)
        begun = create_upload(nobody, f"/files/?grant={new_grant(owner.owner)}")
        person = get_user_model().objects.get(pk=owner.owner.removeprefix("user:"))
        person.is_active = False
        _ = person.save() if kind == "deactivated" else person.delete()
        assert nobody("POST", f"/files/?grant={unused}", content=b"x").status_code == 401
        assert nobody("HEAD", begun, headers={"Tus-Resumable": "1.0.0"}).status_code == 401

    def test_a_grant_does_not_allow_concatenation(self, closed: Any, owner: ApiClient) -> None:
        parts = {"Tus-Resumable": "1.0.0", "Upload-Concat": "partial", "Upload-Length": "0"}
        partial = owner("POST", "/files/", headers=parts).headers["location"]
        final = {"Tus-Resumable": "1.0.0", "Upload-Concat": f"final;{partial}"}
        assert ApiClient(closed)("POST", f"/files/?grant={new_grant(owner.owner)}", headers=final).status_code == 403


def add_renditions(asset: Any) -> None:
    """A rendition ``large`` and one ``thumbnail``."""
    from windlass.storage.registry import store

    for name in ("large", "thumbnail"):
        key = f"renditions/{asset.id}/{name}"
        store().put(key, io.BytesIO(b"rendition"), 9)
        stored = {"store": store().name, "key": key, "size": 9, "mime_type": "image/webp"}
        asset.renditions.create(name=name, kind="image", **stored)


class TestSignedUrls:
    def test_a_signed_url_allows_reading_its_file_only(self, closed: Any, owner: ApiClient) -> None:
        from windlass.accounts.api import sign_path
        from windlass.files.api import FileStatus

        file, other = (make_file(owner.owner, b"abc", gate_passed=True, status=FileStatus.READY) for _ in range(2))
        query = sign_path(f"/files/{file.id}/download/", 600)[0].partition("?")[2]
        nobody = ApiClient(closed)
        for method in ("GET", "HEAD"):
            assert nobody(method, f"/files/{file.id}/download/?{query}").status_code == 200
        assert nobody("GET", f"/files/{str(file.id).upper()}/download?{query}&added=1").status_code == 200
        for path in ("thumbnail/", "text/", "status/", "events/", ""):
            assert nobody("GET", f"/files/{file.id}/{path}?{query}").status_code == 401
        assert nobody("GET", f"/files/{file.id}/renditions/thumbnail/?{query}").status_code == 403
        assert nobody("GET", f"/files/{other.id}/download/?{query}").status_code == 403
        assert nobody("GET", f"/files/nonsense/download/?{query}").status_code == 403
        assert nobody("DELETE", f"/files/{file.id}/?{query}").status_code == 401
        expired = sign_path(f"/files/{file.id}/download/", -1)[0]
        assert nobody("GET", expired).status_code == 403

    def test_a_signed_url_of_a_rendition_allows_reading_that_only(self, closed: Any, owner: ApiClient) -> None:
        from windlass.files.api import FileStatus

        file, other = (make_file(owner.owner, b"abc", gate_passed=True, status=FileStatus.READY) for _ in range(2))
        for asset in (file, other):
            add_renditions(asset)
        signing = f"/files/{file.id}/signed-url/"
        signed = owner("POST", signing, json={"rendition": "large", "expires_in": 60})
        assert signed.status_code == 201
        url = urlsplit(signed.json()["url"])
        assert url.path == f"/files/{file.id}/renditions/large/"
        nobody = ApiClient(closed)
        assert nobody("GET", f"{url.path}?{url.query}").content == b"rendition"
        for path in ("download/", "renditions/thumbnail/"):
            assert nobody("GET", f"/files/{file.id}/{path}?{url.query}").status_code == 403
        assert nobody("GET", f"/files/{other.id}/renditions/large/?{url.query}").status_code == 403
        assert nobody("GET", f"/files/{file.id}/thumbnail/?{url.query}").status_code == 401
        assert owner("POST", signing, json={"rendition": "missing"}).status_code == 404
        assert owner("POST", signing, json={"rendition": "../download"}).status_code == 422


class TestCredentialsComeFirst:
    """401 precedes every other check of a request: of its ids, its query, its type, its body."""

    @pytest.mark.parametrize(
        ("method", "path", "options"),
        [
            ("POST", "/api/v1/media/upload/chunk", {"content": b"no form"}),
            ("POST", "/api/v1/media/upload/simple", {"json": {}}),
            ("POST", "/api/v1/media/upload/nonsense/finalize", {"content": b"[["}),
            ("DELETE", "/api/v1/media/upload/nonsense", {}),
            ("POST", "/files/batch/", {"content": b"no form"}),
            ("POST", "/files/zip/", {"content": b"[" * 100_000}),
            ("GET", "/files/zip/", {}),
            ("PUT", "/api/v1/upload/nonsense/chunks/x", {"content": b"x"}),
            ("GET", "/api/v1/upload/status/nonsense", {}),
            ("POST", "/api/v1/upload/chunk", {"content": b"["}),
            ("POST", "/api/v1/upload/complete", {"content": b"{}"}),
            ("GET", "/files/nonsense/", {}),
            ("GET", "/files/?limit=abc&search=x", {}),
            ("GET", "/files/nonsense/download/", {}),
            ("GET", "/files/nonsense/events/", {}),
            ("POST", "/files/nonsense/signed-url/", {"content": b"[null]"}),
            ("POST", "/uploads/grants/", {"content": b"[" * 100_000}),
            ("POST", "/api/v1/media/posts/%01/published", {"content": b"true"}),
            ("POST", "/files/", {"headers": {"Tus-Resumable": "0.1"}}),
            ("PATCH", "/uploads/nonsense", {"headers": {"Tus-Resumable": "1.0.0"}, "content": b"x"}),
            ("POST", "/files/", {"headers": {"Upload-Complete": "?1", "Tus-Resumable": "1.0.0"}}),
            ("POST", "/s3/multipart", {"content": b"["}),
            ("GET", "/s3/multipart/nonsense", {}),
            ("GET", "/s3/params", {}),
        ],
    )
    def test_missing_credentials_are_401_whatever_else_is_wrong(
        self, closed: Any, method: str, path: str, options: dict[str, Any]
    ) -> None:
        assert ApiClient(closed)(method, path, **options).status_code == 401

    @pytest.mark.parametrize("path", ["/files/", "/files/batch/", "/files/zip/", "/uploads/grants/", "/s3/multipart"])
    def test_missing_credentials_are_401_before_the_body_is_read(self, closed: Any, path: str) -> None:
        """The reply does not wait for a body that never arrives."""
        import asyncio

        replies: list[Any] = []

        async def never() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            replies.append(message)

        async def call() -> None:
            headers = [(b"host", b"localhost"), (b"content-length", b"100"), (b"expect", b"100-continue")]
            scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
            scope |= {"http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1)}
            async with asyncio.timeout(5):
                await closed(scope, never, send)

        asyncio.run(call())
        assert replies[0]["status"] == 401
