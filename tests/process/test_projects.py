"""Windlass as an app of other Django projects: each case is a small project, run in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SETTINGS = """
from pathlib import Path
import windlass
HOME = Path(__file__).parent
SECRET_KEY = "a key of fifty characters, which is long enough for all"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "project_asgi.application"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
    "django.contrib.staticfiles", *windlass.APPS, "windlass.web", "ninja",
]
MIDDLEWARE = [
    "windlass.web.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

def sqlite(name):
    options = {"transaction_mode": "IMMEDIATE", "timeout": 30}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": HOME / name, "OPTIONS": options}

DATABASES = {"default": sqlite("project.sqlite3")}
WINDLASS = {"WINDLASS_HOME": HOME / "windlass", "CELERY_TASK_ALWAYS_EAGER": True}
"""

URLS = """
from django.http import HttpResponse
from django.urls import include, path
urlpatterns = [
    path("", lambda request: HttpResponse("The project's own page.")),
    path("windlass/", include("windlass.web.urls")),
    path("", include("windlass.urls")),
]
"""

ASGI = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.asgi import get_asgi_application
import windlass.asgi
application = windlass.asgi.wrap(get_asgi_application())
"""

#: A user model; ``{body}`` is what it is like.
MODELS = """
import uuid
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
{imports}
class User(AbstractBaseUser):
    USERNAME_FIELD = "email"
    email = models.EmailField(unique=True)
    objects = BaseUserManager()
{body}
"""
UUID_KEY = """
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    is_staff = models.BooleanField(default=False)
"""
STAFF_BY_RULE = """
    @property
    def is_staff(self):
        return self.email == "root@example.org"
"""
STAFF_SETTABLE = """
    rank = models.IntegerField(default=0)

    @property
    def is_staff(self):
        return self.rank > 8

    @is_staff.setter
    def is_staff(self, value):
        self.rank = 9 if value else 0
"""
WITH_PICTURE = """
    is_staff = models.BooleanField(default=False)
    picture = FileAssetField(must_be_ready=False)
"""
NO_STAFF = ""
NEEDS_MORE = """
    born = models.DateField()
"""
OWN_USERS = """
INSTALLED_APPS += ["people"]
AUTH_USER_MODEL = "people.User"
"""

ROUTED = """
DATABASES["uploads"] = sqlite("uploads.sqlite3")
DATABASE_ROUTERS = ["project_settings.Router"]

class Router:
    def db_for_read(self, model, **hints):
        return "uploads" if model._meta.app_label.startswith("windlass_") else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "uploads") == app_label.startswith("windlass_")
"""
REPLICA = """
DATABASES["replica"] = sqlite("replica.sqlite3")
DATABASE_ROUTERS = ["project_settings.Router"]

class Router:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"
"""

PRELUDE = """
import asyncio, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
import django
django.setup()
import httpx
from django.conf import settings
from django.core.management import call_command

def migrate():
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)

def client(**options):
    from project_asgi import application
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://testserver", **options)
"""

UPLOAD = """
from asgiref.sync import sync_to_async
from windlass.accounts import api as accounts

async def use(prefix=""):
    token = await sync_to_async(accounts.create_token)("ann@example.org")
    async with client(headers={"Authorization": f"Bearer {token}"}) as http:
        ready = await http.get(prefix + "/readyz")
        assert ready.status_code == 200, ready.text
        made = await http.post(prefix + "/files/", files={"file": ("a.txt", b"hello")})
        assert made.status_code == 201, made.text
        record = (await http.get(prefix + f"/files/{made.json()['id']}/")).json()
        assert record["status"] == "READY", record
        assert (await http.get(prefix + f"/files/{record['id']}/download/")).content == b"hello"
        listed = (await http.get(prefix + "/files/")).json()["results"]
        assert [each["id"] for each in listed] == [record["id"]]
        tus = {"Tus-Resumable": "1.0.0"}
        begun = await http.post(prefix + "/files/", headers=tus | {"Upload-Length": "4"})
        assert begun.status_code == 201, begun.text
        part = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        sent = await http.patch(begun.headers["Location"], headers=tus | part, content=b"abcd")
        assert sent.status_code == 204, sent.text
        assert (await http.delete(prefix + f"/files/{record['id']}/")).status_code == 204
        assert (await http.post(prefix + "/uploads/grants/", json={"profile": "default"})).status_code == 201
"""
USE = PRELUDE + UPLOAD + "\nasyncio.run(use())\n"

IN_THE_DATABASE_OF_THE_ROUTER = """
from django.db import connections
assert not [name for name in connections["default"].introspection.table_names() if name.startswith("windlass_")]
assert "windlass_files_fileasset" in connections["uploads"].introspection.table_names()
"""
DELETE_USER = """
from django.contrib.auth import get_user_model
from windlass.accounts.models import ApiToken
assert ApiToken.objects.count() == 1
get_user_model().objects.all().delete()
assert ApiToken.objects.count() == 0
"""


@dataclass(frozen=True)
class Project:
    directory: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        foreign = ("WINDLASS_", "DATABASE_URL", "CELERY_", "AUTH_MODE", "DJANGO_")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        variables = plain | {"PYTHONPATH": str(self.directory), "DJANGO_SETTINGS_MODULE": "project_settings"}
        return subprocess.run(
            [sys.executable, *command],
            env=variables,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def script(self, text: str) -> None:
        result = self.run("-c", text)
        assert result.returncode == 0, result.stderr

    def check(self) -> str:
        """The output of ``manage.py check``."""
        result = self.run("-m", "django", "check")
        return result.stdout + result.stderr


def project(
    directory: Path, settings: str = "", *, urls: str = URLS, asgi: str = ASGI, user: str | None = None
) -> Project:
    files = {"project_settings": SETTINGS + settings, "urls": urls, "project_asgi": asgi}
    if user is not None:
        files["project_settings"] += OWN_USERS
        (directory / "people").mkdir()
        imports = "from windlass.django.fields import FileAssetField" if "FileAssetField" in user else ""
        files |= {"people/__init__": "", "people/models": MODELS.format(body=user, imports=imports)}
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    made = Project(directory)
    if user is not None:
        made.script(PRELUDE + 'call_command("makemigrations", "people", verbosity=0)\nmigrate()')
    return made


@pytest.fixture(scope="module")
def migrate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Project], Project]:
    """As ``manage.py migrate`` for each database of a project with Django's users. Its tables are the same whatever
    else it sets, so they are made once for each set of databases."""
    templates: dict[bool, Path] = {}

    def run(made: Project) -> Project:
        routed = ROUTED in (made.directory / "project_settings.py").read_text()
        if routed not in templates:
            templates[routed] = tmp_path_factory.mktemp("migrated")
            project(templates[routed], ROUTED if routed else "").script(PRELUDE + "migrate()")
        for database in templates[routed].glob("*.sqlite3"):
            shutil.copyfile(database, made.directory / database.name)
        return made

    return run


