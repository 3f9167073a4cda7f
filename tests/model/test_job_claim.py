"""The claim of a job: two workers that were both notified, and the sweep that revokes claims of dead workers.

A worker finds the job, claims it in a transaction, works, and ends it in the transaction that records the result. It
may be killed or stopped before each step; the clock passes the end of its lease.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.model.explorer import Actor, Explored, Model, ModelClock, explore, point
from tests.model.tables import FirstRows, values
from tests.model.test_lease import BACK, moves_clock
from tests.process.consistency import RULES
from windlass import conf
from windlass.database.connection import atomic
from windlass.jobs import api as jobs
from windlass.jobs.api import Stage
from windlass.jobs.models import Job
from windlass.kernel.clock import now

JOB = uuid.UUID(int=9)
JOBS = "SELECT state, attempts, lease_holder, lease_epoch, lease_until, due_at FROM windlass_jobs_job"
ATTEMPTS = "SELECT number, epoch, worker, outcome FROM windlass_jobs_attempt ORDER BY id"
#: The rules of ``consistency`` that hold for jobs and attempts alone.
KEPT = [sql for sql in RULES.values() if "windlass_files" not in sql and "windlass_events" not in sql]


@dataclass
class Work:
    """``results``: whose result was recorded."""

    results: list[str] = field(default_factory=list)
    claims: dict[str, jobs.Claim | None] = field(default_factory=dict)

    @staticmethod
    def create() -> None:
        Job.objects.create(
            id=JOB, stage=Stage.INTAKE, file_id=uuid.UUID(int=1), due_at=now(), notified_at=now(), max_attempts=3
        )
        Job.objects.update(created_at=now(), updated_at=now())

    def run(self, name: str) -> None:
        claim = self.claims[name] = jobs.find_claimable(JOB, name)
        if claim is None:
            return
        try:
            with atomic():
                jobs.acquire(claim)
            point("work")
            with atomic():
                jobs.finish(claim)
        except jobs.LeaseLost:
            return
        self.results.append(name)

    def sweep(self) -> None:
        """As the scheduler does: correct times, and revoke claims that have expired."""
        jobs.correct_times_ahead()
        self.revoke()

    @staticmethod
    def revoke() -> None:
        for job in jobs.expired_claims():
            with atomic():
                jobs.revoke_claim(job)

    def memory(self, name: str) -> Callable[[], object]:
        return lambda: self.claims.get(name)

    def holds(self) -> None:
        """One result is recorded at most. A running job has one running attempt, under its epoch; every claim counts as
        one attempt; no two attempts have the same epoch."""
        assert len(self.results) <= 1, f"{self.results} have all recorded their result"
        for sql in KEPT:
            assert values(sql) == [], sql
        assert len(KEPT) >= 5

    def goes_on(self) -> None:
        """When everybody is gone, the sweep and a new worker end the job, though the clock was ahead meanwhile."""
        self.sweep()
        ModelClock.shift += timedelta(seconds=conf.get().job_lease_seconds + 1)
        self.sweep()
        self.run("z")
        self.holds()
        assert [row[0] for row in values(JOBS)] == ["done"], values(JOBS)
        assert len(self.results) == 1


def check(workers: str, *clock: timedelta) -> Explored:
    work, first = Work(), FirstRows(Work.create)

    def reset() -> list[Actor]:
        work.__init__()  # type: ignore[misc]
        first.restore()
        actors = [Actor(name, lambda name=name: work.run(name), name == "a", work.memory(name)) for name in workers]  # type: ignore[misc]
        return [*actors, *([Actor("sweep", work.revoke), moves_clock(*clock)] if clock else [])]

    def state() -> object:
        return values(JOBS), values(ATTEMPTS), work.results

    return explore(Model(reset, state, work.holds, work.goes_on))


LEASE_PASSED = timedelta(seconds=31)


@pytest.mark.parametrize(
    ("workers", "clock"),
    [("ab", (LEASE_PASSED,)), ("a", (-BACK, BACK)), ("abc", ())],
    ids=["a lease expires", "the clock is ahead for a while", "three workers"],
)
def test_a_job_is_done_once_and_is_not_stuck(workers: str, clock: tuple[timedelta, ...]) -> None:
    assert check(workers, *clock).states > 20
