"""Functions that tests run in several processes at once. Spawned processes import this module by name."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

STOP = b"stop"


def write_many(folder: str, writer: int, count: int) -> list[bytes]:
    """Put ``count`` messages of several pages each into the directory; return them."""
    from windlass.jobs.queue_directory import QueueDirectory

    directory = QueueDirectory(Path(folder))
    bodies = [b"%d-%d:" % (writer, number) * 2000 for number in range(count)]
    for body in bodies:
        directory.put(body)
    return bodies


def read_all(folder: str) -> list[bytes]:
    """Take messages until ``STOP``; return them."""
    from windlass.jobs.queue_directory import QueueDirectory

    directory = QueueDirectory(Path(folder))
    taken: list[bytes] = []
    while (body := directory.take()) != STOP:
        if body is not None:
            taken.append(body)
    return taken


def claim(job_id: str, holder: str, barrier: Any) -> int:
    """Claim a job at the same moment as the others; returns the epoch of the claim, or 0."""
    import django

    django.setup()
    from tests.claims import try_claim

    barrier.wait(60)
    held = try_claim(uuid.UUID(job_id), holder)
    return held.epoch if held else 0