#: The user has a UUID as key, an email as name, and a password.
SIGN_IN = """
from django.contrib.auth import get_user_model
from windlass.files.api import FileAsset

user = get_user_model()(email="zoe@example.org")
user.set_password("seven-ells-of-rope")
user.save()

async def use():
    async with client() as http:
        body = {"username": "zoe@example.org", "password": "seven-ells-of-rope"}
        answer = await http.post("/api/v1/auth/token", json=body)
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": "Bearer " + answer.json()["access"]}
        created = await http.post("/files/?filename=a.txt", content=b"x", headers=headers)
        assert created.status_code == 201, created.text
        refreshed = await http.post("/api/v1/auth/refresh", json={"refresh": answer.json()["refresh"]})
        assert refreshed.status_code == 200, refreshed.text

asyncio.run(use())
owner = FileAsset.objects.latest("created_at").owner
assert owner == f"user:{user.pk}", owner
"""

TEAM_RULE = """
from django.contrib.auth import get_user_model

def owners(principal, action, owners):
    \"\"\"Members of a group may read each other's files.\"\"\"
    if action != "read" or principal.user_id is None:
        return owners
    groups = get_user_model().objects.get(pk=principal.user_id).groups.all()
    members = get_user_model().objects.filter(groups__in=groups)
    return owners | {f"user:{key}" for key in members.values_list("pk", flat=True)}
"""
SHARE = """
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from windlass.accounts import api as accounts

tokens = {name: accounts.create_token(name) for name in ("ann", "bob", "eve")}
team = Group.objects.create(name="team")
for name in ("ann", "bob"):
    accounts.find_user(name).groups.add(team)
owner = f"user:{accounts.find_user('ann').pk}"

async def use():
    async with client() as http:
        def call(name, method, path, **options):
            headers = {"Authorization": f"Bearer {tokens[name]}"}
            return http.request(method, path, headers=headers, **options)

        made = (await call("ann", "POST", "/files/?filename=a.txt", content=b"hello")).json()
        path = f"/files/{made['id']}/"
        assert (await call("bob", "GET", path + "download/")).content == b"hello"
        listed = (await call("bob", "GET", "/files/", params={"owner": owner})).json()["results"]
        assert [each["id"] for each in listed] == [made["id"]]
        assert (await call("bob", "DELETE", path)).status_code == 404
        assert (await call("eve", "GET", path)).status_code == 404
        assert (await call("ann", "DELETE", path)).status_code == 204

asyncio.run(use())
"""

