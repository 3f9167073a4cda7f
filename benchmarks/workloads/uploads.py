"""Large uploads: one, and many at once."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body, Connection
from benchmarks.measure import GIB, MIB, run_clients
from benchmarks.peers.base import Peer, Running
from benchmarks.workloads.base import CLIENT_CPU, CPU, LARGEST, TOTAL, Column, Workload, per_gib

SPEED = Column("mib_per_second", "MiB/s", 0)
# Peers only store the file. Windlass also processes it, and that cost must be shown.
CPU_UNTIL_PROCESSED = Column("settled_cpu_per_gib", "CPU s/GiB until processed", 2)


def send(port: int, base: str, dialect: Dialect, body: Body, name: str) -> None:
    """Upload one file over a new connection."""
    with Connection(port) as connection:
        dialect(connection, base, body, name)


class Uploads(Workload):
    """Uploads a number of large files at the same time."""

    columns: ClassVar = (SPEED, CPU, CPU_UNTIL_PROCESSED, LARGEST, TOTAL, CLIENT_CPU)

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of files."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of each file."""

    def dialects(self, peer: Peer) -> list[str]:
        # For a large file, one request or two makes no difference.
        return [name for name in peer.dialects if name != "tus, one request"]

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        before = server.tree.cpu_seconds()
        cost = run_clients(server.tree, [partial(self._client, server, dialect, index) for index in range(self.count)])
        with Connection(server.port) as connection:
            server.peer.wait_until_processed(connection)
        settled = server.tree.cpu_seconds() - before
        total = self.count * self.size
        return {**per_gib(cost.figures(), total), "settled_cpu_per_gib": settled * GIB / total}

    def _client(self, server: Running, dialect: Dialect, index: int) -> None:
        # Each file starts at another offset of the source, so that no two are the same.
        offset = (self.source.size - self.size) * index // max(self.count - 1, 1)
        send(server.port, server.peer.base, dialect, self.source.piece(offset, self.size), f"large-{index}.bin")


class Single(Uploads):
    key = "single"
    title = "One large upload"

    @property
    def count(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return self.scale.large

    def describe(self) -> str:
        return f"one client, one file of {self.size // MIB} MiB"


class Parallel(Uploads):
    key = "parallel"
    title = "Many large uploads at once"

    @property
    def count(self) -> int:
        return self.scale.parallel

    @property
    def size(self) -> int:
        return self.scale.parallel_size

    def dialects(self, peer: Peer) -> list[str]:
        return super().dialects(peer)[:1]

    def describe(self) -> str:
        return f"{self.count} clients at once, each one file of {self.size // MIB} MiB"
