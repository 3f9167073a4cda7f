"""PERMISSION_RULE: a function of the project says whose uploads and files a caller may use, one by one and in sets.

``test_isolation.py`` calls every route about a single upload or file under a rule.
"""

from __future__ import annotations

import asyncio
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import permission_rules
from tests.integration.asgi_client import ApiClient, make_file
from tests.webhook_receiver import Receiver

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def app(configure: Configure) -> Iterator[Any]:
    configure(
        AUTH_MODE="required",
        RATE_LIMIT_PER_MINUTE="0",
        PERMISSION_RULE="tests.permission_rules.teams",
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
    )
    permission_rules.clear()
    from windlass.asgi import application
    from windlass.events.api import WebhookEndpoint

    yield application
    WebhookEndpoint.objects.all().delete()


@pytest.fixture
def ana(app: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=app)
    return found


@pytest.fixture
def ben(app: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=app)
    return found


@pytest.fixture
def eve(app: Any, user: Any) -> ApiClient:
    """In another team, so that the rule returns a set for her too."""
    found: ApiClient = user(app=app)
    permission_rules.team_of |= {found.owner: "other", "user:0": "other"}
    return found


def stored_file(owner: ApiClient, **values: Any) -> Any:
    from windlass.files.api import FileStatus

    ready = {"gate_passed": True, "status": FileStatus.READY, "checksum": "ab" * 32}
    return make_file(owner.owner, b"abc", **(ready | values))


def make_team(*members: ApiClient, share: str = "read write") -> None:
    permission_rules.team_of |= {member.owner: "team" for member in members}
    permission_rules.shared_actions |= set(share.split())


def listed(caller: ApiClient, query: str = "") -> set[str]:
    return {file["id"] for file in caller("GET", f"/files/{query}").json()["results"]}


def test_lists_and_searches_have_the_files_of_the_team(ana: ApiClient, ben: ApiClient, eve: ApiClient) -> None:
    make_team(ana, ben)
    hers, his = str(stored_file(ana).id), str(stored_file(ben, reference="trip").id)
    stored_file(eve, reference="trip")
    assert listed(ana) == {hers, his}
    assert listed(ana, f"?owner={ben.owner}") == {his}
    assert listed(ana, f"?owner={ana.owner}") == {hers}
    assert listed(ana, "?reference=trip") == {his}
    assert listed(ana, f"?owner={eve.owner}") == set()
    assert not listed(eve) & {hers, his}


def test_an_archive_by_reference_has_the_files_of_the_team(ana: ApiClient, ben: ApiClient, eve: ApiClient) -> None:
    make_team(ana, ben)
    reference = f"ref-{uuid.uuid4()}"
    for owner in (ana, ben, eve):
        stored_file(owner, reference=reference)
    archive = ana("POST", "/files/zip/", json={"reference": reference})
    assert len(zipfile.ZipFile(io.BytesIO(archive.content)).namelist()) == 2


def test_read_permits_no_change_and_write_no_reading(ana: ApiClient, ben: ApiClient) -> None:
    make_team(ana, ben, share="read")
    path = f"/files/{stored_file(ben).id}/"
    assert ana("GET", f"{path}download/").content == b"abc"
    assert ana("DELETE", path).status_code == 404
    assert ana("POST", f"{path}signed-url/", json={}).status_code == 404
    permission_rules.shared_actions.clear()
    permission_rules.shared_actions.add("write")
    assert ana("GET", path).status_code == 404
    assert ana("DELETE", path).status_code == 204


def test_an_upload_that_another_continues_remains_its_owners(ana: ApiClient, ben: ApiClient) -> None:
    make_team(ana, ben)
    upload = ben("POST", "/files/", headers=TUS | {"Upload-Length": "4"}).headers["location"]
    append = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert ana("PATCH", upload, headers=append, content=b"abcd").status_code == 204
    (file,) = ben("GET", f"/files/?owner={ben.owner}").json()["results"]
    assert listed(ana, f"?owner={ana.owner}") == set()
    assert file["size"] == 4


def test_partial_uploads_of_the_team_are_concatenated_for_the_caller(
    ana: ApiClient, ben: ApiClient, eve: ApiClient
) -> None:
    make_team(ana, ben)
    append = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    parts = []
    for owner, content in ((ana, b"abc"), (ben, b"def")):
        part = owner("POST", "/files/", headers=TUS | {"Upload-Length": "3", "Upload-Concat": "partial"})
        parts.append(part.headers["location"])
        assert owner("PATCH", parts[-1], headers=append, content=content).status_code == 204
    whole = {"Upload-Concat": f"final;{' '.join(parts)}"}
    assert eve("POST", "/files/", headers=TUS | whole).status_code == 404
    assert ana("POST", "/files/", headers=TUS | whole).status_code == 201
    (file,) = ana("GET", f"/files/?owner={ana.owner}").json()["results"]
    assert file["size"] == 6