CASES = {
    "plain": "",
    "atomic-requests": 'DATABASES["default"]["ATOMIC_REQUESTS"] = True',
    "second-database": ROUTED,
    "second-database-atomic": ROUTED + 'DATABASES["uploads"]["ATOMIC_REQUESTS"] = True',
}


@pytest.mark.parametrize("settings", ["", ROUTED], ids=["plain", "second-database"])
def test_a_rule_of_the_project_shares_files(
    tmp_path: Path, migrate: Callable[[Project], Project], settings: str
) -> None:
    made = migrate(project(tmp_path, settings + '\nWINDLASS["PERMISSION_RULE"] = "team_rules.owners"\n'))
    result = made.run("-c", PRELUDE)
    assert result.returncode != 0
    assert "PERMISSION_RULE is 'team_rules.owners', which cannot be imported" in result.stderr
    (tmp_path / "team_rules.py").write_text(TEAM_RULE)
    made.script(PRELUDE + SHARE)


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_uploads_and_records_work(tmp_path: Path, migrate: Callable[[Project], Project], settings: str) -> None:
    made = migrate(project(tmp_path, settings))
    made.script(USE + (IN_THE_DATABASE_OF_THE_ROUTER if ROUTED in settings else "") + DELETE_USER)
    output = made.check()
    assert output.count("windlass.") == 1, output
    assert "windlass.W004" in output, "the warning about eager jobs is the only one"


READ_ONLY = """
import asyncio, os
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
import django
django.setup()
from django.db import connections
from windlass.operations import health

def database():
    checked = asyncio.run(health.readiness())
    return checked["status"], checked["checks"]["database"]

assert database()[1]["status"] == "ok", database()
settings = connections["uploads"].settings_dict
settings["NAME"], settings["OPTIONS"]["uri"] = f"file:{settings['NAME']}?mode=ro", True
connections["uploads"].close()
from windlass.operations.component_checks import forget_results
forget_results()
status, found = database()
assert (status, found["status"], found["detail"]) == ("failed", "failed", "It answers, but cannot be written."), found
with connections["default"].cursor() as cursor:
    cursor.execute("CREATE TABLE still_writable (id integer)")
"""


