"""Many small files, where what counts is what a request costs and not what a byte costs."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body, Connection
from benchmarks.measure import drive
from benchmarks.peers.base import Running
from benchmarks.workloads.base import LARGEST, TOTAL, Column, Workload

SIZE = 10 * 1024
CLIENTS = 16


class Small(Workload):
    key = "small"
    title = "Many small files"
    columns: ClassVar = (
        Column("files_per_second", "files/s", 0),
        Column("server_cpu_ms_per_file", "server CPU ms/file", 2),
        Column("settled_cpu_ms_per_file", "CPU ms/file until processed", 2),
        Column("settled_seconds", "s until all are processed", 1),
        LARGEST,
        TOTAL,
        Column("client_cpu_ms_per_file", "client CPU ms/file", 2),
    )

    def describe(self) -> str:
        return f"{self.scale.small} files of {SIZE // 1024} KiB from {CLIENTS} clients with kept-alive connections"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        with self.source.path.open("rb") as file:
            content = file.read(SIZE)
        before = server.tree.cpu_seconds()
        cost = drive(server.tree, [partial(self._client, server, dialect, content, first) for first in range(CLIENTS)])
        settling = time.monotonic()
        with Connection(server.port) as connection:
            server.peer.settle(connection)
        count = self.scale.small
        return {
            **cost.figures(),
            "files_per_second": count / cost.seconds,
            "server_cpu_ms_per_file": cost.server_cpu_seconds * 1000 / count,
            "settled_cpu_ms_per_file": (server.tree.cpu_seconds() - before) * 1000 / count,
            "settled_seconds": cost.seconds + time.monotonic() - settling,
            "client_cpu_ms_per_file": cost.client_cpu_seconds * 1000 / count,
        }

    def _client(self, server: Running, dialect: Dialect, content: bytes, first: int) -> None:
        with Connection(server.port) as connection:
            for number in range(first, self.scale.small, CLIENTS):
                # Its own first bytes make every file another file.
                body = Body(head=f"{number:08}".encode() + content[8:])
                dialect(connection, server.peer.base, body, f"small-{number}.bin")
