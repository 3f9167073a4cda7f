"""WebSockets through the real server protocol: events without a gap, credentials, bounds of both directions, ends."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed

from tests.integration.asgi_client import ApiClient, make_file
from tests.integration.test_event_streams import LiveServer, Running, make_upload, publish
from tests.integration.test_server_protocol import send_what_is_taken
from tests.integration.websocket_client import Socket, opened, refusal

pytest_plugins = ["tests.integration.record_plane"]

User = Callable[..., ApiClient]
Configure = Callable[..., None]


@contextmanager
def running(**options: Any) -> Iterator[Running]:
    """The whole application under our server protocol; ``http`` in the options names another."""
    from windlass.asgi import application
    from windlass.http.server.uvicorn_protocol import ReceivingProtocol

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_config=None, lifespan="off", **{"http": ReceivingProtocol} | options)
    server = LiveServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    found = Running(f"http://127.0.0.1:{listener.getsockname()[1]}", server, thread)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def server(records_home: Path) -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def listen(server: Running) -> Callable[..., Any]:
    """``with listen(caller, path) as socket``."""

    def begin(caller: ApiClient, path: str, **options: Any) -> Any:
        return opened(server.url, path, caller.headers, **options)

    return begin


def ids(events: list[dict[str, Any]]) -> list[int]:
    return [event["id"] for event in events]


class TestEvents:
    def test_a_file_has_its_past_and_new_events_as_event_streams_have_them(self, user: User, listen: Any) -> None:
        caller = user()
        asset = make_file(caller.owner)
        before = publish(caller.owner, 2, file_id=asset.id)
        with listen(caller, f"/ws/files/{asset.id}") as live:
            assert ids(live.events(2)) == before
            publish(caller.owner, file_id=uuid.uuid4())
            after = publish(caller.owner, 2, file_id=asset.id)
            events = live.events(2)
        assert ids(events) == after
        assert events[0] == {
            "id": after[0],
            "type": "file.step",
            "file_id": str(asset.id),
            "upload_id": None,
            "at": events[0]["at"],
            "data": {"n": 0},
        }

    def test_an_upload_has_its_events_and_its_progress(self, user: User, listen: Any) -> None:
        caller = user()
        session = make_upload(caller.owner, size=400, offset=100)
        written = publish(caller.owner, upload_id=session.id)
        with listen(caller, f"/ws/uploads/{session.id}/") as live:
            assert live.message()["id"] == written[0]
            progress = live.message()
        assert (progress["id"], progress["type"]) == (None, "upload.progress")
        assert progress["data"] == {"progress": 25.0, "bytes_received": 100, "size": 400}

    def test_everything_begins_now_and_is_the_callers_own(self, user: User, listen: Any) -> None:
        caller, other, staff = user(), user(), user(staff=True)
        publish(caller.owner)
        with listen(caller, "/ws/events") as own, listen(staff, "/ws/events") as every:
            for live in (own, every):
                live.send({"ping": 1})
                assert live.message() == {"pong": 1, "since": last_id()}
            (theirs,), (mine,) = publish(other.owner), publish(caller.owner, notify=False)
            assert ids(own.events(1)) == [mine]
            assert ids(every.events(2)) == [theirs, mine]

    @pytest.mark.parametrize("way", ["query", "first message"])
    def test_it_resumes_after_the_last_event_without_a_gap(self, user: User, listen: Any, way: str) -> None:
        caller = user()
        asset = make_file(caller.owner)
        written = publish(caller.owner, 450, file_id=asset.id)
        for path in ("/ws/events", f"/ws/files/{asset.id}"):
            with listen(caller, path + (f"?since={written[1]}" if way == "query" else "")) as live:
                if way == "first message":
                    live.send({"since": written[1]})
                assert ids([live.message() for _ in written[2:]]) == written[2:]

    def test_a_later_since_starts_again(self, user: User, listen: Any) -> None:
        caller = user()
        written = publish(caller.owner, 3)
        with listen(caller, f"/ws/events?since={written[1]}") as live:
            assert ids(live.events(1)) == written[2:]
            live.send({"since": written[0]})
            assert ids(live.events(2)) == written[1:]


class TestWatching:
    def test_several_files_and_uploads_over_one_socket(self, user: User, listen: Any) -> None:
        caller = user()
        files, session = [make_file(caller.owner) for _ in range(2)], make_upload(caller.owner)
        first = publish(caller.owner, 2, file_id=files[0].id)
        with listen(caller, "/ws/events") as live:
            live.send({"watch": {"file": str(files[0].id)}, "since": first[0]})
            assert live.message() == {"watching": {"file": str(files[0].id)}}
            assert ids(live.events(1)) == first[1:]
            for thing in ({"file": str(files[1].id)}, {"upload": str(session.id)}):
                live.send({"watch": thing})
                assert live.answer("watching") == {"watching": thing}
            publish(caller.owner, file_id=uuid.uuid4())  # of what is not watched, there is nothing any more
            written = [
                *publish(caller.owner, file_id=files[1].id),
                *publish(caller.owner, upload_id=session.id),
                *publish(caller.owner, file_id=files[0].id),
            ]
            assert sorted(ids(live.events(3))) == written
            live.send({"unwatch": {"file": str(files[1].id)}})
            live.answer("unwatched")
            publish(caller.owner, file_id=files[1].id)
            (last,) = publish(caller.owner, file_id=files[0].id)
            assert ids(live.events(1)) == [last]

    def test_anothers_file_is_refused_as_one_that_does_not_exist(self, user: User, listen: Any) -> None:
        caller, other = user(), user()
        theirs, missing = str(make_file(other.owner).id), str(uuid.uuid4())
        with listen(caller, "/ws/events") as live:
            answers = []
            for name in (theirs, missing):
                live.send({"watch": {"file": name}})
                answers.append(live.answer("problem"))
            publish(other.owner, file_id=theirs)
            (mine,) = publish(caller.owner)
            assert ids(live.events(1)) == [mine], "what was refused changes nothing"
        assert answers[0]["problem"]["status"] == 404
        assert repr(answers[0]).replace(theirs, missing) == repr(answers[1])

    def test_there_is_a_limit_of_watches(self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from windlass.http.live import websocket_session

        monkeypatch.setattr(websocket_session, "MAX_WATCHES", 1)
        caller = user()
        files = [str(make_file(caller.owner).id) for _ in range(2)]
        with listen(caller, "/ws/events") as live:
            for name in files:
                live.send({"watch": {"file": name}})
            assert live.answer("problem")["problem"]["limit"] == 1
            live.send({"watch": {"file": files[0]}})
            assert live.answer("watching")
            live.send({"unwatch": {"file": files[0]}})
            live.send({"watch": {"file": files[1]}})
            assert live.answer("watching") == {"watching": {"file": files[1]}}

    def test_watching_counts_as_a_call(self, user: User, server: Running, configure: Configure) -> None:
        from windlass.resilience.rate_limits.configured import limiter

        configure(AUTH_MODE="required", WINDLASS_RATE_LIMIT_PER_MINUTE="1", RATE_LIMIT_BURST="0")
        limiter()._local.reset()
        caller = user()
        with opened(server.url, "/ws/events", caller.headers) as live:
            for _ in range(12):
                live.send({"watch": {"file": str(uuid.uuid4())}})
            answers = [live.answer("problem")["problem"] for _ in range(12)]
        assert [answer["status"] for answer in answers[:3]] == [404] * 3
        assert (answers[-1]["status"], answers[-1]["limit"]) == (429, 10)
        refused = refusal(server.url, "/ws/events", caller.headers)
        assert (refused.status_code, int(refused.headers["retry-after"])) == (429, refused.json()["retry_after"])

    @pytest.mark.parametrize(
        "message",
        [
            *("[1", "[]", "{}", '{"since": -1}', '{"since": 1.5}', '{"since": true}', '{"watch": "x"}', "[" * 4000),
            *('{"watch": {"file": 1}}', '{"watch": {"file": "a", "upload": "b"}}', '{"ping": []}', b"\0"),
        ],
        ids=range(12),
    )
    def test_a_malformed_message_is_answered_with_what_is_allowed(self, user: User, listen: Any, message: Any) -> None:
        with listen(user(), "/ws/events?since=0") as live:
            live.send(message)
            problem = live.answer("problem")["problem"]
            assert problem["status"] in (400, 422)
            assert any(name in problem["detail"] for name in ("since", "file or upload"))
            live.send({"ping": "still here"})
            assert live.answer("pong")["pong"] == "still here"


class TestHandshake:
    def test_a_token_may_be_in_the_subprotocols(self, user: User, server: Running, configure: Configure) -> None:
        configure(AUTH_MODE="required")
        caller = user()
        token = caller.headers["Authorization"].removeprefix("Bearer ")
        with opened(server.url, "/ws/events", subprotocols=["bearer", token]) as live:
            assert live.connection.subprotocol == "bearer"
            (mine,) = publish(caller.owner)
            assert ids(live.events(1)) == [mine]
        for wrong in (["bearer", "wl_wrong"], ["bearer"]):
            assert refusal(server.url, "/ws/events", subprotocols=wrong).status_code == 401

    def test_a_ticket_opens_one_socket(self, user: User, server: Running, configure: Configure) -> None:
        configure(AUTH_MODE="required")
        from windlass.asgi import application

        caller = user(app=application)
        ticket = caller("POST", "/api/v1/auth/ticket").json()["ticket"]
        with opened(server.url, f"/ws/events?ticket={ticket}", origin="https://elsewhere.example") as live:
            (mine,) = publish(caller.owner)
            assert ids(live.events(1)) == [mine]
        assert refusal(server.url, f"/ws/events?ticket={ticket}").status_code == 401

    def test_refusals_are_problem_documents(self, user: User, server: Running, configure: Configure) -> None:
        configure(AUTH_MODE="required")
        caller, other = user(), user()
        asset = make_file(other.owner)
        for path, headers, status in (
            ("/ws/events", {}, 401),
            (f"/ws/files/{asset.id}", {}, 401),
            ("/ws/nothing", {}, 401),
            (f"/ws/files/{asset.id}", caller.headers, 404),
            (f"/ws/uploads/{uuid.uuid4()}", caller.headers, 404),
            ("/ws/nothing", caller.headers, 404),
            ("/ws/events?sinc=1", caller.headers, 422),
            ("/ws/events?since=x", caller.headers, 422),
            ("/ws/events?grant=wlg_x", caller.headers, 401),
        ):
            refused = refusal(server.url, path, headers)
            assert refused.status_code == status == refused.json()["status"], path
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["x-request-id"] == refused.json()["request_id"]
            assert refused.headers["x-content-type-options"] == "nosniff"
        assert "WWW-Authenticate" in refusal(server.url, "/ws/events").headers

    def test_a_page_of_another_site_cannot_use_the_cookie_of_this_one(
        self, user: User, server: Running, configure: Configure
    ) -> None:
        """Cross-site WebSocket hijacking: a browser sends cookies whichever page opens the socket."""
        configure(AUTH_MODE="required", CORS_ALLOWED_ORIGINS="https://app.example")
        caller = user()
        cookie = {"Cookie": f"sessionid={session_of(caller)}"}
        for origin in ("https://evil.example", "null", server.url.replace("http", "https")):
            refused = refusal(server.url, "/ws/events", cookie, origin=origin)
            assert refused.status_code == 403
            assert origin in refused.json()["detail"]
        for origin in (server.url, "https://app.example", None):
            with opened(server.url, "/ws/events", cookie, origin=origin) as live:
                (mine,) = publish(caller.owner)
                assert ids(live.events(1)) == [mine]
        configure(CORS_ALLOWED_ORIGINS="*")
        assert refusal(server.url, "/ws/events", cookie, origin="https://evil.example").status_code == 403
        configure(CORS_ALLOWED_ORIGINS="null")
        assert refusal(server.url, "/ws/events", cookie, origin="null").status_code == 403
        with opened(server.url, "/ws/events", caller.headers, origin="https://evil.example"):
            """A page that knows a token may use it."""

    def test_in_open_mode_a_page_of_another_site_is_refused(self, server: Running, configure: Configure) -> None:
        assert refusal(server.url, "/ws/events", origin="https://evil.example").status_code == 403
        with opened(server.url, "/ws/events", origin=server.url):
            """The server's own page."""
        for allowed in ("*", "null"):
            configure(CORS_ALLOWED_ORIGINS=allowed)
            with opened(server.url, "/ws/events", origin="null"):
                """A page from a file, which the operator has allowed."""

    def test_a_host_that_is_not_served_is_refused(self, server: Running) -> None:
        """DNS rebinding."""
        assert refusal(server.url, "/ws/events", {"Host": "evil.example"}).status_code == 400

    def test_the_connections_of_one_owner_are_limited(self, user: User, server: Running, configure: Configure) -> None:
        configure(MAX_LIVE_CONNECTIONS_PER_OWNER="2")
        caller, other = user(), user()
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(opened(server.url, "/ws/events", caller.headers))
            refused = refusal(server.url, "/ws/events", caller.headers)
            assert (refused.status_code, refused.json()["limit"]) == (429, 2)
            stack.enter_context(opened(server.url, "/ws/events", other.headers))
        eventually(lambda: not refused_again(server, caller))

    def test_a_socket_counts_for_its_address(self, user: User, server: Running, configure: Configure) -> None:
        configure(MAX_CONNECTIONS_PER_ADDRESS="1")
        with opened(server.url, "/ws/events"), socket.create_connection(address(server)) as second:
            second.sendall(upgrade_request(user(), server))
            assert b" 503 " in second.recv(100)


