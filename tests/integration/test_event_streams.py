"""Event streams through a real uvicorn: no event is skipped, each shows the caller's events only, and all end."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.integration.asgi_client import ApiClient, make_file
from windlass.kernel.owners import Owners

pytest_plugins = ["tests.integration.record_plane"]

User = Callable[..., ApiClient]


class LiveServer(uvicorn.Server):
    """uvicorn as ``windlass web`` runs it: streams end before connections are waited for."""

    async def shutdown(self, sockets: Any = None) -> None:
        from windlass.http.live import event_streams

        await event_streams.shut_down()
        await super().shutdown(sockets)


@dataclass
class Running:
    url: str
    server: LiveServer
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive(), "the server waits for a stream that should have ended"


@contextmanager
def running() -> Iterator[Running]:
    from windlass.http.live import event_streams

    door = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=event_streams.endpoints.routes), log_config=None, lifespan="off")
    server = LiveServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    found = Running(f"http://127.0.0.1:{door.getsockname()[1]}", server, thread)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def server(records_home: Path) -> Iterator[Running]:
    with running() as found:
        yield found


class Stream:
    """Reads one event stream as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def frame(self) -> dict[str, str]:
        """The fields of the next frame; a comment is under the empty name."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        raise EOFError

    def begin(self) -> int:
        """Read the first frame, which is no event; the number after which a reader resumes that has seen none."""
        first = self.frame()
        assert set(first) == {"retry", "id"}
        assert first["retry"] == "2000"
        return int(first["id"])

    def event(self) -> dict[str, Any]:
        """The next event, journal or progress; its SSE id is its number."""
        while True:
            frame = self.frame()
            if "data" in frame:
                event: dict[str, Any] = json.loads(frame["data"])
                assert frame.get("id") == (None if event["id"] is None else str(event["id"]))
                assert "event" not in frame
                return event

    def journal(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` events of the journal."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = self.event()
            if event["id"] is not None:
                found.append(event)
        return found


@pytest.fixture
def listen(server: Running) -> Iterator[Callable[..., Any]]:
    """``with listen(caller, path, last=n) as stream``: a stream that has begun."""
    with httpx.Client(base_url=server.url, timeout=30) as client:

        @contextmanager
        def begin(caller: ApiClient, path: str, *, last: int | str | None = None) -> Iterator[Stream]:
            headers = caller.headers | ({} if last is None else {"Last-Event-ID": str(last)})
            with client.stream("GET", path, headers=headers) as response:
                assert response.status_code == 200
                stream = Stream(response)
                stream.begin()
                yield stream

        yield begin


def publish(owner: str, count: int = 1, *, notify: bool = True, **subject: Any) -> list[int]:
    """Write events; without a notification they are like events of another process."""
    from windlass.events.api import Event, EventType, recording

    if not notify:
        return [Event.objects.create(type=EventType.FILE_STEP, owner=owner, **subject).id for _ in range(count)]
    with recording() as recorder:
        for number in range(count):
            recorder.add(EventType.FILE_STEP, owner=owner, data={"n": number}, **subject)
    return [event.id for event in recorder.pending]


class TestStreams:
    def test_a_files_stream_has_its_past_and_new_events(self, user: User, listen: Any) -> None:
        caller = user()
        asset = make_file(caller.owner)
        before = publish(caller.owner, 2, file_id=asset.id)
        with listen(caller, f"/files/{asset.id}/events") as stream:
            assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.response.headers["cache-control"] == "no-store"
            assert [event["id"] for event in stream.journal(2)] == before
            publish(caller.owner, file_id=uuid.uuid4())
            after = publish(caller.owner, 2, file_id=asset.id)
            events = stream.journal(2)
            assert [event["id"] for event in events] == after
            assert events[0]["type"] == "file.step"
            assert events[0]["file_id"] == str(asset.id)
            assert events[0]["data"] == {"n": 0}
            assert events[0]["at"].endswith("Z")

    def test_an_uploads_stream_has_its_events(self, user: User, listen: Any) -> None:
        caller = user()
        session = make_upload(caller.owner)
        written = publish(caller.owner, upload_id=session.id)
        with listen(caller, f"/uploads/{session.id}/events") as stream:
            assert [event["id"] for event in stream.journal(1)] == written

    def test_the_stream_of_all_events_has_new_events_only(self, user: User, listen: Any) -> None:
        caller = user()
        publish(caller.owner, file_id=uuid.uuid4())
        with listen(caller, "/events") as stream:
            written = publish(caller.owner, file_id=uuid.uuid4())
            assert [event["id"] for event in stream.journal(1)] == written

    def test_events_of_other_processes_arrive_without_a_notification(self, user: User, listen: Any) -> None:
        caller = user()
        with listen(caller, "/events") as stream:
            written = publish(caller.owner, 3, notify=False)
            assert [event["id"] for event in stream.journal(3)] == written

    def test_a_stream_resumes_after_the_last_event_id(self, user: User, listen: Any) -> None:
        caller = user()
        asset = make_file(caller.owner)
        written = publish(caller.owner, 450, file_id=asset.id)
        for path in ("/events", f"/files/{asset.id}/events"):
            with listen(caller, path, last=written[1]) as stream:
                assert [event["id"] for event in stream.journal(448)] == written[2:]

    def test_what_happens_before_the_first_event_and_a_break_is_not_missed(self, user: User, server: Running) -> None:
        caller = user()
        publish(caller.owner)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            with client.stream("GET", "/events", headers=caller.headers) as response:
                place = Stream(response).begin()
            missed = publish(caller.owner, 2)
            with client.stream("GET", "/events", headers=caller.headers | {"Last-Event-ID": str(place)}) as response:
                stream = Stream(response)
                assert stream.begin() == place
                assert [event["id"] for event in stream.journal(2)] == missed

    @pytest.mark.parametrize("last", ["not-a-number", "-1", "9" * 40])
    def test_an_invalid_last_event_id_is_ignored(self, user: User, listen: Any, last: str) -> None:
        caller = user()
        asset = make_file(caller.owner)
        written = publish(caller.owner, file_id=asset.id)
        with listen(caller, f"/files/{asset.id}/events", last=last) as stream:
            assert [event["id"] for event in stream.journal(1)] == written

    def test_a_last_event_id_beyond_the_end_skips_no_new_event(self, user: User, listen: Any) -> None:
        caller = user()
        with listen(caller, "/events", last=10**12) as stream:
            written = publish(caller.owner)
            assert [event["id"] for event in stream.journal(1)] == written

    def test_head_ends_at_once(self, server: Running, user: User) -> None:
        caller = user()
        response = httpx.head(f"{server.url}/events", headers=caller.headers, timeout=20)
        assert response.headers["content-type"].startswith("text/event-stream")

    def test_a_silent_stream_sends_heartbeats(self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from windlass.http.live import event_streams

        monkeypatch.setattr(event_streams, "HEARTBEAT_SECONDS", 0.05)
        with listen(user(), "/events") as stream:
            assert set(stream.frame()) == {""}


class TestOwners:
    def test_streams_of_another_users_files_and_uploads_are_404(self, server: Running, user: User) -> None:
        owner, other = user(), user()
        asset, session = make_file(owner.owner), make_upload(owner.owner)
        for path in (
            f"/files/{asset.id}",
            f"/uploads/{session.id}",
            f"/files/{uuid.uuid4()}",
            "/files/x",
            "/uploads/x",
        ):
            response = httpx.get(f"{server.url}{path}/events", headers=other.headers, timeout=20)
            assert response.status_code == 404, path
            assert response.headers["content-type"] == "application/problem+json"

    def test_a_stream_requires_a_credential(self, server: Running, configure: Callable[..., None]) -> None:
        configure(AUTH_MODE="required")
        assert httpx.get(f"{server.url}/events", timeout=20).status_code == 401

    def test_a_user_gets_own_events_and_staff_get_all(self, user: User, listen: Any) -> None:
        caller, other, staff = user(), user(), user(staff=True)
        with listen(caller, "/events") as own, listen(staff, "/events") as every:
            (theirs,), (mine,) = publish(other.owner), publish(caller.owner)
            assert [event["id"] for event in own.journal(1)] == [mine]
            assert [event["id"] for event in every.journal(2)] == [theirs, mine]


class TestProgress:
    def test_progress_is_sent_as_it_rises_without_an_event_id(self, user: User, listen: Any) -> None:
        from windlass.files.api import FileAsset

        caller = user()
        asset = make_file(caller.owner, status="PROCESSING", progress=10, stage="derive")
        files = FileAsset.objects.filter(id=asset.id)
        with listen(caller, f"/files/{asset.id}/events") as one, listen(caller, "/events") as every:
            for stream in (one, every):
                event = stream.event()
                assert (event["type"], event["id"], event["data"]["progress"]) == ("file.progress", None, 10)
            files.update(progress=55, message="page 3 of 7")
            for stream in (one, every):
                event = stream.event()
                assert event["data"] == {"progress": 55, "message": "page 3 of 7", "stage": "derive"}
            (end,) = publish(caller.owner, file_id=asset.id)
            assert one.event()["id"] == end

    def test_upload_progress_has_the_received_bytes(self, user: User, listen: Any) -> None:
        caller = user()
        session = make_upload(caller.owner, size=400, offset=100)
        with listen(caller, f"/uploads/{session.id}/events") as stream:
            event = stream.event()
        assert event["type"] == "upload.progress"
        assert event["upload_id"] == str(session.id)
        assert event["data"] == {"progress": 25.0, "bytes_received": 100, "size": 400}

    def test_progress_never_falls_below_the_journals(self) -> None:
        from windlass.events.api import Event
        from windlass.http.live.progress import Progress, SentProgress

        file_id, sent = uuid.uuid4(), SentProgress()

        def at(percent: int, message: str = "") -> list[Progress]:
            return sent.advance([Progress("o", percent, message, {}, file_id=file_id)])

        assert at(30, "page 1")
        assert not at(30)
        assert at(30, "page 2")
        sent.record(Event(file_id=file_id, data={"progress": 60}))
        assert not at(50)
        assert at(61)
        sent.record(Event(file_id=file_id, data={"progress": 0}))  # a new run
        assert at(5)


class TestBounds:
    def test_a_slow_stream_buffers_one_page_and_loses_nothing(self, user: User) -> None:
        from windlass.executors import in_database
        from windlass.http.live.journal_follower import PAGE, Follower
        from windlass.http.live.topics import Topic

        owner = user().owner

        async def watch() -> tuple[int, list[int], list[int]]:
            written: list[int] = []
            async with Follower().following(Topic(owners=Owners.of({owner})), None) as subscriber:
                assert await subscriber.next() == []
                for _ in range(5):
                    written += await in_database(publish, owner, PAGE // 2)
                    await subscriber.wake.wait()
                    subscriber.wake.clear()
                while not subscriber.behind:
                    await asyncio.sleep(0.01)
                held = len(subscriber.waiting)
                read: list[int] = []
                while len(read) < len(written):
                    read += [event["id"] for event in await subscriber.next() if event["id"]]
            return held, read, written

        held, read, written = asyncio.run(watch())
        assert held <= PAGE
        assert read == written

    def test_all_streams_share_one_reader_that_ends_with_them(self, records_home: Path) -> None:
        from windlass.http.live.journal_follower import Follower
        from windlass.http.live.topics import Topic

        def followers() -> int:
            return sum(task.get_name() == "windlass-follower" for task in asyncio.all_tasks())

        async def watch() -> None:
            follower = Follower()
            async with follower.following(Topic(), None), follower.following(Topic(owners=Owners.of({"x"})), 0):
                assert followers() == 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert followers() == 0

        asyncio.run(watch())

    def test_a_stream_continues_after_a_failed_database_query(
        self, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import OperationalError

        from windlass.events import api as events
        from windlass.executors import in_database
        from windlass.http.live import journal_follower
        from windlass.http.live.topics import Topic

        owner, real, failed = user().owner, events.events_after, threading.Event()

        def failing(*arguments: Any, **named: Any) -> Any:
            if not failed.is_set() and "owner" not in named:
                failed.set()
                raise OperationalError("gone away")
            return real(*arguments, **named)

        monkeypatch.setattr(journal_follower, "RETRY_SECONDS", 0.01)

        async def watch() -> list[int]:
            async with journal_follower.Follower().following(Topic(owners=Owners.of({owner})), None) as subscriber:
                await subscriber.next()
                monkeypatch.setattr(events, "events_after", failing)
                while not failed.is_set():
                    await asyncio.sleep(0.01)
                written = await in_database(publish, owner)
                await subscriber.wake.wait()
                assert [event["id"] for event in await subscriber.next()] == written
                return written

        assert asyncio.run(watch())


class TestEnds:
    def test_a_shutdown_ends_open_streams(self, user: User) -> None:
        caller = user()
        with (
            running() as found,
            httpx.Client(base_url=found.url, timeout=30) as client,
            client.stream("GET", "/events", headers=caller.headers) as response,
        ):
            stream = Stream(response)
            stream.frame()
            found.stop()
            with pytest.raises(EOFError):
                stream.event()

    def test_a_disconnected_client_is_unsubscribed(self, user: User, server: Running) -> None:
        from windlass.http.live.journal_follower import _followers

        caller = user()
        with (
            httpx.Client(base_url=server.url, timeout=30) as client,
            client.stream("GET", "/events", headers=caller.headers) as response,
        ):
            stream = Stream(response)
            stream.frame()
            (shared,) = (each for each in _followers.values() if each.subscribers)
        deadline = threading.Event()
        for _ in range(1000):
            if not shared.subscribers:
                return
            deadline.wait(0.02)
        pytest.fail("the stream of a client that left is still followed")


def test_last_event_id_may_be_in_the_query(user: User, listen: Any) -> None:
    """As libraries send it that stand in for a browser's EventSource."""
    caller = user()
    asset = make_file(caller.owner)
    first, second, third = publish(caller.owner, 3, file_id=asset.id)
    with listen(caller, f"/files/{asset.id}/events?lastEventId={first}") as stream:
        assert [event["id"] for event in stream.journal(2)] == [second, third]
    with listen(caller, f"/files/{asset.id}/events?lastEventId={first}", last=second) as stream:
        assert stream.journal(1)[0]["id"] == third


