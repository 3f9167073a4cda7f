"""The headers that limit a browser, on the reply of every route of both planes and of the admin."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.integration.test_access import ROWS, STREAMS
from windlass.kernel.document_policies import DATA_POLICY, page_policy

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow

#: Pages of Django's, which answer GET alone and say so by 405.
SHELLS = {"/", "/f/{}", "/api/docs", "/first-run/", "/operations/", "/sign-in/"}
FILE_PAGE = "/f/01937ba0-0000-7000-8000-000000000000"
PAGES = (
    "/",
    FILE_PAGE,
    "/operations/",
    "/sign-in/",
    "/api/docs",
    "/admin/",
    "/admin/login/",
    "/admin/windlass_files/fileasset/",
)


def directives(policy: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.strip().partition(" ") for part in policy.split(";"))}


@pytest.fixture
def staff(user: Any) -> ApiClient:
    from windlass.asgi import application

    found: ApiClient = user(staff=True, app=application)
    return found


@pytest.mark.parametrize("row", sorted(ROWS))
@pytest.mark.parametrize("authenticated", [True, False])
def test_the_reply_of_every_route_limits_the_browser(
    row: str, staff: ApiClient, configure: Any, authenticated: bool
) -> None:
    configure(AUTH_MODE="required")
    method, _, template = row.partition(" ")
    path = template.replace("{}", str(uuid.uuid4()), 1).replace("{}", "1")
    caller = staff if authenticated else ApiClient(staff._app)
    reply = caller("HEAD" if row in STREAMS else method, path)
    headers = reply.headers
    if reply.status_code == 101:
        return  # an upgrade has no document
    policy = directives(headers["content-security-policy"])
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] in ("'none'", "'self'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "template", sorted({row.partition(" ")[2] for row in ROWS if not row.startswith("WS ")} - SHELLS)
)
def test_options_names_the_methods_of_every_path_and_limits_the_browser(
    template: str, staff: ApiClient, configure: Any
) -> None:
    configure(AUTH_MODE="required")
    path = template.replace("{}", str(uuid.uuid4()), 1).replace("{}", "1")
    reply = ApiClient(staff._app)("OPTIONS", path)
    assert reply.status_code in (200, 204)
    methods = {row.partition(" ")[0] for row in ROWS if row.partition(" ")[2] == template}
    assert methods | {"OPTIONS"} <= set(reply.headers["allow"].split(", "))
    assert directives(reply.headers["content-security-policy"])["default-src"] == "'none'"


def test_the_page_may_show_pictures_of_the_download_origin_and_no_other(staff: ApiClient, configure: Any) -> None:
    configure(MEDIA_URL="https://downloads.example.org/media")
    policy = directives(staff("GET", "/").headers["content-security-policy"])
    assert policy["img-src"] == "'self' https://downloads.example.org blob: data:"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_the_page_may_show_what_a_store_sends_where_downloads_are_redirected_to_it(
    staff: ApiClient, configure: Any, request: pytest.FixtureRequest
) -> None:
    from windlass.storage import registry

    request.addfinalizer(registry._create.cache_clear)
    bucket = {"AWS_STORAGE_BUCKET_NAME": "pictures", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    configure(**bucket, AWS_S3_ENDPOINT_URL="http://10.0.0.7:9000", AWS_S3_PUBLIC_ENDPOINT_URL="https://s3.example.org")
    policy = directives(staff("GET", "/").headers["content-security-policy"])
    assert policy["img-src"] == "'self' https://s3.example.org blob: data:"
    assert policy["media-src"] == "'self' https://s3.example.org blob:"
    assert policy["connect-src"] == "'self'"
    configure(DOWNLOADS="proxy")
    assert "s3.example.org" not in staff("GET", "/").headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_nothing_inline_and_an_origin_of_their_own(path: str, staff: ApiClient) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser(f"admin-{uuid.uuid4().hex}"))
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    reply = ApiClient(staff._app)("GET", path, headers={"Cookie": cookie})
    assert reply.status_code in (200, 302)  # the sign-in page redirects who has signed in
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["content-security-policy"] == page_policy()
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in reply.headers["permissions-policy"]
    scripts = re.findall(r"<script\b([^>]*)>", reply.text)
    assert all("src=" in attributes or "application/json" in attributes for attributes in scripts)
    assert not re.search(r"<style|\sstyle=|\son\w+=", reply.text)


@pytest.mark.parametrize("path", ["/admin/nothing/", "/nothing", "/static/nothing.js", "/problems/nothing"])
def test_replies_of_paths_that_do_not_exist_limit_the_browser_too(path: str, staff: ApiClient) -> None:
    reply = staff("GET", path)
    assert reply.status_code in (302, 404)
    assert directives(reply.headers["content-security-policy"])["default-src"] == "'none'"


def test_stored_bytes_are_in_a_sandbox_and_may_be_embedded(staff: ApiClient) -> None:
    from windlass.files.api import FileStatus

    file = make_file(staff.owner, b"abc", gate_passed=True, status=FileStatus.READY, checksum="ab" * 32)
    for method, path, options in (
        ("GET", f"/files/{file.id}/download/", {}),
        ("POST", "/files/zip/", {"json": {"ids": [str(file.id)]}}),
    ):
        headers = staff(method, path, **options).headers
        assert headers["content-security-policy"] == "sandbox"
        assert headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize("fields", [{"if-none-match": "*"}, {"range": "bytes=999999999-"}], ids=["304", "416"])
def test_replies_without_the_stored_bytes_may_be_embedded_too(staff: ApiClient, fields: dict[str, str]) -> None:
    """A browser that goes on playing a video asks for a range again, and blocks any reply of another policy."""
    from windlass.files.api import FileStatus

    file = make_file(staff.owner, b"abc", gate_passed=True, status=FileStatus.READY, checksum="ab" * 32)
    reply = staff("GET", f"/files/{file.id}/download/", headers=fields)
    assert reply.status_code in (304, 416)
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"


def test_the_api_page_loads_nothing_from_elsewhere(staff: ApiClient) -> None:
    text = staff("GET", "/api/docs").text
    assert re.findall(r'(?:src|href)="(?!/static/)[^"]*"', text) == []
    for asset in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert staff("GET", asset).status_code == 200


def test_without_its_static_files_the_api_page_says_so(staff: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninja's fallback loads scripts of another origin."""
    from django.apps import apps

    monkeypatch.setattr(apps, "is_installed", lambda name: "ninja" not in name)
    reply = staff("GET", "/api/docs")
    assert reply.status_code == 404
    assert "INSTALLED_APPS" in reply.json()["detail"]


def test_a_refusal_before_a_route_is_found_has_the_policy_of_data(staff: ApiClient) -> None:
    reply = staff("GET", "/files/", headers={"Host": "elsewhere.example"})
    assert reply.status_code == 400
    assert reply.headers["content-security-policy"] == DATA_POLICY
