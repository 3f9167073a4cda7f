"""The commands that call a server, as a user runs them: folders, pipes, interruptions, exit codes, completion."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import samples
from tests.process.conftest import ServerProcess, free_port
from tests.process.test_client import HTML, shared_server, state, windlass

__all__ = ["shared_server", "state"]  # fixtures of the tests here


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
    assert said.endswith("stopped. Run the same command again to resume.\n")
    assert "Traceback" not in said


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


def test_a_failed_file_does_not_stop_the_others(shared_server: ServerProcess, tmp_path: Path, state: Path) -> None:
    page, note = tmp_path / "picture.jpg", tmp_path / "note.txt"
    page.write_bytes(HTML)
    note.write_text("A note.\n")
    sent = windlass(shared_server, "upload", page, note)
    assert sent.returncode == 1
    assert re.search(r"^note\.txt: READY", sent.stdout, re.MULTILINE)
    refused = re.search(r"^picture\.jpg: REJECTED \S+: (.+)$", sent.stdout, re.MULTILINE)
    assert refused, sent.stdout
    assert "html" in refused[1].lower()
    assert list((state / "commands").iterdir()) == [], "the same command now means new uploads"


def test_usage_errors_and_failures_have_different_exit_codes(shared_server: ServerProcess, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    assert windlass(shared_server, "upload", tmp_path / "missing").returncode == 2
    assert windlass(shared_server, "upload", note, "--server", "nonsense").returncode == 2
    unknown = windlass(shared_server, "upload", note, "--profile", "nonsense")
    assert unknown.returncode == 1
    assert "nonsense" in unknown.stderr


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
    assert reasons["embed"] == "the setting EMBEDDINGS is off"
    assert {step["reason"] for step in planned["steps"] if step["stage"] == "intake"} == {"every file"}
    assert "left out:" in here("plan", page)


def test_a_folder_is_uploaded_with_its_paths(shared_server: ServerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    for name in ("one.txt", "sub/two.txt", "sub/three.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    sent = windlass(shared_server, "upload", "-r", folder, "--exclude", "*.log", "--json")
    assert sent.returncode == 0, sent.stderr
    records = [json.loads(line) for line in sent.stdout.splitlines()]
    assert {record["metadata"]["relativePath"] for record in records} == {"album/one.txt", "album/sub/two.txt"}
    assert sent.stderr.splitlines()[-1] == "2 files, 20 B: 2 done"
    shown = windlass(shared_server, "upload", "-r", folder, "--include", "two.txt").stdout
    assert shown.startswith("album/sub/two.txt: READY ")

    ids = [record["id"] for record in records]
    fetched = windlass(shared_server, "download", *ids, tmp_path / "back", "--json")
    assert fetched.returncode == 0, fetched.stderr
    paths = {json.loads(line)["path"] for line in fetched.stdout.splitlines()}
    assert paths == {str(tmp_path / "back" / name) for name in ("one.txt", "two.txt")}
    assert (tmp_path / "back" / "two.txt").read_text() == "sub/two.txt\n"
    again = windlass(shared_server, "download", *ids, tmp_path / "back")
    assert again.returncode == 1
    assert again.stderr.count("--force replaces it") == 2


def test_standard_input_is_uploaded_and_equal_names_are_told_apart(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    ids = []
    for text in ("first\n", "second\n"):
        sent = subprocess.run(
            [sys.executable, "-m", "windlass", "upload", "-", "--name", "dump.sql", "--json"],
            input=text,
            env=os.environ | {"WINDLASS_SERVER": shared_server.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert sent.returncode == 0, sent.stderr
        ids.append(json.loads(sent.stdout)["id"])
    assert windlass(shared_server, "download", *ids, tmp_path / "back").returncode == 0
    back = {path.name: path.read_text() for path in (tmp_path / "back").iterdir()}
    assert back == {"dump.sql": "first\n", f"dump-{ids[1][:8]}.sql": "second\n"}


def test_standard_input_that_sends_nothing_does_not_delay_the_end(shared_server: ServerProcess) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "windlass", "upload", "-"],
        env=os.environ | {"WINDLASS_SERVER": shared_server.url},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        process = psutil.Process(running.pid)
        while process.num_threads() == 1:  # until a thread reads
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 130
        assert "cannot be read again" in running.stderr.read()


def test_an_interrupted_command_does_not_send_again_what_it_has_sent(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    small, big = tmp_path / "small.txt", tmp_path / "big.bin"
    small.write_text("A note.\n")
    big.write_bytes(os.urandom(1024 * 1024) * 256)
    arguments = ["upload", small, big, "--reference", f"once-{os.getpid()}", "--parallel", "1", "--json"]
    running = subprocess.Popen(
        [sys.executable, "-m", "windlass", *map(str, arguments)],
        env=os.environ | {"WINDLASS_SERVER": shared_server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    first = json.loads(running.stdout.readline())
    assert first["original_filename"] == "small.txt"
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    if running.returncode == 130:  # else it was faster than the signal
        assert "1 of 2 files were sent. Run the same command again to resume." in said
        again = windlass(shared_server, *arguments)
        assert again.returncode == 0, again.stderr
        assert first["id"] in [json.loads(line)["id"] for line in again.stdout.splitlines()]
    listed = windlass(shared_server, "files", "list", "--reference", f"once-{os.getpid()}", "--json")
    assert sorted(json.loads(line)["original_filename"] for line in listed.stdout.splitlines()) == [
        "big.bin",
        "small.txt",
    ]


@pytest.mark.parametrize("option", ["--retry-minutes", "--patience"], ids=["option", "its old name"])
def test_a_server_that_is_away_has_an_exit_code_of_its_own(tmp_path: Path, option: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    command = [sys.executable, "-m", "windlass", "upload", str(note), option, "0.01", "--server", away]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "Run the same upload again to resume it." in ended.stderr
    assert f"The server at {away} cannot be reached" in ended.stderr
    assert ("--patience is now called --retry-minutes" in ended.stderr) == (option == "--patience")


def test_events_are_printed_until_the_one_that_is_named(shared_server: ServerProcess, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    file_id = json.loads(windlass(shared_server, "upload", note, "--json").stdout)["id"]
    watched = windlass(shared_server, "watch", file_id, "--until", "file.ready")
    assert watched.returncode == 0, watched.stderr
    pattern = rf"^\d\d:\d\d:\d\d  file\.created      {file_id}  note\.txt$"
    assert len(re.findall(pattern, watched.stdout, re.MULTILINE)) == 1, watched.stdout
    assert "  file.ready  " in watched.stdout.splitlines()[-1]
    chosen = windlass(shared_server, "watch", file_id, "--type", "file.cr*", "--until", "file.ready", "--json")
    assert [json.loads(line)["type"] for line in chosen.stdout.splitlines()] == ["file.created"]


def test_changes_are_printed_as_json(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A note.\n")
    server = ServerProcess(tmp_path / "home", TRASH_HOURS="1")
    server.start()
    try:

        def documents(*command: str) -> list[dict[str, Any]]:
            return [json.loads(line) for line in windlass(server, *command, "--json").stdout.splitlines()]

        file_id = documents("upload", str(note))[0]["id"]
        assert documents("files", "reprocess", file_id) == [{"id": file_id, "result": "processing again"}]
        windlass(server, "files", "wait", file_id)
        assert documents("files", "delete", file_id) == [{"id": file_id, "result": "deleted"}]
        assert [(file["id"], file["status"]) for file in documents("trash", "restore", file_id)] == [(file_id, "READY")]
        assert [(file["id"], file["status"]) for file in documents("files", "release", file_id)] == [
            (file_id, "RELEASED")
        ]
        documents("files", "delete", file_id)
        assert documents("trash", "empty", "--yes") == [{"deleted": 1, "bytes": 8}]
    finally:
        server.kill()


def test_open_finds_the_running_server(shared_server: ServerProcess) -> None:
    command = [sys.executable, "-m", "windlass", "open", "--print", "--home", str(shared_server.home)]
    environment = {name: value for name, value in os.environ.items() if name != "WINDLASS_SERVER"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert printed.stdout == f"{shared_server.url}/\n"


def test_bars_are_shown_on_a_terminal_only(shared_server: ServerProcess, tmp_path: Path) -> None:
    picture, note = tmp_path / "picture.jpg", tmp_path / "note.txt"
    picture.write_bytes(samples.jpeg())
    note.write_text("A note.\n")
    near, far = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "windlass", "upload", str(picture), str(note)],
        env=os.environ | {"WINDLASS_SERVER": shared_server.url, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=far,
        text=True,
    )
    os.close(far)
    shown = b""
    while block := _read(near):
        shown += block
    os.close(near)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert output.count("READY") == 2
    text = shown.decode()
    assert "2 of 2 files" in text
    assert "\x1b[" in text

    plain = windlass(shared_server, "upload", picture, note)
    assert "\x1b[" not in plain.stdout + plain.stderr
    assert "picture.jpg: 100 %" in plain.stderr


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(shell: str) -> None:
    """The script that a shell loads calls the command with the line that is to be completed."""
    lines = {
        "bash": {"COMP_WORDS": "windlass up", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "windlass up"},
        "fish": {"_TYPER_COMPLETE_ARGS": "windlass up", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    program = Path(sys.executable).with_name("windlass")
    script = subprocess.run(
        [program],
        env=os.environ | {"_WINDLASS_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "_WINDLASS_COMPLETE" in script.stdout, script.stderr
    completed = subprocess.run(
        [program],
        env=os.environ | {"_WINDLASS_COMPLETE": f"complete_{shell}"} | lines[shell],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "upload" in completed.stdout, completed.stderr
    assert "download" not in completed.stdout


def test_bash_completes_commands_and_options() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = Path(sys.executable).with_name("windlass")
    script = f"""
eval "$(_WINDLASS_COMPLETE=source_bash {program})"
COMP_WORDS=(windlass upload --par) COMP_CWORD=2
_windlass_completion windlass
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    completed = subprocess.run(
        [bash, "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60
    )
    assert completed.stdout.split() == ["--parallel", "--parts"], completed.stderr
