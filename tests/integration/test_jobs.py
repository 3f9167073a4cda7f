"""Jobs: with any loss of notifications, a job is claimed by one worker at a time, fenced, retried and never lost."""

from __future__ import annotations

import base64
import json
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

from tests import child_functions, django_home
from tests.claims import try_claim

django_home.set_up()

from windlass import conf  # noqa: E402  after Django
from windlass.jobs import api as jobs  # noqa: E402
from windlass.jobs import notify  # noqa: E402
from windlass.jobs.api import AttemptOutcome, Job, JobState, Stage  # noqa: E402
from windlass.jobs.embedded_messages import EmbeddedSender  # noqa: E402
from windlass.jobs.pacing import next_due_time  # noqa: E402
from windlass.jobs.queue_directory import PIPES  # noqa: E402
from windlass.jobs.states import CostClass, Queue  # noqa: E402
from windlass.kernel import named_pipes  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations.watchdog import Watchdog, WorkerActivity  # noqa: E402


@pytest.fixture(scope="module")
def home() -> Path:
    return django_home.migrated()


@pytest.fixture(autouse=True)
def _alone(home: Path) -> Iterator[None]:
    """Each test starts without jobs."""
    Job.objects.all().delete()
    yield
    Job.objects.all().delete()


def new_job(stage: Stage = Stage.INTAKE) -> Job:
    return jobs.enqueue(stage, uuid.uuid4())


def claimed(job: Job) -> jobs.Claim:
    claim = try_claim(job.id, "worker-1")
    assert claim is not None
    return claim


def make_due(job: Job) -> None:
    Job.objects.filter(id=job.id).update(due_at=now() - timedelta(seconds=1))


def notified_ago(job: Job, *, seconds: float, due_ago: float) -> None:
    moment = now()
    Job.objects.filter(id=job.id).update(
        notified_at=moment - timedelta(seconds=seconds), due_at=moment - timedelta(seconds=due_ago)
    )


# One claim


def test_one_of_several_threads_gets_the_job() -> None:
    job = new_job()
    barrier, won = threading.Barrier(8), []

    def race(number: int) -> None:
        barrier.wait()
        claim = try_claim(job.id, f"thread-{number}")
        if claim:
            won.append(claim)
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


@pytest.mark.slow
def test_one_of_several_processes_gets_the_job() -> None:
    job = new_job()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(3) as pool:
        barrier = manager.Barrier(3)
        epochs = pool.starmap(
            child_functions.claim, [(str(job.id), f"process-{n}", barrier) for n in range(3)], chunksize=1
        )
    assert sorted(epochs) == [0, 0, 1]


def test_a_second_notification_claims_nothing() -> None:
    job = new_job()
    claim = claimed(job)
    assert try_claim(job.id, "worker-2") is None
    jobs.finish(claim)
    assert try_claim(job.id, "worker-2") is None
    assert try_claim(uuid.uuid4(), "worker-2") is None, "a notification of a deleted job"


def test_enqueuing_a_stage_of_a_run_twice_creates_one_job() -> None:
    first = new_job()
    assert jobs.enqueue(Stage.INTAKE, first.file_id).id == first.id
    assert jobs.enqueue(Stage.INTAKE, first.file_id, run=2).id != first.id


# Fencing


def test_a_worker_that_lost_its_lease_cannot_change_the_job() -> None:
    job = new_job()
    late = claimed(job)
    Job.objects.filter(id=job.id).update(lease_until=now() - timedelta(seconds=1))
    (expired,) = jobs.expired_claims()
    assert jobs.revoke_claim(expired) is True
    current = claimed(job)
    assert (current.epoch, current.attempt) == (3, 2)
    for effect in (
        lambda: jobs.renew_lease(late),
        lambda: jobs.finish(late),
        lambda: jobs.dead_letter(late, "late"),
        lambda: jobs.postpone(late, "late", 1),
        lambda: jobs.retry_later(late, "late"),
    ):
        with pytest.raises(jobs.LeaseLost):
            effect()
    jobs.finish(current)
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert [a.outcome for a in job.attempt_log.all()] == [AttemptOutcome.LOST, AttemptOutcome.DONE]


