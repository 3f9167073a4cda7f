"""Named pipes wake processes that listen, wait for nobody who does not read, and do not outlast their process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from windlass.kernel import named_pipes

LISTEN = """
import sys, threading
from pathlib import Path
from windlass.kernel import named_pipes
woken = threading.Event()
named_pipes.listen(Path(sys.argv[1]), woken.set)
print("listening", flush=True)
woken.wait(60)
print("woken", flush=True)
sys.stdin.read()
"""


def listening(directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LISTEN, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def test_every_process_that_listens_is_woken(tmp_path: Path) -> None:
    woken = threading.Event()
    named_pipes.listen(tmp_path / "pipes", woken.set)
    with listening(tmp_path / "pipes") as other:
        named_pipes.notify(tmp_path / "pipes")
        assert other.stdout is not None
        assert other.stdout.readline() == "woken\n"
        assert woken.wait(30)
        assert other.stdin is not None
        other.stdin.close()
    assert len(list((tmp_path / "pipes").iterdir())) == 1, "a process takes its pipe away when it ends"


def test_the_pipe_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    with listening(tmp_path) as killed:
        killed.kill()
    assert len(list(tmp_path.iterdir())) == 1
    named_pipes.notify(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_read_delays_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "full.pipe")
    descriptor = os.open(tmp_path / "full.pipe", os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, bytes(4096))
    named_pipes.notify(tmp_path)
    os.close(descriptor)


def test_without_anybody_who_listens_nothing_happens(tmp_path: Path) -> None:
    named_pipes.notify(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
