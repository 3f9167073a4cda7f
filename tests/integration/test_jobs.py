"""Jobs as rows: whatever bells do, a job is claimed by one worker at a time, fenced, retried, and never forgotten."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction

from tests import django_home, racers

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.jobs import api as jobs  # noqa: E402
from windlass.jobs import wake  # noqa: E402
from windlass.jobs.api import AttemptOutcome, Job, JobState, Stage  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations.watchdog import Attendance, Watchdog  # noqa: E402


@pytest.fixture(scope="module")
def home() -> Path:
    return django_home.migrated()


@pytest.fixture(autouse=True)
def _alone(home: Path) -> Iterator[None]:
    """Each test begins without jobs and without bells."""
    Job.objects.all().delete()
    yield
    Job.objects.all().delete()


def new_job(stage: Stage = Stage.INTAKE) -> Job:
    return jobs.enqueue(stage, uuid.uuid4())


def claimed(job: Job) -> jobs.Claim:
    held = jobs.claim(job.id, "worker-1")
    assert held is not None
    return held


def make_due(job: Job) -> None:
    Job.objects.filter(id=job.id).update(due_at=now() - timedelta(seconds=1))


def rung_ago(job: Job, *, seconds: float, due_ago: float) -> None:
    moment = now()
    Job.objects.filter(id=job.id).update(
        rung_at=moment - timedelta(seconds=seconds), due_at=moment - timedelta(seconds=due_ago)
    )


# One claim


def test_of_threads_that_claim_at_once_one_gets_the_job() -> None:
    job = new_job()
    barrier, won = threading.Barrier(8), []

    def race(number: int) -> None:
        barrier.wait()
        held = jobs.claim(job.id, f"thread-{number}")
        if held:
            won.append(held)
        connections.close_all()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    job.refresh_from_db()
    assert (job.state, job.attempts, job.lease_holder) == (JobState.RUNNING, 1, won[0].holder)
    assert job.attempt_log.count() == 1


def test_of_processes_that_claim_at_once_one_gets_the_job() -> None:
    job = new_job()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(3) as pool:
        barrier = manager.Barrier(3)
        epochs = pool.starmap(racers.claim, [(str(job.id), f"process-{n}", barrier) for n in range(3)], chunksize=1)
    assert sorted(epochs) == [0, 0, 1]


def test_a_second_bell_claims_nothing() -> None:
    job = new_job()
    held = claimed(job)
    assert jobs.claim(job.id, "worker-2") is None
    jobs.finish(held)
    assert jobs.claim(job.id, "worker-2") is None
    assert jobs.claim(uuid.uuid4(), "worker-2") is None, "a bell for a job that is gone"


def test_asking_twice_for_a_stage_of_a_run_makes_one_job() -> None:
    first = new_job()
    assert jobs.enqueue(Stage.INTAKE, first.file_id).id == first.id
    assert jobs.enqueue(Stage.INTAKE, first.file_id, run=2).id != first.id


# Fencing


def test_who_lost_a_job_is_fenced_whatever_it_tries() -> None:
    job = new_job()
    late = claimed(job)
    Job.objects.filter(id=job.id).update(lease_until=now() - timedelta(seconds=1))
    (lapsed,) = jobs.lapsed()
    assert jobs.take_back(lapsed) is True
    current = claimed(job)
    assert (current.epoch, current.attempt) == (3, 2)
    for effect in (
        lambda: jobs.keep(late),
        lambda: jobs.finish(late),
        lambda: jobs.bury(late, "late"),
        lambda: jobs.postpone(late, "late", 1),
        lambda: jobs.retry_later(late, "late"),
    ):
        with pytest.raises(jobs.Fenced):
            effect()
    jobs.finish(current)
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert [a.outcome for a in job.attempt_log.all()] == [AttemptOutcome.LOST, AttemptOutcome.DONE]


def test_a_file_that_is_withdrawn_fences_whoever_works_on_it() -> None:
    job = new_job()
    held = claimed(job)
    assert jobs.cancel_of_file(job.file_id) == 1
    with pytest.raises(jobs.Fenced):
        jobs.keep(held)
    assert jobs.claim(job.id, "worker-2") is None


# Leases


def test_a_heartbeat_keeps_a_job_from_lapsing() -> None:
    job = new_job()
    held = claimed(job)
    Job.objects.filter(id=job.id).update(lease_until=now() - timedelta(seconds=1))
    jobs.keep(held)
    assert jobs.lapsed() == []


def test_a_job_is_taken_back_once_and_not_after_it_moved_on() -> None:
    job = new_job()
    claimed(job)
    stale = Job.objects.get(id=job.id)
    assert jobs.take_back(stale) is True
    assert jobs.take_back(stale) is None


def test_what_a_restarted_worker_held_is_known_by_its_name() -> None:
    mine, other = new_job(), new_job()
    jobs.claim(mine.id, "worker-a")
    jobs.claim(other.id, "worker-b")
    assert [job.id for job in jobs.held_by("worker-a")] == [mine.id]


# Attempts


def test_retries_wait_twice_as_long_each_time_and_end() -> None:
    job = new_job()
    waits = []
    for attempt in range(1, job.max_attempts + 1):
        held = claimed(job)
        assert held.attempt == attempt
        again = jobs.retry_later(held, ValueError("no"), step="type")
        job.refresh_from_db()
        if again:
            waits.append((job.due_at - now()).total_seconds())
            assert jobs.claim(job.id, "worker-1") is None, "not before it is due"
            make_due(job)
    assert held.last_attempt
    assert not again
    backoff = conf.get().job_backoff_seconds
    assert waits == [pytest.approx(backoff * 2**n, abs=backoff / 2) for n in range(job.max_attempts - 1)]
    jobs.bury(held, ValueError("no"), step="type")
    job.refresh_from_db()
    assert (job.state, job.last_error) == (JobState.DEAD, "no")
    log = list(job.attempt_log.all())
    assert [a.number for a in log] == list(range(1, job.max_attempts + 1))
    assert {(a.outcome, a.error_class, a.message, a.step) for a in log} == {
        (AttemptOutcome.FAILED, "ValueError", "no", "type")
    }


def test_a_job_that_keeps_killing_its_worker_ends_as_a_dead_letter() -> None:
    job = new_job()
    for attempt in range(1, job.max_attempts + 1):
        claimed(job)
        job.refresh_from_db()
        assert jobs.take_back(job) is (attempt < job.max_attempts)
    job.refresh_from_db()
    assert job.state == JobState.DEAD
    assert set(job.attempt_log.values_list("outcome", flat=True)) == {AttemptOutcome.LOST}


def test_postponing_uses_up_no_attempt() -> None:
    job = new_job()
    jobs.postpone(claimed(job), "the scanner is away", 60)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.rung_at) == (JobState.QUEUED, 0, None)
    assert (job.due_at - now()).total_seconds() > 30
    make_due(job)
    assert claimed(job).attempt == 1


# Bells


def bells(home: Path) -> list[str]:
    """The ids of the jobs that the embedded broker has a message for."""
    folder = home / "broker" / "intake"
    texts = [path.read_text() for path in folder.glob("*.msg")] if folder.exists() else []
    return [str(job.id) for job in Job.objects.all() if any(str(job.id) in text for text in texts)]


def wait_for_bells() -> None:
    """Until the thread that rings has nothing in hand."""
    wake._ringer()._bells.join()


def silence(home: Path) -> None:
    """Lose every bell."""
    wait_for_bells()
    for path in (home / "broker").glob("*/*.msg"):
        path.unlink()


def test_a_bell_rings_when_the_job_is_committed_and_not_before(home: Path) -> None:
    wake.warm_up()
    with transaction.atomic():
        job = new_job()
        assert bells(home) == []
    wait_for_bells()
    assert bells(home) == [str(job.id)]


def test_a_lost_bell_rings_again(home: Path) -> None:
    job = new_job()
    silence(home)
    assert jobs.ring_due(again_after=2) == 0, "the first may still be on its way"
    rung_ago(job, seconds=3, due_ago=3)
    assert jobs.ring_due(again_after=2) == 1
    assert bells(home) == [str(job.id)]


def test_pauses_between_bells_double_so_that_a_long_queue_does_not_fill_the_broker() -> None:
    job = new_job()
    rung_ago(job, seconds=10, due_ago=60)
    assert jobs.ring_due(again_after=2) == 0, "it rang 50 s after it was due, so the next comes 50 s later"
    rung_ago(job, seconds=51, due_ago=100)
    assert jobs.ring_due(again_after=2) == 1


def test_the_pause_between_bells_has_an_end() -> None:
    job = new_job()
    rung_ago(job, seconds=121, due_ago=100_000)
    assert jobs.ring_due(again_after=2) == 1


def test_a_retry_is_rung_for_when_it_is_due(home: Path) -> None:
    job = new_job()
    jobs.retry_later(claimed(job), "no")
    silence(home)
    assert jobs.ring_due(again_after=2) == 0
    make_due(job)
    assert jobs.ring_due(again_after=2) == 1
    assert bells(home) == [str(job.id)]


AWAY = """
import time, uuid
import django; django.setup()
from windlass.jobs import api as jobs
from windlass.jobs.api import Job, Stage
started = time.monotonic()
made = [jobs.enqueue(Stage.INTAKE, uuid.uuid4()) for _ in range(20)]
assert time.monotonic() - started < 5, "an upload waited for the broker"
Job.objects.filter(id__in=[job.id for job in made]).update(rung_at=None)
assert jobs.ring_due(again_after=0) == 0
assert Job.objects.filter(id=made[0].id, rung_at=None).exists(), "a bell counts as rung only if it rang"
Job.objects.filter(id__in=[job.id for job in made]).delete()
"""


def in_another_process(code: str, **environment: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


def test_a_broker_that_is_away_neither_fails_nor_holds_up_the_caller() -> None:
    """Port 9 of this machine discards, where anything listens there at all."""
    in_another_process(AWAY, CELERY_BROKER_URL="redis://127.0.0.1:9/0")


EAGER = """
import uuid
import django; django.setup()
from django.db import transaction
from windlass.jobs import api as jobs
from windlass.jobs.api import Job, JobState, Stage
with transaction.atomic():
    job = jobs.enqueue(Stage.INTAKE, uuid.uuid4())
    assert Job.objects.get(id=job.id).attempts == 0, "it ran before its transaction was committed"
