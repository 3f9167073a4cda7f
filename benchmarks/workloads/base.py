"""The interface of a workload: its scale, its source of bytes, its columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body
from benchmarks.measure import GIB, MIB
from benchmarks.peers.base import Peer, Running, Setup


@dataclass(frozen=True)
class Scale:
    """Amounts of the workloads. Results are recorded with `FULL`; `QUICK` shows that everything works."""

    rounds: int
    large: int
    parallel: int
    parallel_size: int
    bucket_parallel: int
    small: int
    processed: int
    pictures: int
    mixed: int
    each_kind: int

    @property
    def largest_sample(self) -> int:
        """More bytes than any sample writes."""
        return 3 * self.large


FULL = Scale(
    rounds=3,
    large=GIB,
    parallel=32,
    parallel_size=64 * MIB,
    bucket_parallel=4,
    small=2000,
    processed=400,
    pictures=10,
    mixed=500,
    each_kind=15,
)
QUICK = Scale(
    rounds=1,
    large=32 * MIB,
    parallel=2,
    parallel_size=8 * MIB,
    bucket_parallel=2,
    small=100,
    processed=20,
    pictures=1,
    mixed=8,
    each_kind=1,
)


@dataclass(frozen=True)
class Source:
    """A file of random bytes: read from the page cache and not compressible."""

    path: Path
    size: int

    def piece(self, offset: int, count: int) -> Body:
        return Body(path=self.path, offset=offset, count=count)


@dataclass(frozen=True)
class Column:
    """A figure that a workload reports."""

    key: str
    title: str
    digits: int = 1


CPU = Column("server_cpu_per_gib", "server CPU s/GiB", 2)
CLIENT_CPU = Column("client_cpu_per_gib", "client CPU s/GiB", 2)
LARGEST = Column("peak_largest_mib", "peak RSS, largest process, MiB", 0)
TOTAL = Column("peak_total_mib", "peak RSS, all processes, MiB", 0)


class Workload(ABC):
    """One kind of load. The first of `columns` is what the plot shows."""

    key: ClassVar[str]
    title: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    more_is_better: ClassVar[bool] = True
    setups: ClassVar[tuple[Setup, ...]] = ("alone",)

    def __init__(self, scale: Scale, source: Source) -> None:
        self.scale = scale
        self.source = source

    def dialects(self, peer: Peer) -> list[str]:
        """Return the dialects in which the peer is measured; empty if the workload does not apply to it."""
        return list(peer.dialects)

    def comparable(self, peer: Peer) -> list[str]:
        """Return the peer's dialects that are compared with those of the other peers in the same place of their lists:
        here the usual one alone."""
        return self.dialects(peer)[:1]

    @abstractmethod
    def describe(self) -> str:
        """Describe the load with its figures."""

    @abstractmethod
    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        """Run the load on a server that has just been started; return the figures."""


def per_gib(figures: dict[str, float], size: int) -> dict[str, float]:
    """Return the figures with CPU per GiB and MiB per second added."""
    return {
        **figures,
        "mib_per_second": size / MIB / figures["seconds"],
        "server_cpu_per_gib": figures["server_cpu_seconds"] * GIB / size,
        "client_cpu_per_gib": figures["client_cpu_seconds"] * GIB / size,
    }
