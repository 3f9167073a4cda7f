"""Wake other processes of this machine by named pipes (POSIX FIFOs), one per process that listens.

A byte in a pipe means "look now". It may be lost, and several may be read as one.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".pipe"


class Pipe:
    """This process's pipe among those of ``directory``, which is created if need be. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / f"{uuid4().hex}{_SUFFIX}"
        hidden = self._path.with_suffix(".new")
        os.mkfifo(hidden, 0o600)
        # Open for writing too, so that a read waits also while nobody else has the pipe open. It gets its name once it
        # is open, so that a pipe of that name without a reader is one that its process has left behind.
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CLOEXEC)
        hidden.rename(self._path)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        atexit.register(self._path.unlink, missing_ok=True)

    def wait(self, seconds: float | None = None) -> bool:
        """Return True once others have called ``notify``, now or since the last call; False after ``seconds``."""
        if not self._poll.poll(None if seconds is None else seconds * 1000):
            return False
        os.read(self._descriptor, 4096)
        return True

    def close(self) -> None:
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)
        atexit.unregister(self._path.unlink)


def listen(directory: Path, wake: Callable[[], None]) -> None:
    """Call ``wake``, in a thread that lasts as long as this process, after others call ``notify``. Raises OSError."""
    pipe = Pipe(directory)
    threading.Thread(target=_read, args=(pipe, wake), name="windlass-pipe", daemon=True).start()


def notify(directory: Path) -> None:
    """Wake every process that listens. Never blocks and never raises: a notification may be lost."""
    try:
        names = os.listdir(directory)
    except OSError:
        return  # nobody has listened yet
    for name in names:
        if name.endswith(_SUFFIX):
            _write(directory / name)


def _write(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # its process has ended
            with suppress(OSError):
                path.unlink()
        return
    with suppress(OSError):  # full: its process will read what it has
        os.write(descriptor, b"\0")
    with suppress(OSError):
        os.close(descriptor)


def _read(pipe: Pipe, wake: Callable[[], None]) -> None:
    while pipe.wait():
        wake()
