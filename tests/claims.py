"""Claim a job in a transaction of its own, as a worker does at the start of a run."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windlass.jobs.api import Claim


def try_claim(job_id: uuid.UUID, holder: str) -> Claim | None:
    """Return the claim; None if the job cannot be claimed."""
    from windlass.database.connection import atomic
    from windlass.jobs import api as jobs

    claim = jobs.find_claimable(job_id, holder)
    if claim is None:
        return None
    try:
        with atomic():
            jobs.acquire(claim)
    except jobs.LeaseLost:
        return None
    return claim
