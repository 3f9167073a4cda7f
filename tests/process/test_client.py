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
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.conftest import ServerProcess, free_port
from windlass.client import AsyncClient, Client, NotFound, Unauthenticated

MB = 1024 * 1024
HTML = b"<!DOCTYPE html><html><head><title>no picture</title></head><body><script>1</script></body></html>"


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


def test_an_upload_survives_the_death_of_the_server(server: ServerProcess, big: Path) -> None:
    notices: list[str] = []
    restart = threading.Thread(target=server.start)

    def kill_at_half(sent: int, total: int) -> None:
        if sent >= total // 2 and restart.ident is None:
            server.kill()
            restart.start()

    with Client(server.url) as client:
        file = client.upload(big, on_progress=kill_at_half, on_notice=notices.append)
        restart.join()
        assert any("trying again" in notice for notice in notices)
        assert client.wait(file.id, timeout=60).checksum == sha256(big)
        assert len(list(client.files())) == 1


def test_an_upload_resumes_after_the_client_was_killed(shared_server: ServerProcess, big: Path) -> None:
    half = f"""
import sys, time
from windlass.client import Client
def halt(sent, total):
    if sent >= total // 2:
        print("half", flush=True)
        time.sleep(600)
Client({shared_server.url!r}).upload({str(big)!r}, on_progress=halt)
"""
    first = subprocess.Popen([sys.executable, "-c", half], stdout=subprocess.PIPE)
    assert first.stdout is not None
    with first.stdout:
        assert first.stdout.readline() == b"half\n"
        first.send_signal(signal.SIGKILL)
        first.wait()

    again = windlass(shared_server, "upload", big, "--json")
    assert again.returncode == 0, again.stderr
    resumed = re.search(r"Resuming at byte (\d+) of", again.stderr)
    assert resumed, again.stderr
    assert 0 < int(resumed[1]) < 64 * MB
    record = json.loads(again.stdout)
    assert (record["status"], record["checksum"]) == ("READY", sha256(big))


def test_a_stopped_command_says_how_to_resume(tmp_path: Path) -> None:
    """No server listens there, so the command is retrying once it has printed that it will."""
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    command = [sys.executable, "-m", "windlass", "upload", str(note), "--server", f"http://127.0.0.1:{free_port()}"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert "trying again" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "run the same command again to resume" in said
    assert "Traceback" not in said


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


def test_the_upload_command_waits_for_ready_and_download_fetches_the_file(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    source, target = tmp_path / "note.txt", tmp_path / "back.txt"
    source.write_text("A note.\n" * 100)
    sent = windlass(shared_server, "upload", source, "--sha256")
    assert sent.returncode == 0, sent.stderr
    match = re.fullmatch(r"note\.txt: READY ([0-9a-f-]{36})\n", sent.stdout)
    assert match, sent.stdout
    fetched = windlass(shared_server, "download", match[1], target)
    assert fetched.returncode == 0, fetched.stderr
    assert target.read_text() == source.read_text()
    assert windlass(shared_server, "download", match[1], target).returncode == 1, "it is there already"
    assert "READY" in windlass(shared_server, "files", "wait", match[1]).stdout
    assert match[1] in windlass(shared_server, "files", "list").stdout
    assert "note.txt" in windlass(shared_server, "files", "show", match[1]).stdout
    assert "READY  100 %" in windlass(shared_server, "files", "status", match[1]).stdout
    assert windlass(shared_server, "files", "reprocess", match[1]).returncode == 0
    assert windlass(shared_server, "files", "wait", match[1]).returncode == 0
    assert windlass(shared_server, "files", "delete", match[1]).returncode == 0
    missing = windlass(shared_server, "files", "show", match[1])
    assert missing.returncode == 1
    assert "There is no file" in missing.stderr


def test_a_failed_file_does_not_stop_the_others(shared_server: ServerProcess, tmp_path: Path) -> None:
    page, note = tmp_path / "picture.jpg", tmp_path / "note.txt"
    page.write_bytes(HTML)
    note.write_text("A note.\n")
    sent = windlass(shared_server, "upload", page, note)
    assert sent.returncode == 1
    assert re.search(r"^note\.txt: READY", sent.stdout, re.MULTILINE)
    refused = re.search(r"^picture\.jpg: REJECTED \S+: (.+)$", sent.stdout, re.MULTILINE)
    assert refused, sent.stdout
    assert "html" in refused[1].lower()


def test_usage_errors_and_failures_have_different_exit_codes(shared_server: ServerProcess, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    assert windlass(shared_server, "upload", tmp_path / "missing").returncode == 2
    assert windlass(shared_server, "upload", note, "--server", "nonsense").returncode == 2
    unknown = windlass(shared_server, "upload", note, "--profile", "nonsense")
    assert unknown.returncode == 1
    assert "nonsense" in unknown.stderr


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


def test_profiles_and_plan_need_no_server(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    def here(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "windlass", *map(str, arguments)],
            env=plain | {"WINDLASS_HOME": str(tmp_path / "home"), "ALLOWED_MIME_TYPES": "text/*,image/*"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "text/*, image/*" in here("profiles")
    names = [json.loads(line)["name"] for line in here("profiles", "--json").splitlines()]
    assert names == ["default", "media"]

    page = tmp_path / "page.jpg"
    page.write_bytes(HTML)
    planned = json.loads(here("plan", page, "--json"))
    assert planned["mime_type"] == "text/html", "by content, not by name"
    assert {"checksum", "type"} <= {step["name"] for step in planned["steps"]}
    reasons = {step["name"]: step["reason"] for step in planned["left_out"]}
    assert "application/pdf" in reasons["pdf_facts"]
    assert {step["reason"] for step in planned["steps"] if step["stage"] == "intake"} == {"every file"}
    assert "left out:" in here("plan", page)
