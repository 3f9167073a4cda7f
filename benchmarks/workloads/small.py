"""Many small files: the cost of a request dominates, not that of its bytes."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body, Connection
from benchmarks.measure import Cost, run_clients
from benchmarks.peers.base import Peer, Running
from benchmarks.peers.windlass import Windlass
from benchmarks.workloads.base import LARGEST, TOTAL, Column, Source, Workload

SIZE = 10 * 1024
CLIENTS = 16


#: The dialects of a file in one request, the one that costs least first.
ONE_REQUEST = ("raw", "tus, one request")


class Small(Workload):
    key = "small"
    title = "Many small files"
    columns: ClassVar = (
        Column("files_per_second", "files/s", 0),
        Column("server_cpu_ms_per_file", "server CPU ms/file", 2),
        LARGEST,
        TOTAL,
        Column("client_cpu_ms_per_file", "client CPU ms/file", 2),
    )

    def comparable(self, peer: Peer) -> list[str]:
        """The usual one, and a file in one request."""
        return [*super().comparable(peer), *[name for name in ONE_REQUEST if name in peer.dialects][:1]]

    def describe(self) -> str:
        return f"{self.scale.small} files of {SIZE // 1024} KiB from {CLIENTS} clients with kept-alive connections"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        count = self.scale.small
        cost = _send_all(server, dialect, self.source, count)
        return {
            **cost.figures(),
            "files_per_second": count / cost.seconds,
            "server_cpu_ms_per_file": cost.server_cpu_seconds * 1000 / count,
            "client_cpu_ms_per_file": cost.client_cpu_seconds * 1000 / count,
        }


class Processed(Workload):
    """The same load until every file is processed: the speed of the workers."""

    key = "processed"
    title = "Many small files until processed"
    columns: ClassVar = (
        Column("files_per_second", "files/s", 1),
        Column("server_cpu_ms_per_file", "server CPU ms/file", 1),
    )

    def dialects(self, peer: Peer) -> list[str]:
        return ["raw"] if isinstance(peer, Windlass) else []

    def describe(self) -> str:
        return f"{self.scale.processed} files of {SIZE // 1024} KiB, from the first request until every file is READY"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        count = self.scale.processed
        cpu, started = server.tree.cpu_seconds(), time.monotonic()
        _send_all(server, dialect, self.source, count)
        with Connection(server.port) as connection:
            server.peer.wait_until_processed(connection)
        return {
            "files_per_second": count / (time.monotonic() - started),
            "server_cpu_ms_per_file": (server.tree.cpu_seconds() - cpu) * 1000 / count,
        }


def _send_all(server: Running, dialect: Dialect, source: Source, count: int) -> Cost:
    with source.path.open("rb") as file:
        content = file.read(SIZE)
    clients = [partial(_client, server, dialect, content, range(first, count, CLIENTS)) for first in range(CLIENTS)]
    return run_clients(server.tree, clients)


def _client(server: Running, dialect: Dialect, content: bytes, numbers: range) -> None:
    with Connection(server.port) as connection:
        for number in numbers:
            # The first bytes make every file different.
            body = Body(head=f"{number:08}".encode() + content[8:])
            dialect(connection, server.peer.base, body, f"small-{number}.bin")