class TestRevocation:
    """A stream ends with the credential that opened it: at once where this process revokes it, else in seconds."""

    def ends(self, stream: Stream) -> None:
        with pytest.raises(EOFError):
            list(iter(stream.frame, None))

    @pytest.mark.parametrize("kind", ["revoked", "deactivated", "deleted", "staff no more"])
    def test_a_revoked_token_ends_its_stream(self, user: User, listen: Any, kind: str) -> None:
        from django.contrib.auth import get_user_model

        from windlass.accounts.api import list_tokens, revoke_token

        caller = user(staff=kind == "staff no more")
        person = get_user_model().objects.get(pk=caller.owner.removeprefix("user:"))
        with listen(caller, "/events") as stream:
            match kind:
                case "revoked":
                    assert revoke_token(next(one.pk for one, _ in list_tokens() if one.user_id == person.pk))
                case "deactivated":
                    person.is_active = False
                    person.save()
                case "deleted":
                    person.delete()
                case "staff no more":
                    person.is_staff = False
                    person.save()
            self.ends(stream)

    @pytest.mark.parametrize("path", ["/events", "/files/{}/events"])
    def test_a_token_that_expires_or_is_revoked_elsewhere_ends_its_stream(
        self, user: User, listen: Any, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``update`` sends no signal, so the stream checks its credential again at intervals."""
        from windlass.accounts.models import ApiToken
        from windlass.http.live import credential_watch
        from windlass.kernel.clock import now

        assert credential_watch.RECHECK_SECONDS < 15
        monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.1)
        caller, other = user(), user()
        with (
            listen(other, "/events") as unaffected,
            listen(caller, path.replace("{}", str(make_file(caller.owner).id))) as stream,
        ):
            ApiToken.objects.filter(user_id=caller.owner.removeprefix("user:")).update(expires_at=now())
            self.ends(stream)
            publish(other.owner)
            assert unaffected.event()["type"] == "file.step"

    def test_signing_out_ends_the_stream_of_the_session(
        self, user: User, listen: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.contrib.auth import get_user_model
        from django.contrib.sessions.backends.db import SessionStore

        from windlass.http.live import credential_watch

        monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.1)
        person = get_user_model().objects.get(pk=user().owner.removeprefix("user:"))
        session = SessionStore()
        session["_auth_user_id"] = str(person.pk)
        session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
        session["_auth_user_hash"] = person.get_session_auth_hash()
        session.save()
        caller = ApiClient(None)
        caller.headers = {"Cookie": f"sessionid={session.session_key}"}
        with listen(caller, "/events") as stream:
            session.delete()
            self.ends(stream)

    def test_revocation_ends_a_stream_whose_client_reads_nothing(self, user: User, records_home: Path) -> None:
        """The stream is cancelled in the middle of a send that waits for the client."""
        from windlass.http.live.event_streams import EventStream

        async def frames() -> Any:
            yield "data: x\n\n"

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body"):
                await asyncio.Event().wait()

        async def run() -> None:
            stream = EventStream(frames())
            async with asyncio.timeout(10):
                sending = asyncio.ensure_future(stream.stream_response(send))
                while not sent:
                    await asyncio.sleep(0)
                stream.revoked.set()
                await sending

        asyncio.run(run())
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def make_upload(owner: str, **values: Any) -> Any:
    from datetime import timedelta

    from windlass.files.api import UploadSession
    from windlass.kernel.clock import now

    defaults = {
        "dialect": "tus",
        "profile": "default",
        "filename": "a.txt",
        "store": "local",
        "store_key": f"k/{uuid.uuid4()}",
        "expires_at": now() + timedelta(hours=1),
    }
    return UploadSession.objects.create(owner=owner, **(defaults | values))