def test_the_worker_of_a_withdrawn_file_loses_its_lease() -> None:
    job = new_job()
    claim = claimed(job)
    assert jobs.cancel_of_file(job.file_id) == 1
    with pytest.raises(jobs.LeaseLost):
        jobs.renew_lease(claim)
    assert try_claim(job.id, "worker-2") is None


# Leases


def test_renewing_a_lease_keeps_it_from_expiring() -> None:
    job = new_job()
    claim = claimed(job)
    Job.objects.filter(id=job.id).update(lease_until=now() - timedelta(seconds=1))
    jobs.renew_lease(claim)
    assert jobs.expired_claims() == []


def test_jobs_that_were_written_while_the_clock_was_ahead_are_corrected() -> None:
    """A job that waits keeps its delay; a lease becomes a whole one from now. Others stay as they are."""
    waiting, running, postponed = (new_job() for _ in range(3))
    ahead = now() + timedelta(hours=1)
    Job.objects.filter(id=waiting.id).update(due_at=ahead + timedelta(seconds=20), updated_at=ahead)
    assert try_claim(running.id, "worker")
    Job.objects.filter(id=running.id).update(lease_until=ahead)
    Job.objects.filter(id=postponed.id).update(due_at=ahead)
    assert jobs.correct_times_ahead() == 2
    for job in (waiting, running, postponed):
        job.refresh_from_db()
    assert timedelta(seconds=10) < waiting.due_at - now() <= timedelta(seconds=20)
    assert running.lease_until is not None
    assert running.lease_until - now() <= timedelta(seconds=conf.get().job_lease_seconds)
    assert postponed.due_at == ahead
    assert jobs.correct_times_ahead() == 0


@pytest.mark.parametrize("column", ["retry_due_at", "backfill_due_at"])
def test_jobs_at_a_pace_do_not_follow_times_that_a_wrong_clock_wrote(column: str) -> None:
    """A chaos run found files that waited for an hour: dead letters were retried while the clock was ahead, and those
    retried later queued up behind them."""
    done, running, corrected, ahead = (new_job() for _ in range(4))
    hour = now() + timedelta(hours=1)
    paced, pause = Job.objects.all(), timedelta(seconds=10)
    Job.objects.filter(id=done.id).update(state=JobState.DONE, due_at=hour, **{column: hour})
    Job.objects.filter(id=running.id).update(state=JobState.RUNNING, due_at=hour, **{column: hour})
    Job.objects.filter(id=corrected.id).update(due_at=now(), **{column: hour})
    Job.objects.filter(id=ahead.id).update(due_at=hour, updated_at=hour, **{column: hour})
    assert next_due_time(paced, column, pause) <= now()
    waiting = new_job()
    Job.objects.filter(id=waiting.id).update(due_at=hour, **{column: hour})
    assert next_due_time(paced, column, pause) == hour + pause, "behind one that waits for its turn"


def test_a_claim_is_revoked_once_and_not_after_the_job_changed() -> None:
    job = new_job()
    claimed(job)
    stale = Job.objects.get(id=job.id)
    assert jobs.revoke_claim(stale) is True
    assert jobs.revoke_claim(stale) is None


def test_the_jobs_of_a_restarted_worker_are_found_by_its_name() -> None:
    mine, other = new_job(), new_job()
    try_claim(mine.id, "worker-a")
    try_claim(other.id, "worker-b")
    assert [job.id for job in jobs.running_jobs_of("worker-a")] == [mine.id]


# Attempts