found = Job.objects.filter(id=job.id).first()
assert found is None or found.state != JobState.QUEUED, found
if found: found.delete()
"""


def test_eager_mode_runs_the_job_in_the_call_that_makes_it() -> None:
    in_another_process(EAGER, CELERY_TASK_ALWAYS_EAGER="true")


LAZY = """
import sys
import django; django.setup()
from windlass.jobs import api
assert "celery" not in sys.modules and "kombu" not in sys.modules
"""


def test_a_process_that_has_rung_for_nothing_has_not_loaded_celery() -> None:
    in_another_process(LAZY)


# The watchdog


@pytest.fixture
def done() -> list[str]:
    """What a watchdog had done."""
    return []


def watchdog(done: list[str], attendance: Attendance, stages: Sequence[Stage] = tuple(Stage)) -> Watchdog:
    attendance.heard_at = now() - timedelta(minutes=5)
    return Watchdog(
        attendance, stages, reconnect=lambda: done.append("reconnect"), give_up=lambda: done.append("give up")
    )


def miss_two(dog: Watchdog, job: Job) -> None:
    for seconds in (60, 20):
        rung_ago(job, seconds=seconds, due_ago=90)
        dog.look()


def test_a_worker_that_misses_two_notifications_while_idle_connects_anew(done: list[str]) -> None:
    dog, job = watchdog(done, Attendance()), new_job()
    rung_ago(job, seconds=60, due_ago=90)
    dog.look()
    dog.look()
    assert done == [], "one lost notification proves nothing"
    rung_ago(job, seconds=20, due_ago=90)
    dog.look()
    assert done == ["reconnect"]


def test_a_worker_that_gets_none_after_that_either_is_given_up(done: list[str], monkeypatch: Any) -> None:
    attendance = Attendance()
    dog, job = watchdog(done, attendance), new_job()
    miss_two(dog, job)
    later = now() + timedelta(minutes=5)
    monkeypatch.setattr("windlass.operations.watchdog.now", lambda: later)
    for seconds in (-240, -280):
        rung_ago(job, seconds=seconds, due_ago=90)
        dog.look()
    assert done == ["reconnect", "give up"]


def test_a_worker_that_got_one_since_is_not_given_up(done: list[str], monkeypatch: Any) -> None:
    attendance = Attendance()
    dog, job = watchdog(done, attendance), new_job()
    miss_two(dog, job)
    with attendance.job():
        pass
    attendance.heard_at = now() - timedelta(minutes=5)
    miss_two(dog, job)
    assert done == ["reconnect", "reconnect"]


def test_nothing_is_judged_while_the_broker_is_away(done: list[str], monkeypatch: Any) -> None:
    def refused() -> str:
        raise ConnectionRefusedError

    dog, job = watchdog(done, Attendance()), new_job()
    monkeypatch.setattr(jobs, "check_broker", refused)
    miss_two(dog, job)
    monkeypatch.undo()
    rung_ago(job, seconds=15, due_ago=90)
    dog.look()
    assert done == []


def test_a_worker_that_gets_them_or_is_busy_is_left_alone(done: list[str]) -> None:
    attendance = Attendance()
    dog, job = watchdog(done, attendance), new_job()
    rung_ago(job, seconds=60, due_ago=90)
    dog.look()
    with attendance.job():
        attendance.heard_at = now() - timedelta(minutes=5)
        rung_ago(job, seconds=30, due_ago=90)
        dog.look()
        assert not attendance.idle
    rung_ago(job, seconds=20, due_ago=90)
    dog.look()
    assert done == [], "it got one just now"


def test_a_notification_of_another_stage_is_not_missed(done: list[str]) -> None:
    dog = watchdog(done, Attendance(), [Stage.DERIVE])
    job = new_job(Stage.INTAKE)
    for seconds in (60, 40, 20):
        rung_ago(job, seconds=seconds, due_ago=90)
        dog.look()
    assert done == []


def test_stages_that_were_gone_through_under_one_lease_have_jobs_in_the_end() -> None:
    held, moment = claimed(new_job()), now()
    begun = [jobs.Begun(Stage.DESCRIBE, moment), jobs.Begun(Stage.DERIVE, moment + timedelta(milliseconds=5))]
    with transaction.atomic():
        following = jobs.hand_on(held, begun)
    states = dict(Job.objects.filter(file_id=held.file_id).values_list("stage", "state"))
    assert states == {"intake": JobState.DONE, "describe": JobState.DONE, "derive": JobState.RUNNING}
    assert following.stage == Stage.DERIVE
    assert jobs.holds(following)
    assert not jobs.holds(held)
    with transaction.atomic():
        jobs.finish(following)
    for job in Job.objects.filter(file_id=held.file_id):
        assert [attempt.outcome for attempt in job.attempt_log.all()] == [AttemptOutcome.DONE]


def test_who_was_fenced_hands_nothing_on() -> None:
    held = claimed(new_job())
    jobs.cancel_of_file(held.file_id)
    with pytest.raises(jobs.Fenced), transaction.atomic():
        jobs.hand_on(held, [jobs.Begun(Stage.DESCRIBE, now())])
    assert Job.objects.filter(file_id=held.file_id).count() == 1


def test_a_job_that_its_holder_has_ended_is_not_lost() -> None:
    """Its lease may be looked at in the moment in which the worker goes on to the next stage."""
    mine, taken = claimed(new_job()), claimed(new_job())
    with transaction.atomic():
        jobs.finish(mine)
    jobs.cancel_of_file(taken.file_id)
    assert jobs.keep_all([mine, taken]) == [taken]