def test_who_may_use_nothing_finds_and_uploads_nothing(ana: ApiClient, app: Any) -> None:
    from windlass.accounts.api import create_grant

    file = stored_file(ana)
    grant, _ = create_grant(ana.owner, profile="default", expires_in=60)
    new = TUS | {"Upload-Length": "4"}
    permission_rules.suspended.add(ana.owner)
    assert listed(ana) == set()
    assert ana("GET", f"/files/{file.id}/download/").status_code == 404
    calls = [
        ("POST", "/files/", {"headers": new}),
        ("POST", "/files/", {"files": {"file": ("a.txt", b"abc")}}),
        ("PUT", "/files/a.txt", {"content": b"abc"}),
        ("POST", "/api/v1/upload/init", {"json": {"filename": "a", "total_size": 3, "mime_type": "text/plain"}}),
    ]
    for method, path, options in calls:
        refused = ana(method, path, **options)
        assert refused.status_code == 403, (path, refused.text)
        assert "permission rule" in refused.json()["detail"]
    assert ApiClient(app)("POST", f"/files/?grant={grant}", headers=new).status_code == 403


def test_a_grant_is_for_its_owner_alone_whatever_the_rule_permits(ana: ApiClient, ben: ApiClient, app: Any) -> None:
    from windlass.accounts.api import create_grant

    make_team(ana, ben)
    grant, _ = create_grant(ana.owner, profile="default", expires_in=60)
    upload = ben("POST", "/files/", headers=TUS | {"Upload-Length": "4"}).headers["location"]
    assert ApiClient(app)("HEAD", f"{upload}?grant={grant}", headers=TUS).status_code == 404
    created = ApiClient(app)("POST", f"/files/?grant={grant}", headers=TUS | {"Upload-Length": "4"})
    assert created.status_code == 201
    (asked,) = [each for each in permission_rules.asked if each.grant is not None]
    assert asked.user_id == int(ana.owner.removeprefix("user:"))


def test_the_rule_may_narrow_staff_and_cannot_make_staff(
    ana: ApiClient, app: Any, user: Any, configure: Configure
) -> None:
    staff = user(app=app, staff=True)
    file = stored_file(ana)
    configure(PERMISSION_RULE="tests.permission_rules.staff_without_one_owner")
    assert str(file.id) in listed(staff, f"?owner={ana.owner}")
    permission_rules.suspended.add(ana.owner)
    assert listed(staff, f"?owner={ana.owner}") == set()
    assert str(file.id) not in listed(staff)
    assert staff("GET", f"/files/{file.id}/").status_code == 404
    configure(PERMISSION_RULE="tests.permission_rules.everybody_reads_everything")
    assert listed(ana, f"?owner={ana.owner}") == {str(file.id)}
    assert ana("GET", "/error-handling/statistics").status_code == 403