def test_retries_back_off_exponentially_and_end() -> None:
    job = new_job()
    waits = []
    for attempt in range(1, job.max_attempts + 1):
        claim = claimed(job)
        assert claim.attempt == attempt
        again = jobs.retry_later(claim, ValueError("no"), step="type")
        job.refresh_from_db()
        if again:
            waits.append((job.due_at - now()).total_seconds())
            assert try_claim(job.id, "worker-1") is None, "not before it is due"
            make_due(job)
    assert claim.last_attempt
    assert not again
    backoff = conf.get().job_backoff_seconds
    assert waits == [pytest.approx(backoff * 2**n, abs=backoff / 2) for n in range(job.max_attempts - 1)]
    jobs.dead_letter(claim, ValueError("no"), step="type")
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
        assert jobs.revoke_claim(job) is (attempt < job.max_attempts)
    job.refresh_from_db()
    assert job.state == JobState.DEAD
    assert set(job.attempt_log.values_list("outcome", flat=True)) == {AttemptOutcome.LOST}


def test_postponing_uses_up_no_attempt() -> None:
    job = new_job()
    jobs.postpone(claimed(job), "the scanner is away", 60)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.notified_at) == (JobState.QUEUED, 0, None)
    assert (job.due_at - now()).total_seconds() > 30
    make_due(job)
    assert claimed(job).attempt == 1


# Notifications


def messages(home: Path) -> list[str]:
    """The ids of the jobs that the embedded broker has a message for."""
    folder = home / "broker" / "intake"
    texts = [path.read_text() for path in folder.glob("*.msg")] if folder.exists() else []
    return [str(job.id) for job in Job.objects.all() if any(str(job.id) in text for text in texts)]


def wait_until_sent() -> None:
    """Wait until the notifier's thread has nothing left to send."""
    notify._notifier()._waiting.join()


def lose_messages(home: Path) -> None:
    """Delete every message of the embedded broker."""
    wait_until_sent()
    for path in (home / "broker").glob("*/*.msg"):
        path.unlink()


def test_workers_are_notified_when_the_job_is_committed_and_not_before(home: Path) -> None:
    notify.connect_broker()
    with transaction.atomic():
        job = new_job()
        assert messages(home) == []
    wait_until_sent()
    assert messages(home) == [str(job.id)]


def test_notifications_without_celery_are_the_messages_of_celery(home: Path) -> None:
    job_id, queue = uuid.uuid4(), Queue(Stage.DERIVE, CostClass.HEAVY)
    lose_messages(home)
    notify._make_app.cache_clear()  # that of another test may have another home
    for sender in (notify._CelerySender(), EmbeddedSender(home / "broker", notify.TASK)):
        sender.publish(job_id, queue)
        sender.close()
    theirs, ours = (_comparable(path) for path in sorted((home / "broker" / queue.name).glob("*.msg")))
    assert ours == theirs
    lose_messages(home)


def test_workers_are_woken_once_for_several_notifications(home: Path) -> None:
    wait_until_sent()
    pipe = named_pipes.Pipe(home / "broker" / PIPES)
    try:
        assert notify.send_now([(uuid.uuid4(), Queue(Stage.DERIVE, CostClass.HEAVY)) for _ in range(3)]) == 3
        assert os.read(pipe._descriptor, 16) == b"\0"
        notify.notify_workers(uuid.uuid4(), Queue(Stage.DERIVE, CostClass.HEAVY))
        assert pipe.wait(30)
    finally:
        pipe.close()
        lose_messages(home)


def _comparable(path: Path) -> Any:
    """The message, with a word for each id that is made for it alone."""
    message = json.loads(path.read_text())
    task_id, tag = message["headers"]["id"], message["properties"]["delivery_tag"]
    assert uuid.UUID(task_id) != uuid.UUID(tag)
    named = json.loads(path.read_text().replace(task_id, "TASK").replace(tag, "TAG"))
    return named | {"body": json.loads(base64.b64decode(message["body"]))}


