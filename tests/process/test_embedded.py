"""Windlass as apps of another Django project, whose own ASGI application it wraps by one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import samples
from tests.process.conftest import free_port
from tests.process.wire import MB, TUS, create, eventually, patch, wait_until_processed

SETTINGS = """
from pathlib import Path
import windlass
HOME = Path(__file__).parent
SECRET_KEY = "not secret"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
    *windlass.APPS,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": HOME / "shop.sqlite3", "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}}
WINDLASS = {"WINDLASS_HOME": HOME / "windlass", "CELERY_TASK_ALWAYS_EAGER": True, "MAX_FILES_PER_UPLOAD": 3}
"""

URLS = """
from django.contrib.auth import authenticate, login
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

def shop(request):
    return HttpResponse("The shop.")

@csrf_exempt
def take(request):
    return JsonResponse({"bytes": len(request.body), "path": request.path, "id": request.headers.get("X-Request-ID")})

@csrf_exempt
def sign_in(request):
    login(request, authenticate(username="ann", password="anchor"))
    return HttpResponse(get_token(request))

def who(request):
    return HttpResponse(str(request.user))

urlpatterns = [
    path("who/", who),
    path("shop/", shop), path("api/things/", take), path("profiles/me/", take), path("sign-in/", sign_in),
    path("", include("windlass.urls")),
]
"""

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "shop_settings"
from django.core.asgi import get_asgi_application
import windlass.asgi
application = windlass.asgi.wrap(get_asgi_application())
"""

