"""A proxy that lets only so many bytes of uploads through until it is told to go on.

So a test acts while an upload is under way, however slow the machine is: the upload cannot end before.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

#: Bytes of one read; what a browser sends beside uploads comes in smaller ones.
BLOCK = 65536
SMALL = 8192


class HoldingProxy:
    """Forwards connections to a port of this machine. ``allowance``: bytes from clients until it holds, in all."""

    def __init__(self, upstream: int, allowance: int) -> None:
        self._upstream, self._allowance = upstream, allowance
        self._lock, self._released = threading.Lock(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        """Forward everything from now on."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                client.close()  # the server is being restarted
                continue
            for source, sink, holds in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=(source, sink, holds), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, holds: bool) -> None:
        try:
            while received := source.recv(BLOCK):
                if holds and len(received) > SMALL:
                    self._wait_for_allowance(len(received))
                sink.sendall(received)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # closing alone tells nobody while the other thread reads from it
                end.close()

    def _wait_for_allowance(self, size: int) -> None:
        with self._lock:
            self._allowance -= size
            is_allowed = self._allowance > 0
        if not is_allowed:
            self._released.wait()
