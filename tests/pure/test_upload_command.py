"""What ``windlass upload`` sends, remembers and prints, without a server; and where the running server is."""

from __future__ import annotations

import fcntl
import io
import os
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from windlass.cli import app
from windlass.cli.exit_codes import ExitCode
from windlass.cli.finished_uploads import KEEP_SECONDS, FinishedUploads
from windlass.cli.progress import Bars, FiguresColumn, Lines, time_text
from windlass.cli.running_server import ADDRESS_FILE, publish_address, running_address
from windlass.cli.server_connection import exit_code_of
from windlass.cli.upload_paths import STDIN, Item, Patterns, items_of
from windlass.client import GaveUp, Invalid, NotFound, Refused, ServerFailed, WaitTimeout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photos/ with files at three depths, a link, a pipe and a folder of no interest."""
    photos = tmp_path / "photos"
    for name in ["b.jpg", "a.JPG", "2026/c.jpg", "2026/notes.txt", ".cache/d.jpg", "2026/.cache/e.jpg"]:
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(name.encode())
    (photos / "link.jpg").symlink_to(photos / "b.jpg")
    (photos / "loop").symlink_to(photos)
    os.mkfifo(photos / "pipe.jpg")
    return photos


def names(paths: list[Path], patterns: Patterns) -> list[str | None]:
    return [item.relative_path for item in items_of(paths, patterns, lambda text: None)]


def test_a_folder_gives_its_regular_files_sorted_with_their_paths(folder: Path) -> None:
    skipped: list[str] = []
    items = list(items_of([folder], Patterns(), skipped.append))
    assert [item.relative_path for item in items] == [
        "photos/a.JPG",
        "photos/b.jpg",
        "photos/.cache/d.jpg",
        "photos/2026/c.jpg",
        "photos/2026/notes.txt",
        "photos/2026/.cache/e.jpg",
    ]
    assert items[0].size == len("a.JPG")
    assert len(skipped) == 2
    assert all("symbolic link or no regular file" in text for text in skipped)


def test_patterns_choose_by_name_and_by_path(folder: Path) -> None:
    assert names([folder], Patterns(include=["*.jpg"], exclude=[".cache"])) == ["photos/b.jpg", "photos/2026/c.jpg"]
    assert names([folder], Patterns(exclude=["2026/*", ".cache", "*.JPG"])) == ["photos/b.jpg"]
    assert names([folder], Patterns(include=["2026/*"])) == [
        "photos/2026/c.jpg",
        "photos/2026/notes.txt",
        "photos/2026/.cache/e.jpg",
    ]


def test_a_file_that_is_named_twice_is_sent_once_and_needs_no_pattern(folder: Path) -> None:
    file = folder / "b.jpg"
    items = list(items_of([file, folder, STDIN], Patterns(include=["*.txt"]), lambda text: None))
    assert [item.path for item in items] == [file, folder / "2026" / "notes.txt", STDIN]
    assert items[0].relative_path is None, "a file that is named has no folder"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{folder}"], "-r uploads the files in it"),
        (["{folder}/b.jpg", "--include", "*.jpg"], "for folders"),
        (["-r", "{folder}", "--include", "*.png"], "no file to upload"),
        (["-r", "{folder}", "--name", "x"], "--name names one file"),
        (["{folder}/missing"], "does not exist"),
    ],
)
def test_arguments_that_cannot_be_meant_are_usage_errors(folder: Path, arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, ["upload", *(each.format(folder=folder) for each in arguments)])
    assert result.exit_code == ExitCode.USAGE
    assert reason in " ".join(result.output.replace("│", " ").split())


def item(path: Path, size: int = 3) -> Item:
    return Item(path, size, 17)


def test_an_interrupted_command_knows_what_it_has_sent(tmp_path: Path) -> None:
    first = FinishedUploads(tmp_path, {"paths": ["photos"]})
    first.add(item(tmp_path / "a"), "id-a")
    first.add(item(tmp_path / "b"), "id-b")
    (stored,) = (tmp_path / "commands").iterdir()
    assert stored.stat().st_mode & 0o777 == 0o600
    stored.write_text(stored.read_text() + '["cut o')

    again = FinishedUploads(tmp_path, {"paths": ["photos"]})
    again.load()
    assert again.file_id(item(tmp_path / "a")) == "id-a"
    assert again.file_id(item(tmp_path / "a", size=4)) is None, "a file that was changed is sent again"
    other = FinishedUploads(tmp_path, {"paths": ["others"]})
    other.load()
    assert other.file_id(item(tmp_path / "a")) is None
    again.delete()
    assert list((tmp_path / "commands").iterdir()) == []


def test_what_an_old_command_has_sent_is_forgotten(tmp_path: Path) -> None:
    FinishedUploads(tmp_path, {}).add(item(tmp_path / "a"), "id-a")
    (stored,) = (tmp_path / "commands").iterdir()
    os.utime(stored, (stored.stat().st_mtime - KEEP_SECONDS - 60,) * 2)
    again = FinishedUploads(tmp_path, {})
    again.load()
    assert again.file_id(item(tmp_path / "a")) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Invalid("No.", status=422), ExitCode.REFUSED),
        (NotFound("No.", status=404), ExitCode.REFUSED),
        (PermissionError("No."), ExitCode.REFUSED),
        (Refused("Slower.", status=429), ExitCode.TRY_AGAIN),
        (ServerFailed("Away.", status=503), ExitCode.TRY_AGAIN),
        (GaveUp("Away."), ExitCode.TRY_AGAIN),
        (WaitTimeout("Still running."), ExitCode.TRY_AGAIN),
    ],
)
def test_an_exit_code_says_whether_to_try_again(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) == code


def test_bars_show_each_file_and_all_of_them() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, color_system=None)
    with Progress("{task.description}", FiguresColumn(), console=console, auto_refresh=False) as progress:
        bars = Bars(progress)
        bars.expect(2, 3000)
        bars.sent("dir/a.bin", 1000, 1000)
        bars.sent("b.bin", 500, 2000)
        total, first, second = progress.tasks
        assert (total.completed, total.total) == (1500, 3000)
        assert (first.description, second.completed) == ("a.bin", 500)
        bars.sent("b.bin", 100, 2000)
        assert total.completed == 1100, "the server has less than was sent"
        bars.remove("dir/a.bin")
        assert total.description == "1 of 2 files"
        assert len(progress.tasks) == 2


def test_lines_name_the_share_and_for_a_stream_the_bytes() -> None:
    shown = io.StringIO()
    times = iter(range(100))
    lines = Lines(Console(file=shown, width=100), {"/home/ann/album/b.bin": "album/b.bin"}, lambda: 3.0 * next(times))
    lines.sent("a.bin", 500, 1000)
    lines.sent("a.bin", 750, 1000)
    lines.sent("stdin", 100, 0)
    lines.sent("stdin", 5000, 0)
    lines.sent("/home/ann/album/b.bin", 10, 10)
    lines.summary("2 files")
    assert "a.bin: 75 % (750 B of 1000 B)" in shown.getvalue()
    assert "stdin: 4.9 KB\n" in shown.getvalue()
    assert "\nalbum/b.bin: 100 %" in shown.getvalue()
    assert shown.getvalue().endswith("2 files\n")


def test_times_that_are_left_have_two_units_at_most() -> None:
    assert [time_text(seconds) for seconds in (5.9, 65, 7_800)] == ["5 s", "1 min 05 s", "2 h 10 min"]


def test_the_address_of_a_server_is_known_while_it_runs(tmp_path: Path) -> None:
    assert running_address(tmp_path) is None
    descriptor = publish_address(tmp_path, "http://127.0.0.1:8123/")
    assert running_address(tmp_path) == "http://127.0.0.1:8123/"
    assert not os.get_inheritable(descriptor), "a child that outlives the server does not hold the address"
    os.close(descriptor)
    assert running_address(tmp_path) is None, "the server has ended"
    (tmp_path / "elsewhere").write_text("http://evil.test/")
    (tmp_path / ADDRESS_FILE).unlink()
    (tmp_path / ADDRESS_FILE).symlink_to(tmp_path / "elsewhere")
    with (tmp_path / "elsewhere").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert running_address(tmp_path) is None


def test_open_prints_the_page_of_the_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)) or True)
    monkeypatch.delenv("WINDLASS_SERVER", raising=False)
    home = ["--home", str(tmp_path)]
    assert CliRunner().invoke(app, ["open", "--print", *home]).output == "http://127.0.0.1:8000/\n"
    descriptor = publish_address(tmp_path, "http://127.0.0.1:8123/")
    assert CliRunner().invoke(app, ["open", *home]).output == "http://127.0.0.1:8123/\n"
    assert CliRunner().invoke(app, ["open", "an id", *home]).output == "http://127.0.0.1:8123/f/an%20id\n"
    assert CliRunner().invoke(app, ["open", "--server", "https://a.test", *home]).output == "https://a.test/\n"
    os.close(descriptor)
    assert opened == ["http://127.0.0.1:8123/", "http://127.0.0.1:8123/f/an%20id", "https://a.test/"]
