"""A TCP relay in front of a server: it cuts connections, leaves them half-open, dies, and changes its upstream."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

BLOCK = 256 * 1024


class _Connection:
    """Two sockets and a thread for each direction. ``freeze``: nothing passes any more, and nobody is told."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._near, self._far = near, far
        self._frozen = threading.Event()
        self._open = 2

    def start(self) -> None:
        for source, target in ((self._near, self._far), (self._far, self._near)):
            threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def freeze(self) -> None:
        self._frozen.set()

    def reset(self) -> None:
        """Close both sides with RST."""
        for each in (self._near, self._far):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
            each.close()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                if not self._frozen.is_set():
                    target.sendall(data)
        if not self._frozen.is_set():
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)


class Relay:
    """Listens on a port of its own, which it keeps through any number of ends and starts."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self._connections: list[_Connection] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start_accepting(self._listener)

    @property
    def is_listening(self) -> bool:
        return self._listener is not None

    def cut(self) -> int:
        """Reset every connection; returns how many there were."""
        with self._lock:
            connections, self._connections = self._connections, []
        for each in connections:
            each.reset()
        return len(connections)

    def freeze(self) -> None:
        """Leave every connection half-open: both ends keep it, and nothing passes."""
        with self._lock:
            for each in self._connections:
                each.freeze()

    def kill(self) -> None:
        """Stop listening and reset everything, as a proxy that died."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def start(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._start_accepting(self._listener)

    def _start_accepting(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
        except OSError:
            near.close()
            return
        for each in (near, far):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(near, far)
        with self._lock:
            self._connections.append(connection)
        connection.start()
