"""The client and its commands with a real server, through restarts and kills of either side."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests import samples
from tests.process.conftest import ServerProcess
from tests.process.flaky_proxy import FlakyProxy
from windlass.client import (
    AsyncClient,
    Client,
    File,
    NotFound,
    Password,
    RefreshToken,
    Unauthenticated,
    UploadOutcome,
    automatic_parts,
    send_source,
)

MB = 1024 * 1024
HTML = b"<!DOCTYPE html><html><head><title>no picture</title></head><body><script>1</script></body></html>"


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Without rate limits: these tests create more uploads in a minute than one address may."""
    server = ServerProcess(tmp_path_factory.mktemp("shared") / "home")
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Isolate the stored uploads of each test from each other and from the developer's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("windlass.client.calls.state_directory", lambda: tmp_path / "state" / "windlass")
    return tmp_path / "state" / "windlass"


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(MB) * 64)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def windlass(server: ServerProcess, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does; the environment names the server."""
    return subprocess.run(
        [sys.executable, "-m", "windlass", *map(str, arguments)],
        env=os.environ | {"WINDLASS_SERVER": server.url} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_file_is_uploaded_processed_and_downloaded(shared_server: ServerProcess, big: Path, tmp_path: Path) -> None:
    progress: list[int] = []
    statuses: list[str] = []
    with Client(shared_server.url) as client:
        file = client.upload(
            big, reference="r-1", metadata={"who": "me"}, sha256=True, on_progress=lambda sent, _: progress.append(sent)
        )
        assert (file.size, file.reference, file.metadata["who"]) == (64 * MB, "r-1", "me")
        assert progress == sorted(progress)
        assert progress[-1] == 64 * MB
        file = client.wait(file.id, timeout=60, on_status=lambda status: statuses.append(status.status))
        assert (file.status, file.checksum) == ("READY", sha256(big))
        assert statuses[-1] == "READY"
        assert client.status(file.id).progress == 100
        assert [found.id for found in client.files(reference="r-1")] == [file.id]
        fetched = client.download(file.id, tmp_path / "fetched")
        assert sha256(fetched) == sha256(big)
        signed = client.signed_url(file.id, expires_in=60)
        assert file.id in signed.url
        assert client.release(file.id).status == "RELEASED"
        client.delete(file.id)
        with pytest.raises(NotFound) as gone:
            client.file(file.id)
        assert gone.value.slug == "not-found"


def test_a_rendition_has_a_url_of_its_own_that_needs_no_credential(shared_server: ServerProcess) -> None:
    async def signed_by_the_other(file: File) -> str:
        async with AsyncClient(shared_server.url) as client:
            return (await client.signed_url(file.id, 60, rendition="thumbnail")).url

    with Client(shared_server.url) as client:
        file = client.wait(client.upload(io.BytesIO(samples.jpeg()), filename="a.jpg").id, timeout=60)
        thumbnail = next(each for each in file.renditions if each.name == "thumbnail")
        for url in (client.signed_url(file.id, rendition="thumbnail").url, asyncio.run(signed_by_the_other(file))):
            assert f"/files/{file.id}/renditions/thumbnail/?" in url
            answer = httpx.get(url)
            assert (answer.headers["content-type"], len(answer.content)) == (thumbnail.mime_type, thumbnail.size)
        with pytest.raises(NotFound):
            client.signed_url(file.id, rendition="no-such-thing")


def test_the_asynchronous_client_uploads_and_downloads(shared_server: ServerProcess, tmp_path: Path) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(shared_server.url) as client:
            texts = [f"file {number}\n".encode() * 1000 for number in range(5)]
            reference = uuid.uuid4().hex
            sent = await asyncio.gather(
                *(client.upload(io.BytesIO(text), filename="a.txt", reference=reference) for text in texts)
            )
            ended = await asyncio.gather(*(client.wait(file.id, timeout=60) for file in sent))
            assert {file.status for file in ended} == {"READY"}
            assert len({file.id for file in ended}) == 5
            listed = [file.id async for file in client.files(reference=reference, limit=2)]
            assert sorted(listed) == sorted(file.id for file in sent)
            path = await client.download(sent[0].id, tmp_path)
            assert path.read_bytes() == texts[0]

    asyncio.run(all_of_it())


def test_an_empty_file_is_uploaded(shared_server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with Client(shared_server.url) as client:
        file = client.wait(client.upload(tmp_path / "empty").id, timeout=60)
        assert (file.size, file.status) == (0, "READY")
        assert client.download(file.id, tmp_path / "back").read_bytes() == b""


def test_an_upload_and_an_event_stream_survive_the_death_of_the_server(server: ServerProcess, big: Path) -> None:
    notices: list[str] = []
    restart = threading.Thread(target=server.start)

    def kill_at_half(sent: int, total: int) -> None:
        if sent >= total // 2 and restart.ident is None:
            server.kill()
            restart.start()

    with Client(server.url) as client:
        events = client.events(since=0)
        note = client.upload(io.BytesIO(b"A note.\n"), filename="note.txt")
        assert next(event for event in events if event.type == "file.ready").file_id == note.id
        file = client.upload(big, on_progress=kill_at_half, on_notice=notices.append)
        restart.join()
        assert any("trying again" in notice for notice in notices)
        assert client.wait(file.id, timeout=60).checksum == sha256(big)
        assert len(list(client.files())) == 2
        assert next(event for event in events if event.type == "file.ready").file_id == file.id, "the stream resumed"


def killed_at_half(server: ServerProcess, source: Path, options: str = "") -> None:
    """Upload in a process of its own, and kill that once half of the bytes are sent."""
    half = f"""
import sys, threading
from windlass.client import Client
def halt(sent, total):
    if sent >= total // 2:
        print("half", flush=True)
        threading.Event().wait(600)
Client({server.url!r}).upload({str(source)!r}, on_progress=halt, {options})
"""
    first = subprocess.Popen([sys.executable, "-c", half], stdout=subprocess.PIPE)
    assert first.stdout is not None
    with first.stdout:
        assert first.stdout.readline() == b"half\n"
        first.send_signal(signal.SIGKILL)
        first.wait()


def test_an_upload_resumes_after_the_client_was_killed(shared_server: ServerProcess, big: Path) -> None:
    killed_at_half(shared_server, big)
    again = windlass(shared_server, "upload", big, "--json")
    assert again.returncode == 0, again.stderr
    resumed = re.search(r"Resuming at byte (\d+) of", again.stderr)
    assert resumed, again.stderr
    assert 0 < int(resumed[1]) < 64 * MB
    record = json.loads(again.stdout)
    assert (record["status"], record["checksum"]) == ("READY", sha256(big))


def test_a_download_resumes_where_it_stopped(shared_server: ServerProcess, big: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop_at_half(have: int, total: int) -> None:
        if have >= total // 2:
            raise Stopped

    target = tmp_path / "fetched.bin"
    with Client(shared_server.url) as client:
        file = client.wait(client.upload(big).id, timeout=60)
        with pytest.raises(Stopped):
            client.download(file.id, target, stop_at_half)
        assert not target.exists()
        have: list[int] = []
        client.download(file.id, target, lambda now, _: have.append(now))
    assert have[0] > 32 * MB
    assert sha256(target) == sha256(big)


def test_parallel_parts_resume_after_the_client_was_killed(shared_server: ServerProcess, big: Path) -> None:
    killed_at_half(shared_server, big, "parallel_parts=4")
    notices: list[str] = []
    resumed: list[int] = []
    with Client(shared_server.url) as client:
        file = client.upload(
            big, parallel_parts=4, on_notice=notices.append, on_progress=lambda sent, _: resumed.append(sent)
        )
        assert any(re.search(r"Part \d of 4: Resuming at byte [1-9]", notice) for notice in notices), notices
        assert resumed[-1] == 64 * MB
        assert client.wait(file.id, timeout=60).checksum == sha256(big)


def test_parallel_parts_of_a_file_object_make_one_file(shared_server: ServerProcess, big: Path) -> None:
    async def send() -> tuple[str, str | None]:
        async with AsyncClient(shared_server.url) as client:
            with big.open("rb") as opened:
                file = await client.upload(opened, parallel_parts=3, reference=uuid.uuid4().hex)
            return file.id, (await client.wait(file.id, timeout=60)).checksum

    file_id, checksum = asyncio.run(send())
    assert checksum == sha256(big)
    with Client(shared_server.url) as client:
        reference = client.file(file_id).reference
        assert [file.id for file in client.files(reference=reference)] == [file_id]


@pytest.fixture
def slow_connections(shared_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's URL over a way on which each connection takes 256 KB a second; large files begin at 4 MB."""
    monkeypatch.setattr(send_source, "LEAST_FILE_BYTES", 4 * MB)
    monkeypatch.setattr(send_source, "TRIAL_BYTES", MB // 8)
    monkeypatch.setattr(automatic_parts, "LEAST_PART_BYTES", MB // 4)
    with FlakyProxy(shared_server.port, 1, kinds={"none": 1}, bytes_per_second=MB // 4) as proxy:
        yield proxy.url


@pytest.mark.parametrize("asynchronous", [False, True], ids=["Client", "AsyncClient"])
def test_a_large_file_is_sent_over_several_connections_where_each_is_slow(
    slow_connections: str, tmp_path: Path, asynchronous: bool
) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(os.urandom(4 * MB))
    notices: list[str] = []

    async def send() -> File:
        async with AsyncClient(slow_connections) as client:
            return await client.upload(source, on_notice=notices.append)

    started = time.monotonic()
    if asynchronous:
        file = asyncio.run(send())
    else:
        with Client(slow_connections) as client:
            file = client.upload(source, on_notice=notices.append)
    took = time.monotonic() - started
    assert notices == ["Sending the file in parts, over several connections"]
    assert took < 12, "one connection needs 16 seconds"
    with Client(slow_connections) as client:
        assert client.wait(file.id, timeout=60).checksum == sha256(source)


def test_a_stream_is_uploaded_without_knowing_its_length(shared_server: ServerProcess, big: Path) -> None:
    with subprocess.Popen(["cat", str(big)], stdout=subprocess.PIPE) as process, Client(shared_server.url) as client:
        assert process.stdout is not None
        file = client.upload(process.stdout, filename="dump.bin")
        file = client.wait(file.id, timeout=60)
    assert (file.size, file.checksum, file.original_filename) == (64 * MB, sha256(big), "dump.bin")


def test_many_sources_are_uploaded_and_one_that_fails_does_not_stop_the_others(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    notes = [tmp_path / f"note-{number}.txt" for number in range(5)]
    for note in notes:
        note.write_text(f"{note.name}\n" * 100)
    sources = [*notes[:2], tmp_path / "missing.txt", *notes[2:]]
    progress: dict[object, int] = {}
    reference = uuid.uuid4().hex

    def check(outcomes: list[UploadOutcome]) -> None:
        assert [outcome.source for outcome in outcomes] == sources
        assert [outcome.file.original_filename for outcome in outcomes if outcome.file] == [note.name for note in notes]
        assert [type(outcome.error) for outcome in outcomes if outcome.error] == [FileNotFoundError]

    with Client(shared_server.url) as client:
        check(
            client.upload_many(
                sources,
                reference=reference,
                on_source_progress=lambda source, sent, _: progress.__setitem__(source, sent),
            )
        )
    assert progress == {note: note.stat().st_size for note in notes}

    async def send() -> list[UploadOutcome]:
        async with AsyncClient(shared_server.url) as client:
            return await client.upload_many(sources, reference=reference, concurrency=2)

    check(asyncio.run(send()))
    with Client(shared_server.url) as client:
        assert len(list(client.files(reference=reference))) == 10


def test_events_are_iterated_from_the_first_one_of_a_file(shared_server: ServerProcess, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")

    async def follow(file_id: str) -> list[str]:
        async with AsyncClient(shared_server.url) as client:
            events = client.events(file_id)
            types = []
            async for event in events:
                types.append(event.type)
                if event.type == "file.ready":
                    return types
        raise AssertionError

    with Client(shared_server.url) as client:
        file = client.upload(note)
        types = []
        for event in client.events(file.id):
            assert event.file_id == file.id
            if event.id is not None:
                types.append(event.type)
            if event.type == "file.ready":
                break
        assert types.count("file.created") == 1
        assert "file.step" in types
        again = [kind for kind in asyncio.run(follow(file.id)) if kind != "file.progress"]
        assert again == [kind for kind in types if kind != "file.progress"]
        with pytest.raises(NotFound):
            next(iter(client.events(str(uuid.uuid4()))))


def test_a_token_is_required_and_accepted(make_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = make_server(AUTH_MODE="required")
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    refused = windlass(server, "upload", note)
    assert refused.returncode == 1
    assert "WINDLASS_TOKEN" in refused.stderr
    with Client(server.url) as client, pytest.raises(Unauthenticated) as raised:
        client.upload(note)
    assert (raised.value.status, raised.value.slug) == (401, "unauthenticated")

    result = server.command("token", "create", "--user", "ann")
    token = result.stdout.strip()
    assert token, result.stderr
    kept = tmp_path / "token"
    kept.write_text(f"{token}\n")
    assert windlass(server, "upload", note, WINDLASS_TOKEN=token).returncode == 0
    listed = windlass(server, "files", "list", "--json", WINDLASS_TOKEN_FILE=str(kept))
    assert [json.loads(line)["original_filename"] for line in listed.stdout.splitlines()] == ["note.txt"]

    result = server.command("user", "add", "ben", "--password-file", str(written(tmp_path / "password", "seven-ells")))
    assert result.returncode == 0, result.stderr
    refresh: list[str] = []
    with Client(server.url, Password("ben", "seven-ells")) as client:
        file = client.wait(client.upload(note).id, timeout=60)
        signed_in = client._calls.server._credential.current()
        signed = httpx.post(f"{server.url}/api/v1/auth/token", json={"username": "ben", "password": "seven-ells"})
    with Client(server.url, signed_in) as client, pytest.raises(Unauthenticated):
        client.file(file.id)  # closing the client ended its sign-in
    with Client(server.url, RefreshToken(signed.json()["refresh"], refresh.append)) as client:
        assert [each.id for each in client.files()] == [file.id]
    with Client(server.url, RefreshToken(refresh[-1])) as client:
        assert client.file(file.id).status == "READY"
    with Client(server.url, Password("ben", "wrong")) as client, pytest.raises(Unauthenticated):
        client.file(file.id)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
