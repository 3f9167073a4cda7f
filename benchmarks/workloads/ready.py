"""The time from the last byte of a picture to READY: everything checked and the thumbnail made."""

from __future__ import annotations

import statistics
import time
from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.http1 import Body, Connection
from benchmarks.peers.base import Peer, Running
from benchmarks.peers.windlass import Windlass
from benchmarks.workloads.base import Column, Workload

WIDTH, HEIGHT = 4000, 3000
POLL_SECONDS = 0.01


class Ready(Workload):
    key = "ready"
    title = "Last byte to READY"
    columns: ClassVar = (
        Column("ready_ms", "median ms", 0),
        Column("ready_worst_ms", "worst ms", 0),
        Column("picture_mib", "picture, MiB", 1),
    )
    more_is_better = False

    def dialects(self, peer: Peer) -> list[str]:
        return ["raw"] if isinstance(peer, Windlass) else []

    def describe(self) -> str:
        return f"{self.scale.pictures} JPEGs of about 2 MB ({WIDTH} x {HEIGHT}), one after the other"

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        peer = server.peer
        assert isinstance(peer, Windlass)
        pictures = [picture() for _ in range(self.scale.pictures)]
        waits = []
        with Connection(server.port) as connection:
            for number, content in enumerate(pictures):
                _, reply = dialect(connection, peer.base, Body(head=content), f"picture-{number}.jpg")
                sent = connection.sent_at
                peer.wait_until_ready(connection, peer.record_path(reply), poll_seconds=POLL_SECONDS)
                waits.append(time.monotonic() - sent)
        return {
            "ready_ms": statistics.median(waits) * 1000,
            "ready_worst_ms": max(waits) * 1000,
            "picture_mib": len(pictures[0]) / 1024**2,
        }


def picture() -> bytes:
    """Make a picture of a photograph's size: soft shapes with noise, never twice the same."""
    import pyvips  # imported here: it starts threads, and the clients of the other workloads are forked

    shapes = pyvips.Image.perlin(WIDTH, HEIGHT, cell_size=400).linear(60, 128)
    noise = pyvips.Image.gaussnoise(WIDTH, HEIGHT, sigma=7, mean=0)
    image = shapes.bandjoin([shapes.rot180(), shapes.fliphor()]) + noise
    encoded: bytes = image.cast("uchar").copy(interpretation="srgb").jpegsave_buffer(Q=80)
    return encoded