def test_a_database_of_the_router_that_cannot_be_written_is_not_ready(
    tmp_path: Path, migrate: Callable[[Project], Project]
) -> None:
    migrate(project(tmp_path, ROUTED)).script(READ_ONLY)


def test_force_script_name_is_the_prefix_of_links(tmp_path: Path, migrate: Callable[[Project], Project]) -> None:
    made = migrate(project(tmp_path, 'FORCE_SCRIPT_NAME = "/shop"'))
    made.script(PRELUDE + UPLOAD + '\nasyncio.run(use("/shop"))')


def test_a_custom_user_model_without_username_works(tmp_path: Path) -> None:
    made = project(tmp_path, user=UUID_KEY)
    made.script(USE)
    result = made.run("-m", "windlass", "token", "create", "--user", "bob@example.org", "--staff")
    assert result.returncode == 0, result.stderr
    assert "bob@example.org" in made.run("-m", "windlass", "token", "list").stdout
    assert "staff" in made.run("-m", "windlass", "user", "list").stdout
    made.script(PRELUDE + SIGN_IN)
    assert made.run("-m", "windlass", "user", "disable", "bob@example.org").returncode == 2, "it has no is_active field"


ATTACH = """
from django.contrib.auth import get_user_model
from windlass.testing import make_ready_file

user = get_user_model().objects.create(email="bea@example.org")
user.picture = make_ready_file(user=user)
user.save()
asyncio.run(use())
user.picture.delete()
user.refresh_from_db()
assert user.picture is None
"""


def test_a_user_may_have_a_file(tmp_path: Path) -> None:
    """The user model, which tokens and grants refer to, refers to files."""
    settings = 'INSTALLED_APPS += ["windlass.django"]'
    made = project(tmp_path, settings, user=WITH_PICTURE)
    made.script(PRELUDE + UPLOAD + ATTACH)


@pytest.mark.parametrize(
    ("user", "name", "message"),
    [
        (STAFF_BY_RULE, "ann@example.org", "does not allow setting is_staff"),
        (STAFF_BY_RULE, "root@example.org", None),
        (STAFF_SETTABLE, "ann@example.org", None),
        (NO_STAFF, "ann@example.org", "does not allow setting is_staff"),
        (NEEDS_MORE, "ann@example.org", "one cannot be created from a name alone"),
    ],
    ids=["by-rule", "by-rule-and-is", "settable", "no-staff", "needs-more"],
)
def test_a_staff_token_is_created_only_for_a_user_who_can_be_staff(
    tmp_path: Path, user: str, name: str, message: str | None
) -> None:
    """Either the user is staff afterwards, or the command says why not and creates neither user nor token."""
    made = project(tmp_path, user=user)
    result = made.run("-m", "windlass", "token", "create", "--user", name, "--staff")
    assert "Traceback" not in result.stderr
    count = """
from django.contrib.auth import get_user_model
from windlass.accounts.models import ApiToken
assert (get_user_model().objects.count(), ApiToken.objects.count()) == ({0}, {0})
assert all(user.is_staff for user in get_user_model().objects.all())
"""
    if message is None:
        assert result.stdout.startswith("wl_"), result.stderr
        made.script(PRELUDE + count.format(1))
    else:
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert message in result.stderr
        made.script(PRELUDE + count.format(0))


TESTS = (
    PRELUDE.replace("django.setup()", "")
    + UPLOAD
    + """
from django.test import TestCase, TransactionTestCase

class InTransaction(TestCase):
    databases = set(settings.DATABASES)

    async def test_upload(self):
        await use()

class Committed(TransactionTestCase):
    databases = set(settings.DATABASES)

    async def test_upload(self):
        await use()
"""
)


