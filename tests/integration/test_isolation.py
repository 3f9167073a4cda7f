"""Another owner's thing is not there: each call of the table of routes, as a stranger, as its owner and as staff.

The stranger gets the reply to a thing that does not exist, after the same statements of the database, so that neither
the reply nor its time tells that there is one.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import permission_rules
from tests.integration.asgi_client import ApiClient
from tests.integration.downloads.served_files import a_file, a_rendition
from tests.integration.route_rows import Call, Row
from tests.integration.test_access import IETF, ROWS, TUS
from windlass.kernel.clock import now

pytest_plugins = ["tests.integration.record_plane"]

pytestmark = pytest.mark.slow

Names = dict[str, str]

CALLS = [(row, call) for row in sorted(ROWS) for call in ROWS[row].calls]


def test_every_route_about_a_thing_makes_a_call(records_home: Path) -> None:
    """A route whose path has a parameter, which is not for staff or everybody, is about something that has an owner."""
    without = {
        row
        for row, declared in ROWS.items()
        if "{}" in row and "jwt" in declared.kinds and "none" not in declared.kinds and not declared.calls
    }
    # PUT takes a file name, which names no file.
    assert without == {"PUT /files/{}"}


class Things:
    """Makes a thing of each kind for an owner. ``no_such`` are the names of one that does not exist."""

    def __init__(self, owner: ApiClient) -> None:
        self._owner = owner

    def make(self, kind: str) -> Names:
        made: Names = getattr(self, kind.replace(" ", "_"))()
        return made

    @staticmethod
    def no_such(names: Names) -> Names:
        other = str(uuid.uuid4())
        others = {"delivery": str(uuid.uuid4()), "reference": f"ref-{other}"}
        return {name: others.get(name) or value.replace(names["id"], other) for name, value in names.items()}

    def file(self, **values: Any) -> Names:
        reference = f"ref-{uuid.uuid4()}"
        file = a_file(b"private", owner=self._owner.owner, reference=reference, **values)
        for rendition in ("thumbnail", "text", "large"):
            a_rendition(file, rendition)
        return {"id": str(file.id), "reference": reference}

    def entity(self) -> Names:
        from windlass.knowledge.models import FileEntity

        entity = uuid.uuid4()
        FileEntity.objects.create(
            file_id=self.file()["id"],
            entity=entity,
            exact=entity,
            type="person",
            name="Ada",
            search_name="ada",
            mentions=1,
        )
        return {"id": str(entity)}

    def post(self) -> Names:
        return {"id": self.file()["reference"]}

    def picture(self) -> Names:
        return self.file(profile="media", mime_type="image/png")

    def trashed_file(self) -> Names:
        return self.file(trashed_at=now(), trash_until=now() + timedelta(days=1))

    def tus_upload(self, **headers: str) -> Names:
        created = self._owner("POST", "/files/", headers=TUS | {"Upload-Length": "10"} | headers)
        return _at(created)

    def partial_upload(self) -> Names:
        return self.tus_upload(**{"Upload-Length": "0", "Upload-Concat": "partial"})

    def finished_upload(self) -> Names:
        return self.tus_upload(**{"Upload-Length": "0"})

    def ietf_upload(self) -> Names:
        created = self._owner("POST", "/files/", headers=IETF | {"Upload-Complete": "?0"})
        return _at(created)

    def chunked_upload(self) -> Names:
        return self._in_chunks(
            "/api/v1/upload/init", {"filename": "a.bin", "total_size": 10, "mime_type": "text/plain"}
        )

    def media_upload(self) -> Names:
        body = {"file_name": "a.png", "file_size": 10, "content_type": "image/png"}
        return self._in_chunks("/api/v1/media/upload/init", body)

    def _in_chunks(self, path: str, body: dict[str, Any]) -> Names:
        created = self._owner("POST", path, json=body)
        assert created.status_code in (200, 201), created.text
        return {"id": created.json()["upload_id"]}

    def direct_upload(self) -> Names:
        """As ``POST /s3/multipart`` creates it where the store takes direct uploads."""
        from windlass.files.api import UploadSession

        upload_id = uuid.uuid4()
        key = f"objects/{str(upload_id)[:2]}/{upload_id}"
        UploadSession.objects.create(
            id=upload_id,
            owner=self._owner.owner,
            dialect="s3",
            profile="default",
            filename="a.bin",
            store="local",
            store_key=key,
            store_state={"part_size": 5_000_000},
            expires_at=now() + timedelta(hours=1),
        )
        return {"id": str(upload_id), "key": key}

    def webhook(self) -> Names:
        from windlass.events.api import add_test_delivery, create_endpoint

        endpoint = create_endpoint(self._owner.owner, "https://93.184.215.14/hook", ["file.ready"])
        return {"id": str(endpoint.id), "delivery": str(add_test_delivery(endpoint).id)}


def _at(created: httpx.Response) -> Names:
    assert created.status_code == 201, created.text
    return {"id": created.headers["location"].rstrip("/").rpartition("/")[2]}


@pytest.fixture
def application(configure: Callable[..., None]) -> Iterator[Any]:
    from windlass.asgi import application
    from windlass.events.api import WebhookEndpoint

    configure(AUTH_MODE="required")
    yield application
    WebhookEndpoint.objects.all().delete()


@pytest.fixture
def owner(application: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=application)
    return found


@pytest.fixture
def stranger(application: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=application)
    return found


@pytest.fixture
def staff(application: Any, user: Any) -> ApiClient:
    found: ApiClient = user(app=application, staff=True)
    return found


#: What a process reads about once a second, whoever asks for what.
PERIODIC = re.compile("servicelevel|circuitbreaker")


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements on rows that any thread gives to the database meanwhile, but for the ``PERIODIC`` ones."""
    from django.db.backends.utils import CursorWrapper

    given: list[str] = []
    execute = CursorWrapper.execute

    def record(self: Any, sql: str, params: Any = None) -> Any:
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and not PERIODIC.search(sql):
            given.append(sql)
        return execute(self, sql, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", record)
        yield given


def without_names(reply: httpx.Response, names: Names) -> tuple[int, str, dict[str, str]]:
    """What a reply tells, but for the names that its request had, the request's id and the time."""
    text = reply.text
    for name, value in sorted(names.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(value, f"{{{name}}}")
    headers = {name: value for name, value in reply.headers.items() if name not in ("x-request-id", "content-length")}
    return reply.status_code, re.sub(r'"request_id": ?"[^"]*"', "", text), headers


def send(caller: ApiClient, row: str, call: Call, names: Names) -> httpx.Response:
    method, _, template = row.partition(" ")
    path, options = call.request(template, names)
    # A stream that begins does not end: it is asked for with HEAD, which takes the same way to the thing.
    return caller("HEAD" if template.endswith("/events") else method, path, **options)


@pytest.mark.parametrize(("row", "call"), CALLS, ids=[f"{row} {call.thing} {call.query}" for row, call in CALLS])
def test_anothers_thing_is_as_one_that_does_not_exist(
    row: str, call: Call, owner: ApiClient, stranger: ApiClient, staff: ApiClient
) -> None:
    assert_hidden(stranger, row, call, owner)
    for caller in (owner, staff):
        assert_usable(caller, row, call, owner)


def assert_hidden(caller: ApiClient, row: str, call: Call, owner: ApiClient) -> None:
    """The owner's thing is to the caller as one that does not exist."""
    things = Things(owner)
    names = things.make(call.thing)
    missing = things.no_such(names)
    send(caller, row, call, missing)  # notes that the caller's token was used
    with statements() as for_missing:
        not_there = send(caller, row, call, missing)
    with statements() as for_anothers:
        not_yours = send(caller, row, call, names)

    assert not_yours.status_code == call.hidden
    assert without_names(not_yours, names) == without_names(not_there, missing)
    assert for_anothers == for_missing
    assert for_missing


def assert_usable(caller: ApiClient, row: str, call: Call, owner: ApiClient) -> None:
    known = send(caller, row, call, Things(owner).make(call.thing))
    assert known.status_code in call.own if call.own else known.is_success, known.text


#: Webhooks are no uploads or files: no rule shares them.
RULED = [(row, call) for row, call in CALLS if call.thing != "webhook"]


@pytest.mark.parametrize(("row", "call"), RULED, ids=[f"{row} {call.thing} {call.query}" for row, call in RULED])
def test_a_rule_shares_with_one_team_and_hides_from_another_and_from_the_suspended(
    row: str, call: Call, application: Any, user: Any, configure: Callable[..., None]
) -> None:
    configure(AUTH_MODE="required", PERMISSION_RULE="tests.permission_rules.teams", RATE_LIMIT_PER_MINUTE="0")
    permission_rules.clear()
    permission_rules.shared_actions |= {"read", "write"}
    red, red_mate, blue, blue_mate, suspended = (user(app=application) for _ in range(5))
    for members, team in (((red, red_mate, suspended), "red"), ((blue, blue_mate), "blue")):
        permission_rules.team_of |= {member.owner: team for member in members}

    assert_usable(red_mate, row, call, red)
    assert_hidden(blue, row, call, red)
    assert_usable(red, row, call, suspended)
    names = Things(suspended).make(call.thing)
    permission_rules.suspended.add(suspended.owner)
    assert send(suspended, row, call, names).status_code == call.hidden


@pytest.mark.parametrize("row", sorted(row for row, declared in ROWS.items() if declared.listed))
def test_a_list_has_the_callers_own_things(row: str, owner: ApiClient, stranger: ApiClient, staff: ApiClient) -> None:
    declared: Row = ROWS[row]
    method, _, path = row.partition(" ")
    made = Things(owner).make(declared.listed)["id"]
    Things(stranger).make(declared.listed)
    for caller, is_listed in ((owner, True), (staff, True), (stranger, False)):
        results = list(every_page(caller, method, path))
        assert (made in [each["id"] for each in results]) == is_listed
        assert results


def every_page(caller: ApiClient, method: str, path: str) -> Iterator[dict[str, Any]]:
    """Staff see the things of all tests before."""
    url: str | None = path
    while url:
        document = json.loads(caller(method, url).text)
        yield from document["results"]
        url = document.get("next")
