"""A listener that reports every connection, and files that report when they are opened: no step may touch them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import sys
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.catalogue import Bait
from tests.hostile.files.pictures import png

#: In the canary text, and nowhere else on this machine.
MARK = "canary-6f1d1c0e-do-not-sing"
#: The canary picture's one colour, which no sample has.
COLOUR = (255, 0, 255)

_IN_OPEN = 0x20
_IN_NONBLOCK = 0o4000


@dataclass
class Canary:
    """Use as a context. ``heard`` says what was touched since it was asked last."""

    directory: Path
    _sung: list[str] = field(default_factory=list)

    def __enter__(self) -> Canary:
        self._paths = _write(self.directory)
        self._tcp, self._udp = _listen()
        self._watch = _watch(self._paths)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for each in (self._tcp, self._udp):
            each.close()
        if self._watch is not None:
            os.close(self._watch)

    def bait(self) -> Bait:
        return Bait(self._tcp.getsockname()[1], *map(str, self._paths))

    def heard(self) -> list[str]:
        if self._watch is not None:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._watch, 65536):
                    self._sung.append("a canary file was opened")
        found, self._sung = self._sung, []
        return sorted(set(found))

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._tcp, selectors.EVENT_READ)
            selector.register(self._udp, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in selector.select(0.05):
                    self._take(key.fileobj)

    def _take(self, channel: object) -> None:
        if channel is self._udp:
            self._udp.recv(2048)
            self._sung.append("a datagram came to the canary")
            return
        caller, _ = self._tcp.accept()
        with caller:
            caller.settimeout(1)
            with contextlib.suppress(OSError):
                said = caller.recv(200)
                self._sung.append(f"a connection came to the canary: {said!r}")
                caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")


def _write(directory: Path) -> tuple[Path, Path, Path]:
    """The names have no spaces and no odd characters: they stand in URLs of all sorts."""
    text, picture, playlist = directory / "canary.txt", directory / "canary.png", directory / "canary.m3u8"
    text.write_text(f"{MARK}\n" * 50)
    row = b"\0" + bytes(COLOUR) * 64
    picture.write_bytes(png(64, 64, zlib.compress(row * 64), colour=2))
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\nfile://{text}\n#EXT-X-ENDLIST\n")
    return text, picture, playlist


def _listen() -> tuple[socket.socket, socket.socket]:
    """TCP and UDP on one port of loopback."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
        else:
            return tcp, udp


def _watch(paths: tuple[Path, ...]) -> int | None:
    """An inotify descriptor that tells of every opening of these files. Linux only."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    number = int(libc.inotify_init1(_IN_NONBLOCK))
    for path in paths:
        assert libc.inotify_add_watch(number, os.fsencode(path), _IN_OPEN) >= 0
    return number
