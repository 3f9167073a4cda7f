"""PERMISSION_RULE: a function of the project permits single actions with the uploads and files of other owners."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests import permission_rules
from tests.integration.asgi_client import ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]


@pytest.fixture
def app(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Any:
    configure(AUTH_MODE="required", RATE_LIMIT_PER_MINUTE="0", PERMISSION_RULE="tests.permission_rules.listed")
    monkeypatch.setattr(permission_rules, "permitted", set())
    from windlass.asgi import application

    return application


@pytest.fixture
def ana(app: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=app)
    return found


@pytest.fixture
def ben(app: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=app)
    return found


def stored_file(owner: str) -> Any:
    from windlass.files.api import FileStatus

    return make_file(owner, b"abc", gate_passed=True, status=FileStatus.READY, checksum="ab" * 32)


def permit(caller: ApiClient, action: str, owner: ApiClient) -> None:
    permission_rules.permitted.add((caller.owner, action, owner.owner))


def test_what_the_rule_does_not_permit_does_not_exist(ana: ApiClient, ben: ApiClient) -> None:
    file = stored_file(ben.owner)
    permit(ben, "read", ana)  # the other way round
    for path in ("", "download/", "status/", "events/"):
        assert ana("GET", f"/files/{file.id}/{path}").status_code == 404
    assert ana("GET", f"/files/?owner={ben.owner}").json()["results"] == []


def test_read_permits_every_way_of_reading_and_no_change(ana: ApiClient, ben: ApiClient) -> None:
    files = [stored_file(ben.owner), stored_file(ana.owner)]
    permit(ana, "read", ben)
    path = f"/files/{files[0].id}/"
    assert ana("GET", path).status_code == 200
    assert ana("GET", f"{path}download/").content == b"abc"
    archive = ana("POST", "/files/zip/", json={"ids": [str(file.id) for file in files]})
    assert len(zipfile.ZipFile(io.BytesIO(archive.content)).namelist()) == 2
    assert [file["id"] for file in ana("GET", f"/files/?owner={ben.owner}").json()["results"]] == [str(files[0].id)]
    assert [file["id"] for file in ana("GET", "/files/").json()["results"]] == [str(files[1].id)], "lists are her own"
    assert ana("DELETE", path).status_code == 404
    assert ana("POST", f"{path}signed-url/", json={}).status_code == 404


def test_write_permits_changes_and_the_owner_stays(ana: ApiClient, ben: ApiClient) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    upload = ben("POST", "/files/", headers=tus | {"Upload-Length": "4"}).headers["location"]
    append = tus | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert ana("PATCH", upload, headers=append, content=b"abcd").status_code == 404
    permit(ana, "write", ben)
    assert ana("HEAD", upload, headers=tus).status_code == 404, "write does not include read"
    assert ana("PATCH", upload, headers=append, content=b"abcd").status_code == 204
    (file,) = ben("GET", "/files/").json()["results"]
    assert ana("DELETE", f"/files/{file['id']}/").status_code == 204


def test_staff_calls_and_grants_are_not_the_rules_business(ana: ApiClient, ben: ApiClient, app: Any) -> None:
    from windlass.accounts.api import create_grant

    for action in ("read", "write", "admin"):
        permit(ana, action, ben)
    assert ana("GET", "/error-handling/statistics").status_code == 403
    grant, _ = create_grant(ana.owner, profile="default", expires_in=60)
    upload = ben("POST", "/files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "4"}).headers["location"]
    answer = ApiClient(app)("HEAD", f"{upload}?grant={grant}", headers={"Tus-Resumable": "1.0.0"})
    assert answer.status_code == 404


def test_staff_list_the_files_of_one_owner(app: Any, user: Any, ben: ApiClient) -> None:
    file = stored_file(ben.owner)
    found = user(app=app, staff=True)("GET", f"/files/?owner={ben.owner}").json()["results"]
    assert [each["id"] for each in found] == [str(file.id)]


@pytest.mark.parametrize(("name", "status"), [("forgets_to_answer", 404), ("fails", 500)])
def test_a_rule_with_a_mistake_permits_nothing(
    ana: ApiClient, ben: ApiClient, configure: Configure, name: str, status: int
) -> None:
    configure(PERMISSION_RULE=f"tests.permission_rules.{name}")
    assert ana("GET", f"/files/{stored_file(ben.owner).id}/").status_code == status
    assert ana("GET", f"/files/{stored_file(ana.owner).id}/").status_code == 200


@pytest.mark.parametrize(
    "name", ["tests.permission_rules.absent", "absent.rule", "rule", "tests.permission_rules.no_function"]
)
def test_a_name_that_is_no_function_stops_the_start(configure: Configure, name: str) -> None:
    from windlass.accounts.permission_rule import check_rule
    from windlass.conf import BadSetting

    configure(PERMISSION_RULE=name)
    with pytest.raises(BadSetting, match="PERMISSION_RULE is"):
        check_rule()


def test_another_file_that_does_not_exist_gets_the_same_reply(ana: ApiClient, ben: ApiClient) -> None:
    file = stored_file(ben.owner)
    replies = [ana("GET", f"/files/{file_id}/").json()["detail"] for file_id in (file.id, uuid.uuid4())]
    assert [reply.split(" ")[:4] for reply in replies] == [["There", "is", "no", "file"]] * 2