def streamed(
    caller: ApiClient, app: Any, ticket: bool, act: Callable[[], None], last: str, then: Callable[[], None]
) -> list[dict[str, Any]]:
    """What the stream of all events sends until the server ends it. ``act`` runs once it is open, ``then`` once it has
    sent ``last``."""
    query = f"ticket={caller('POST', '/api/v1/auth/ticket').json()['ticket']}" if ticket else ""
    credential = [] if ticket else [(b"authorization", caller.headers["Authorization"].encode())]
    scope = {"type": "http", "method": "GET", "path": "/events/", "raw_path": b"/events/", "root_path": ""}
    scope |= {"query_string": query.encode(), "http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0"}}
    scope |= {"headers": [(b"host", b"localhost"), *credential], "server": ("localhost", 80)}
    sent: list[str] = []

    async def run() -> None:
        opened = asyncio.Event()

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message.get("body", b"").decode())
            if sent[-1]:
                opened.set()
            if last in sent[-1]:
                then()

        stream = asyncio.create_task(app(scope | {"client": ("127.0.0.1", 1)}, receive, send))
        await asyncio.wait_for(opened.wait(), 10)
        await asyncio.to_thread(act)
        await asyncio.wait_for(stream, 20)

    asyncio.run(run())
    return [json.loads(line.removeprefix("data: ")) for line in "".join(sent).splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("ticket", [False, True], ids=["token", "ticket"])
def test_a_stream_has_the_events_of_the_team_and_ends_when_the_rule_says_otherwise(
    ana: ApiClient, ben: ApiClient, eve: ApiClient, app: Any, monkeypatch: pytest.MonkeyPatch, ticket: bool
) -> None:
    from windlass.events.api import SYSTEM, EventType, recording
    from windlass.http.live import credential_watch

    monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.3)
    make_team(ana, ben)
    wanted = uuid.uuid4()

    def act() -> None:
        with recording() as recorder:
            recorder.add(EventType.FILE_READY, owner=eve.owner, file_id=uuid.uuid4())
            recorder.add(EventType.SYSTEM_BREAKER, owner=SYSTEM)
            recorder.add(EventType.FILE_READY, owner=ben.owner, file_id=wanted)

    def leave() -> None:
        permission_rules.team_of.pop(ben.owner)

    seen = streamed(ana, app, ticket, act, str(wanted), leave)
    assert [each["file_id"] for each in seen if each["id"] is not None] == [str(wanted)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def test_a_webhook_has_the_events_of_the_team_as_it_is_when_they_are_read(
    ana: ApiClient, ben: ApiClient, eve: ApiClient, receiver: Receiver, configure: Configure
) -> None:
    from windlass.events.api import EventType, recording
    from windlass.operations.webhooks.delivery import Deliverer

    def happen() -> list[str]:
        """A file of each owner becomes ready; returns what each of the two webhooks received."""
        receiver.received.clear()
        with recording() as recorder:
            for owner in (ana, ben, eve):
                recorder.add(EventType.FILE_READY, owner=owner.owner, file_id=names[owner.owner])
        asyncio.run(deliverer.deliver_due())
        found = {str(file_id): owner for owner, file_id in names.items()}
        return sorted(f"{each.path} {found[each.document['file_id']]}" for each in receiver.received)

    names = {owner.owner: uuid.uuid4() for owner in (ana, ben, eve)}
    deliverer = Deliverer()
    make_team(ana, ben)
    for path, all_owners in (("team", True), ("own", False)):
        url = receiver.url.replace("hook", path)
        made = ana("POST", "/api/v1/webhooks/", json={"url": url, "types": ["file.ready"], "all_owners": all_owners})
        assert made.status_code == 201, made.text
    own, of_ben = f"/own {ana.owner}", f"/team {ben.owner}"
    assert happen() == sorted([own, f"/team {ana.owner}", of_ben])
    permission_rules.team_of.pop(ben.owner)
    assert happen() == sorted([own, f"/team {ana.owner}"])
    configure(PERMISSION_RULE="tests.permission_rules.fails")
    assert happen() == [], "the rule cannot be asked"
    configure(PERMISSION_RULE="tests.permission_rules.teams")
    assert len(happen()) == 4, "what happened meanwhile is sent once the rule answers again"
    permission_rules.suspended.add(ana.owner)
    assert happen() == []


def test_only_a_rule_or_staff_give_a_webhook_events_of_others(ana: ApiClient, configure: Configure) -> None:
    wanted = {"url": "http://127.0.0.1:9/", "types": ["file.ready"], "all_owners": True}
    assert ana("POST", "/api/v1/webhooks/", json=wanted | {"types": ["system.level"]}).status_code == 403
    configure(PERMISSION_RULE="")
    refused = ana("POST", "/api/v1/webhooks/", json=wanted)
    assert refused.status_code == 403
    assert "PERMISSION_RULE" in refused.json()["detail"]


@pytest.mark.parametrize("answer", [None, True, "user:1", {1, 2}, {f"user:{number}" for number in range(10_001)}])
def test_an_answer_that_is_no_set_of_owners_permits_nothing(
    ana: ApiClient, configure: Configure, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(permission_rules, "answer", answer)
    configure(PERMISSION_RULE="tests.permission_rules.returns")
    file = stored_file(ana)
    assert ana("GET", f"/files/{file.id}/").status_code == 500
    assert ana("GET", f"/files/{file.id}/download/").status_code == 500


def test_a_rule_that_fails_permits_nothing(ana: ApiClient, configure: Configure) -> None:
    configure(PERMISSION_RULE="tests.permission_rules.fails")
    file = stored_file(ana)
    assert ana("GET", f"/files/{file.id}/").status_code == 500
    assert ana("POST", "/files/", headers=TUS | {"Upload-Length": "4"}).status_code == 500


def test_the_open_mode_asks_the_rule_too(app: Any, configure: Configure) -> None:
    configure(AUTH_MODE="open")
    permission_rules.suspended.add("anonymous")
    assert listed(ApiClient(app)) == set()
    assert ApiClient(app)("POST", "/files/", headers=TUS | {"Upload-Length": "4"}).status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        "tests.permission_rules.absent",
        "absent.rule",
        "rule",
        "tests.permission_rules.no_function",
        "tests.permission_rules.old_signature",
    ],
)
def test_a_name_that_is_no_rule_stops_the_start(configure: Configure, name: str, records_home: Path) -> None:
    from windlass.accounts.permission_rule import check_rule
    from windlass.conf import BadSetting

    configure(PERMISSION_RULE=name)
    with pytest.raises(BadSetting, match="PERMISSION_RULE is"):
        check_rule()