FIRST = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from windlass.accounts import api
User.objects.create_user("ann", password="anchor")
print(api.create_token("ann"))
"""


@dataclass(frozen=True)
class Shop:
    url: str
    token: str

    def connect(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("shop")
    for name, text in (("shop_settings", SETTINGS), ("urls", URLS), ("shop_asgi", ASGI)):
        (directory / f"{name}.py").write_text(text)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
    environment = plain | {"DJANGO_SETTINGS_MODULE": "shop_settings", "PYTHONPATH": str(directory)}
    result = subprocess.run(
        [sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True, timeout=60, cwd=directory
    )
    assert result.returncode == 0, result.stderr
    port, log = free_port(), directory / "log"
    command = [sys.executable, "-m", "uvicorn", "shop_asgi:application", "--port", str(port), "--lifespan", "on"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=directory)
    found = Shop(f"http://127.0.0.1:{port}", result.stdout.strip())
    try:
        eventually(lambda: _answers(found, process, log), within=60)
        yield found
    finally:
        process.terminate()
        assert process.wait(60) in (0, -15), log.read_text()


def _answers(shop: Shop, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        with shop.connect() as client:
            return client.get("/shop/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def anyone(shop: Shop) -> Iterator[httpx.Client]:
    with shop.connect() as client:
        yield client


@pytest.fixture
def ann(shop: Shop) -> Iterator[httpx.Client]:
    with shop.connect(headers={"Authorization": f"Bearer {shop.token}"}) as client:
        yield client


def test_the_projects_own_pages_are_served(anyone: httpx.Client) -> None:
    page = anyone.get("/shop/")
    assert (page.status_code, page.text) == (200, "The shop.")
    assert "X-Request-ID" not in page.headers
    assert anyone.get("/nothing/").status_code == 404


def test_project_pages_below_paths_of_windlass_are_unchanged(anyone: httpx.Client) -> None:
    """With their trailing slash, large bodies and own headers."""
    for path in ("/api/things/", "/profiles/me/"):
        reply = anyone.post(path, content=b"x" * (2 * MB))
        assert reply.status_code == 200, path
        assert (reply.json()["path"], reply.json()["bytes"]) == (path, 2 * MB)
        assert "X-Request-ID" not in reply.headers


def test_windlass_paths_are_served(anyone: httpx.Client, ann: httpx.Client) -> None:
    assert anyone.get("/livez").status_code == 200
    assert ann.get("/files/").json()["results"] is not None
    assert ann.get("/files/security/config/").json()
    unknown = ann.get("/files/x/y/z/")
    assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "application/problem+json")


def test_uploads_need_a_credential(anyone: httpx.Client) -> None:
    for refused in (
        anyone.post("/files/", content=b"x"),
        anyone.post("/files/", files={"file": ("a.txt", b"x")}),
        anyone.post("/files/", headers=TUS | {"Upload-Length": "1"}),
        anyone.get("/files/"),
    ):
        assert refused.status_code == 401
        assert refused.headers["Content-Type"] == "application/problem+json"


def test_a_token_of_a_project_user_works_without_a_worker(ann: httpx.Client) -> None:
    created = ann.post("/files/", files={"file": ("a.jpg", samples.jpeg(64, 48))})
    assert created.status_code == 201, created.text
    record = wait_until_processed(ann, created.json()["id"])
    assert (record["status"], record["width"], record["mime_type"]) == ("READY", 64, "image/jpeg")
    assert ann.get(record["thumbnail_url"]).status_code == 200
    path = create(ann, 4)
    assert patch(ann, path, 0, b"abcd").status_code == 204
    file = wait_until_processed(ann, ann.head(path, headers=TUS).headers["Windlass-File"])
    assert file["status"] == "READY"
    assert ann.get(file["links"]["download"]).content == b"abcd"


def test_a_session_works_with_its_csrf_token(anyone: httpx.Client, ann: httpx.Client) -> None:
    token = anyone.post("/sign-in/").text
    assert "sessionid" in anyone.cookies
    assert anyone.get("/files/").status_code == 200
    forms: list[dict[str, object]] = [{"content": b"x"}, {"files": {"file": ("a.txt", b"x")}}]
    for body in forms:
        forged = anyone.post("/files/", **body)  # type: ignore[arg-type]
        assert forged.status_code == 403
        assert "X-CSRFToken" in forged.json()["detail"]
        reply = anyone.post("/files/", headers={"X-CSRFToken": token}, **body)  # type: ignore[arg-type]
        assert reply.status_code == 201, reply.text
        assert ann.get(f"/files/{reply.json()['id']}/").status_code == 200, "the same user"
    created = anyone.post("/files/", headers=TUS | {"Upload-Length": "4", "X-CSRFToken": token})
    assert created.status_code == 201
    path = created.headers["Location"]
    assert patch(anyone, path, 0, b"abcd").status_code == 403
    assert patch(anyone, path, 0, b"abcd", **{"X-CSRFToken": token}).status_code == 204


def test_a_token_begins_a_session_of_windlass_and_a_password_none(anyone: httpx.Client, shop: Shop) -> None:
    """The project may ask for more than a password, and its pages accept no session that a token began."""
    session = "/api/v1/auth/session"
    csrf = {"X-CSRFToken": anyone.post("/sign-in/").text}
    assert anyone.delete(session, headers=csrf).status_code == 204
    refused = anyone.post(session, headers=csrf, json={"username": "ann", "password": "anchor"})
    assert refused.status_code == 403
    assert "on the page of this site" in refused.json()["detail"]
    assert anyone.get("/files/").status_code == 401
    begun = anyone.post(session, headers=csrf, json={"token": shop.token})
    assert (begun.status_code, begun.json()["name"], begun.json()["method"]) == (200, "ann", "token")
    assert anyone.get("/files/").status_code == 200
    assert anyone.get("/who/").text == "AnonymousUser"


def test_a_form_may_carry_the_csrf_token_as_a_field(anyone: httpx.Client) -> None:
    token, file = anyone.post("/sign-in/").text, ("file", ("a.jpg", samples.jpeg(200, 200), "image/jpeg"))
    named, wrong = (("csrfmiddlewaretoken", (None, value)) for value in (token, "x" * len(token)))
    for path, status in (("/files/", 201), ("/files/batch/", 201), ("/api/v1/media/upload/simple", 200)):
        assert anyone.post(path, files=[named, file]).status_code == status
        for parts in ([wrong, file], [file, named], [file]):
            assert anyone.post(path, files=parts).status_code == 403
    asked = {"file_name": "a.jpg", "file_size": 3, "content_type": "image/jpeg"}
    upload = anyone.post("/api/v1/media/upload/init", json=asked, headers={"X-CSRFToken": token}).json()["upload_id"]
    chunk = [("upload_id", (None, upload)), ("chunk_index", (None, "0")), ("chunk", ("blob", b"abc"))]
    assert anyone.post("/api/v1/media/upload/chunk", files=chunk).status_code == 403
    assert anyone.post("/api/v1/media/upload/chunk", files=[named, *chunk]).status_code == 200


def test_the_settings_of_the_project_apply(ann: httpx.Client) -> None:
    parts = [("file", (f"{number}.txt", b"x")) for number in range(4)]
    created = ann.post("/files/", files=parts)
    assert (len(created.json()["files"]), created.json()["errors"][0]["limit"]) == (3, 3)