def test_a_lost_notification_is_sent_again(home: Path) -> None:
    job = new_job()
    lose_messages(home)
    assert jobs.notify_due_jobs(again_after=2) == 0, "the first may still be on its way"
    notified_ago(job, seconds=3, due_ago=3)
    assert jobs.notify_due_jobs(again_after=2) == 1
    assert messages(home) == [str(job.id)]


def test_pauses_between_notifications_double_so_that_a_long_queue_does_not_fill_the_broker() -> None:
    job = new_job()
    notified_ago(job, seconds=10, due_ago=60)
    assert jobs.notify_due_jobs(again_after=2) == 0, (
        "it was sent 50 s after the job was due, so the next is sent 50 s later"
    )
    notified_ago(job, seconds=51, due_ago=100)
    assert jobs.notify_due_jobs(again_after=2) == 1


def test_the_pause_between_notifications_is_bounded() -> None:
    job = new_job()
    notified_ago(job, seconds=121, due_ago=100_000)
    assert jobs.notify_due_jobs(again_after=2) == 1


def test_workers_are_notified_of_a_retry_when_it_is_due(home: Path) -> None:
    job = new_job()
    jobs.retry_later(claimed(job), "no")
    lose_messages(home)
    assert jobs.notify_due_jobs(again_after=2) == 0
    make_due(job)
    assert jobs.notify_due_jobs(again_after=2) == 1
    assert messages(home) == [str(job.id)]


AWAY = """
import time, uuid
import django; django.setup()
from windlass.jobs import api as jobs
from windlass.jobs.api import Job, Stage
started = time.monotonic()
made = [jobs.enqueue(Stage.INTAKE, uuid.uuid4()) for _ in range(20)]
assert time.monotonic() - started < 5, "an upload waited for the broker"
Job.objects.filter(id__in=[job.id for job in made]).update(notified_at=None)
assert jobs.notify_due_jobs(again_after=0) == 0
assert Job.objects.filter(id=made[0].id, notified_at=None).exists(), "only a notification that was sent is recorded"
Job.objects.filter(id__in=[job.id for job in made]).delete()
"""


