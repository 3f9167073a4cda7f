"""A proxy between Windlass and an S3 store, or PostgreSQL, that closes the connection at a chosen request."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

MB = 1024 * 1024

#: How requests begin, by their purpose: the first lines of S3's, and PostgreSQL's message that commits.
REQUESTS = {
    "begin": re.compile(rb"POST /\S*\?uploads"),
    "any part": re.compile(rb"PUT /\S*partNumber="),
    "part": re.compile(rb"PUT /\S*partNumber=2\b"),
    "piece": re.compile(rb"PUT /\S*\.tail\."),
    "complete": re.compile(rb"POST /\S*\?uploadId="),
    "commit": re.compile(rb"Q....COMMIT", re.DOTALL),
}


class Proxy:
    """Forward everything, until ``cut`` names a request: then close the connection before the store receives the
    request, or after it has answered and before Windlass receives the reply."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._wanted, self._before = re.compile(rb"$^"), False
        self._act: Callable[[], None] = _nothing
        self._times = 0
        self.cuts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, request: str, when: str, *, times: int = 1, act: Callable[[], None] | None = None) -> None:
        """Cut the next ``times`` requests of this kind, "before" or "after"; ``act`` is called at each cut."""
        self._wanted, self._before, self._act = REQUESTS[request], when == "before", act or _nothing
        self.cuts, self._times = 0, times

    def uncut(self) -> None:
        """Cut nothing any more."""
        self._times = self.cuts

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._upstream))
        except OSError:  # it is away
            near.close()
            return
        with near, far:
            # Each request begins a block of its own: the next is not sent before the last was answered.
            cutting = threading.Event()
            back = threading.Thread(target=self._back, args=(far, near, cutting), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := near.recv(MB):
                    if self._is_wanted(data):
                        if self._before:
                            self._act()
                            break
                        cutting.set()
                    far.sendall(data)
            _hang_up(near, far)
            back.join()

    def _back(self, far: socket.socket, near: socket.socket, cutting: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(MB):
                if cutting.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    self._act()
                    break
                near.sendall(data)
        _hang_up(near, far)

    def _is_wanted(self, data: bytes) -> bool:
        with self._lock:
            if self._times == self.cuts or not self._wanted.match(data):
                return False
            self.cuts += 1
            return True


def _nothing() -> None:
    pass


def _hang_up(*connections: socket.socket) -> None:
    for each in connections:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