@pytest.mark.parametrize("settings", ["", ROUTED], ids=["default", "second-database"])
def test_the_projects_own_tests_run_jobs_eagerly(tmp_path: Path, settings: str) -> None:
    """On SQLite in memory, where the test's transaction locks out every other connection."""
    made = project(tmp_path, settings)
    (tmp_path / "test_uploads.py").write_text(TESTS)
    result = made.run("-m", "django", "test", "--verbosity", "0")
    assert result.returncode == 0, result.stderr
    assert "Ran 2 tests" in result.stderr


STATIC_FILES = """
import re

async def look():
    async with client() as http:
        assert (await http.get("/")).text == "The project's own page."
        page = await http.get("/windlass/")
        assert page.status_code == 200
        files = set(re.findall(r'(?:href|src|data-module)="(/static/[^"#]+)', page.text))
        assert {"/static/windlass/base.css", "/static/windlass/js/uploads/main.js"} < files, page.text
        for each in files:
            assert (await http.get(each)).status_code == 200, each

asyncio.run(look())
"""


@pytest.mark.parametrize("debug", [True, False])
def test_the_root_page_stays_the_projects_and_windlass_serves_its_static_files(
    tmp_path: Path, migrate: Callable[[Project], Project], debug: bool
) -> None:
    migrate(project(tmp_path, f"DEBUG = {debug}")).script(PRELUDE + STATIC_FILES)


def test_uploads_without_the_wrapped_application_say_what_is_missing(
    tmp_path: Path, migrate: Callable[[Project], Project]
) -> None:
    """As with ``manage.py runserver``, which uses WSGI."""
    migrate(project(tmp_path)).script(
        PRELUDE
        + """
from django.test import Client
http = Client(headers={"host": "testserver"})
for method, path in [
    ("post", "/files/"), ("put", "/files/a.txt"), ("patch", "/uploads/x/"), ("get", "/events/"), ("get", "/livez"),
    ("post", "/api/v1/upload/init"), ("post", "/api/v1/media/upload/simple"), ("post", "/s3/multipart"),
]:
    refused = getattr(http, method)(path)
    assert refused.status_code == 501, (path, refused.status_code, refused.content)
    assert "windlass.asgi.wrap" in refused.json()["detail"], refused.content
assert http.get("/files/x/y/z/").status_code == 404
"""
    )


BARE = ASGI.replace("windlass.asgi.wrap(get_asgi_application())", "get_asgi_application()")
ELSEWHERE = URLS.replace('path("", include("windlass.urls"))', 'path("x/", include("windlass.urls"))')
CATCH_ALL = URLS.replace("urlpatterns = [", 'urlpatterns = [path("<path:rest>", lambda request, rest: HttpResponse()),')
CHECKS = {
    "no-asgi": ({"settings": "del ASGI_APPLICATION"}, "W009"),
    "asgi-not-wrapped": ({"asgi": BARE}, "W009"),
    "asgi-broken": ({"asgi": "import nothing_like_it"}, "W009"),
    "no-static-files": ({"settings": "MIDDLEWARE = MIDDLEWARE[1:]"}, "W011"),
    "urls-elsewhere": ({"urls": ELSEWHERE}, "W010"),
    "catch-all-first": ({"urls": CATCH_ALL}, "W010"),
    "replica": ({"settings": REPLICA}, "E003"),
    "sqlite-of-the-router": ({"settings": ROUTED + 'DATABASES["uploads"].pop("OPTIONS")'}, "W003"),
}


@pytest.mark.parametrize(("wrong", "code"), CHECKS.values(), ids=CHECKS)
def test_check_reports_what_is_wrong_in_the_project(tmp_path: Path, wrong: dict[str, str], code: str) -> None:
    assert f"windlass.{code}" in project(tmp_path, **wrong).check()  # type: ignore[arg-type]


def test_runserver_warns_that_it_refuses_uploads(tmp_path: Path) -> None:
    """Its checks run before it serves; an address of another machine then ends it."""
    result = project(tmp_path).run("-m", "django", "runserver", "--noreload", "192.0.2.1:1")
    assert "windlass.W013" in result.stdout + result.stderr