def in_another_process(code: str, **environment: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_an_unavailable_broker_neither_fails_nor_blocks_the_caller() -> None:
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


@pytest.mark.slow
def test_eager_mode_runs_the_job_in_the_call_that_creates_it() -> None:
    in_another_process(EAGER, CELERY_TASK_ALWAYS_EAGER="true")


LAZY = """
import sys
import django; django.setup()
from windlass.jobs import api
assert "celery" not in sys.modules and "kombu" not in sys.modules
"""


@pytest.mark.slow
def test_a_process_that_has_sent_nothing_has_not_loaded_celery() -> None:
    in_another_process(LAZY)


# The watchdog


@pytest.fixture
def done() -> list[str]:
    """What a watchdog had done."""
    return []


def watchdog(done: list[str], activity: WorkerActivity, queues: Sequence[jobs.Queue] = jobs.QUEUES) -> Watchdog:
    activity.last_notified_at = now() - timedelta(minutes=5)
    return Watchdog(
        activity, lambda: queues, reconnect=lambda: done.append("reconnect"), give_up=lambda: done.append("give up")
    )


def miss_two(dog: Watchdog, job: Job) -> None:
    for seconds in (60, 20):
        notified_ago(job, seconds=seconds, due_ago=90)
        dog.check()


def test_an_idle_worker_that_misses_two_notifications_reconnects(done: list[str]) -> None:
    dog, job = watchdog(done, WorkerActivity()), new_job()
    notified_ago(job, seconds=60, due_ago=90)
    dog.check()
    dog.check()
    assert done == [], "one lost notification proves nothing"
    notified_ago(job, seconds=20, due_ago=90)
    dog.check()
    assert done == ["reconnect"]


def test_a_worker_without_notifications_after_reconnecting_exits(done: list[str], monkeypatch: Any) -> None:
    activity = WorkerActivity()
    dog, job = watchdog(done, activity), new_job()
    miss_two(dog, job)
    later = now() + timedelta(minutes=5)
    monkeypatch.setattr("windlass.operations.watchdog.now", lambda: later)
    for seconds in (-240, -280):
        notified_ago(job, seconds=seconds, due_ago=90)
        dog.check()
    assert done == ["reconnect", "give up"]


def test_a_worker_with_a_notification_after_reconnecting_stays(done: list[str], monkeypatch: Any) -> None:
    activity = WorkerActivity()
    dog, job = watchdog(done, activity), new_job()
    miss_two(dog, job)
    with activity.job():
        pass
    activity.last_notified_at = now() - timedelta(minutes=5)
    miss_two(dog, job)
    assert done == ["reconnect", "reconnect"]


def test_the_watchdog_does_nothing_while_the_broker_is_away(done: list[str], monkeypatch: Any) -> None:
    def refused() -> str:
        raise ConnectionRefusedError

    dog, job = watchdog(done, WorkerActivity()), new_job()
    monkeypatch.setattr(jobs, "check_broker", refused)
    miss_two(dog, job)
    monkeypatch.undo()
    notified_ago(job, seconds=15, due_ago=90)
    dog.check()
    assert done == []


def test_a_busy_or_notified_worker_does_not_reconnect(done: list[str]) -> None:
    activity = WorkerActivity()
    dog, job = watchdog(done, activity), new_job()
    notified_ago(job, seconds=60, due_ago=90)
    dog.check()
    with activity.job():
        activity.last_notified_at = now() - timedelta(minutes=5)
        notified_ago(job, seconds=30, due_ago=90)
        dog.check()
        assert not activity.idle
    notified_ago(job, seconds=20, due_ago=90)
    dog.check()
    assert done == [], "it got one just now"


def test_a_notification_of_another_stage_is_not_missed(done: list[str]) -> None:
    dog = watchdog(done, WorkerActivity(), [jobs.Queue(Stage.DERIVE, jobs.CostClass.LIGHT)])
    job = new_job(Stage.INTAKE)
    for seconds in (60, 40, 20):
        notified_ago(job, seconds=seconds, due_ago=90)
        dog.check()
    assert done == []


def test_stages_run_under_one_lease_are_recorded_as_jobs() -> None:
    claim, moment = claimed(new_job()), now()
    started = [
        jobs.StartedStage(Stage.DESCRIBE, moment),
        jobs.StartedStage(Stage.DERIVE, moment + timedelta(milliseconds=5)),
    ]
    with transaction.atomic():
        following = jobs.finish_and_continue(claim, started)
    states = dict(Job.objects.filter(file_id=claim.file_id).values_list("stage", "state"))
    assert states == {"intake": JobState.DONE, "describe": JobState.DONE, "derive": JobState.RUNNING}
    assert following.stage == Stage.DERIVE
    assert jobs.is_held(following)
    assert not jobs.is_held(claim)
    with transaction.atomic():
        jobs.finish(following)
    for job in Job.objects.filter(file_id=claim.file_id):
        assert [attempt.outcome for attempt in job.attempt_log.all()] == [AttemptOutcome.DONE]


def test_a_worker_that_lost_its_lease_creates_no_further_jobs() -> None:
    claim = claimed(new_job())
    jobs.cancel_of_file(claim.file_id)
    with pytest.raises(jobs.LeaseLost), transaction.atomic():
        jobs.finish_and_continue(claim, [jobs.StartedStage(Stage.DESCRIBE, now())])
    assert Job.objects.filter(file_id=claim.file_id).count() == 1


def test_a_job_that_its_holder_has_finished_is_not_reported_as_lost() -> None:
    """Its lease may be renewed while the worker continues with the next stage."""
    mine, taken = claimed(new_job()), claimed(new_job())
    with transaction.atomic():
        jobs.finish(mine)
    jobs.cancel_of_file(taken.file_id)
    assert jobs.renew_leases([mine, taken]) == [taken]