def refused_again(server: Running, caller: ApiClient) -> bool:
    try:
        refusal(server.url, "/ws/events", caller.headers)
    except AssertionError:
        return False
    return True


class TestBounds:
    def test_a_client_that_does_not_read_is_dropped_and_resumes_without_a_gap(
        self, user: User, server: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from windlass.http.live import websocket_session

        monkeypatch.setattr(websocket_session, "SLOW_SECONDS", 0.3)
        caller = user()
        asset = make_file(caller.owner)
        written = large_events(caller.owner, 400, asset.id)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(address(server))
        with opened(server.url, f"/ws/files/{asset.id}?since=0", caller.headers, sock=raw, max_queue=1) as slow:
            time.sleep(1.0)  # more than SLOW_SECONDS: nothing is read meanwhile
            seen, code = read_to_end(slow)
        assert code == 4408
        assert 0 < len(seen) < len(written)
        assert seen == written[: len(seen)]
        with opened(server.url, f"/ws/files/{asset.id}?since={seen[-1]}", caller.headers) as again:
            assert ids(again.events(len(written) - len(seen))) == written[len(seen) :]

    def test_a_message_has_a_limit(self, user: User, listen: Any) -> None:
        with listen(user(), "/ws/events?since=0") as live:
            live.send('{"ping": "' + "x" * 5000 + '"}')
            assert live.close_code() == 1009

    def test_a_message_has_a_limit_of_frames(self, user: User, listen: Any) -> None:
        with listen(user(), "/ws/events?since=0") as live:
            with suppress(ConnectionClosed, EOFError):  # it may be closed while it sends
                live.connection.send(iter([""] * 1000), text=True)
            assert live.close_code() == 1009

    def test_text_that_is_not_utf_8_closes(self, user: User, listen: Any) -> None:
        with listen(user(), "/ws/events?since=0") as live:
            live.connection.send(b"\xff\xfe", text=True)
            assert live.close_code() == 1007

    def test_a_flood_of_pings_waits_for_its_reader(self, user: User, server: Running, listen: Any) -> None:
        """Their pongs would otherwise fill the server's memory."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw.connect(address(server))
        with raw:
            caller = user()
            raw.sendall(upgrade_request(caller, server))
            assert b" 101 " in raw.recv(100)
            pings = b"\x89\x80\0\0\0\0" * 4_000_000
            assert send_what_is_taken(raw, pings) < len(pings) / 2

    def test_a_peer_that_answers_no_ping_is_closed(
        self, user: User, server: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from windlass.http.server import websocket_protocol

        monkeypatch.setattr(websocket_protocol, "PING_SECONDS", 0.2)
        caller = user()
        with (
            socket.create_connection(address(server)) as dead,
            opened(server.url, "/ws/events", caller.headers) as live,
        ):
            dead.sendall(upgrade_request(caller, server))
            assert b" 101 " in dead.recv(100)
            dead.settimeout(20)
            with suppress(ConnectionResetError):
                while dead.recv(1000):
                    """Pings."""
            live.send({"ping": 1})
            assert live.answer("pong"), "a peer that answers stays"


class TestEnds:
    @pytest.mark.parametrize("kind", ["revoked", "expired elsewhere"])
    def test_it_ends_with_its_credential(
        self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        from windlass.accounts.api import list_tokens, revoke_token
        from windlass.accounts.models import ApiToken
        from windlass.http.live import credential_watch
        from windlass.kernel.clock import now

        caller, other = user(), user()
        number = caller.owner.removeprefix("user:")
        if kind == "expired elsewhere":
            monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.1)
        with listen(caller, "/ws/events") as live, listen(other, "/ws/events") as unaffected:
            live.send({"ping": 1})
            live.answer("pong")
            if kind == "revoked":
                assert revoke_token(next(one.pk for one, _ in list_tokens() if str(one.user_id) == number))
            else:
                ApiToken.objects.filter(user_id=number).update(expires_at=now())
            assert live.close_code() == 4401
            publish(other.owner)
            assert unaffected.events(1)

    def test_a_credential_is_checked_once_for_all_its_connections(
        self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from windlass.http.live import credential_watch

        checked: list[list[str]] = []
        check = credential_watch._are_good

        def record(scopes: Any) -> list[bool]:
            checked.append([scope["windlass.principal"].owner for scope in scopes])
            return check(scopes)

        monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.1)
        monkeypatch.setattr(credential_watch, "_are_good", record)
        caller, other = user(), user()
        with ExitStack() as stack:
            for each in (caller, caller, caller, other):
                stack.enter_context(listen(each, "/ws/events"))
            eventually(lambda: [sorted(owners) for owners in checked][-3:] == [sorted([caller.owner, other.owner])] * 3)

    def test_an_outage_of_the_database_closes_with_try_again(
        self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import OperationalError

        from windlass.http.live import topic_access

        def away(*_: Any) -> Any:
            raise OperationalError("gone away")

        with listen(user(), "/ws/events?since=0") as live:
            monkeypatch.setattr(topic_access, "get_file", away)
            live.send({"watch": {"file": str(uuid.uuid4())}})
            assert live.close_code() == 1013

    def test_a_stop_closes_at_once_and_waits_for_nobody(self, user: User) -> None:
        caller = user()
        with running() as found, socket.create_connection(address(found)) as silent:
            silent.sendall(upgrade_request(caller, found))
            assert b" 101 " in silent.recv(100)
            with opened(found.url, "/ws/events", caller.headers) as live:
                live.send({"ping": 1})
                live.answer("pong")
                began = time.monotonic()
                found.stop()
                assert live.close_code() == 1012
            assert time.monotonic() - began < 5

    def test_a_client_that_leaves_is_unsubscribed(self, user: User, server: Running, listen: Any) -> None:
        from windlass.http.live.journal_follower import _followers
        from windlass.kernel import process_counters

        with listen(user(), "/ws/events") as live:
            live.send({"ping": 1})
            live.answer("pong")
            assert process_counters.live_readers.value("websocket") >= 1
        eventually(lambda: not any(each.subscribers for each in _followers.values()))
        eventually(lambda: process_counters.live_readers.value("websocket") == 0)


class TestInAProject:
    def test_another_server_of_asgi_serves_them_too(self, user: User, configure: Configure) -> None:
        configure(AUTH_MODE="required")
        from windlass.accounts.models import ApiToken

        caller = user()
        with running(http="httptools", ws="websockets-sansio") as found:
            assert refusal(found.url, "/ws/events").json()["status"] == 401
            with opened(found.url, "/ws/events", caller.headers) as live:
                (mine,) = publish(caller.owner)
                assert ids(live.events(1)) == [mine]
                ApiToken.objects.get(user_id=caller.owner.removeprefix("user:")).delete()
                assert live.close_code() == 4401

    def test_a_projects_own_websockets_are_passed_on(self, records_home: Path) -> None:
        import asyncio

        from windlass import asgi

        seen: list[str] = []

        async def project(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["path"])

        async def never() -> Any:
            await asyncio.Event().wait()

        scope = {"type": "websocket", "path": "/ws/chat", "headers": [], "query_string": b"", "scheme": "ws"}
        asyncio.run(asgi.wrap(project)({**scope, "client": ("127.0.0.1", 1), "root_path": ""}, never, never))
        assert seen == ["/ws/chat"]


def last_id() -> int:
    from windlass.events import api as events

    return events.last_id()


def session_of(caller: ApiClient) -> str:
    from django.contrib.auth import get_user_model
    from django.contrib.sessions.backends.db import SessionStore

    person = get_user_model().objects.get(pk=caller.owner.removeprefix("user:"))
    session = SessionStore()
    session["_auth_user_id"] = str(person.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = person.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def large_events(owner: str, count: int, file_id: uuid.UUID) -> list[int]:
    from windlass.events.api import EventType, recording

    with recording() as recorder:
        for _ in range(count):
            recorder.add(EventType.FILE_STEP, owner=owner, file_id=file_id, data={"message": "x" * 10_000})
    return [event.id for event in recorder.pending]


def read_to_end(live: Socket) -> tuple[list[int], int | None]:
    """The ids of the events until the server closes, and its code."""
    seen = []
    try:
        while True:
            seen.append(json.loads(live.connection.recv(30))["id"])
    except ConnectionClosed as closed:
        return seen, closed.rcvd.code if closed.rcvd else None


def address(server: Running) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def upgrade_request(caller: ApiClient, server: Running) -> bytes:
    fields = {
        "Host": server.url.removeprefix("http://"),
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **caller.headers,
    }
    return "\r\n".join(
        ["GET /ws/events HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    ).encode()


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within 10 seconds")
