"""One large download."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Connection, UnexpectedReplyError
from benchmarks.measure import MIB, run_clients
from benchmarks.peers.base import Peer, Running
from benchmarks.workloads.base import CLIENT_CPU, CPU, LARGEST, TOTAL, Column, Workload, per_gib


class Download(Workload):
    key = "download"
    title = "One large download"
    setups: ClassVar = ("alone", "proxied")
    columns: ClassVar = (Column("mib_per_second", "MiB/s", 0), CPU, LARGEST, TOTAL, CLIENT_CPU)

    def dialects(self, peer: Peer) -> list[str]:
        # The dialect of the upload makes no difference to the download.
        return list(peer.dialects)[:1] if peer.downloads else []

    def describe(self) -> str:
        return f"one client, one file of {self.scale.large // MIB} MiB that the server's page cache still holds"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        size = self.scale.large
        with Connection(server.port) as connection:
            path, reply = dialect(connection, server.peer.base, self.source.piece(0, size), "large.bin")
            path = server.peer.download_path(connection, path, reply)
            server.peer.wait_until_processed(connection)
        cost = run_clients(server.tree, [partial(_fetch, server.port, path)])
        if cost.results != [size]:
            raise UnexpectedReplyError(f"{cost.results} bytes came back of {size}")
        return per_gib(cost.figures(), size)


def _fetch(port: int, path: str) -> int:
    with Connection(port) as connection:
        return connection.download(path)
