"""What holds in a server's database at any moment, whichever of its processes have been killed.

Each rule is a query of what breaks it. All are read in one transaction. The rules suppose steps that fail with
transient errors only, and files without postponed steps.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from windlass.resilience.circuits import TRIAL_LEASE_SECONDS

#: How long the lease of the process lasts that evaluates the service level (events/service_level.py).
EVALUATOR_SECONDS = 6.0

RULES = {
    "one event job.dead for each time that the job became a dead letter": """
        SELECT job.id, job.state, job.retries, count(event.id) AS deaths
        FROM windlass_jobs_job job LEFT JOIN windlass_events_event event
            ON event.type = 'job.dead' AND replace(json_extract(event.data, '$.task_id'), '-', '') = job.id
        GROUP BY job.id HAVING deaths != job.retries + (job.state = 'dead')
    """,
    "the job counts the attempts that it has made since the last retry": """
        SELECT job.id, job.state, job.attempts, count(attempt.id) AS recorded
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry = job.retries
            AND attempt.outcome NOT IN ('postponed', 'cancelled')
        GROUP BY job.id HAVING job.attempts != recorded
    """,
    "a dead letter has made all of its attempts, and each has failed": """
        SELECT job.id, job.retries, count(attempt.id) AS failed
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry = job.retries AND attempt.outcome IN ('failed', 'lost')
        WHERE job.state = 'dead' GROUP BY job.id HAVING failed != job.max_attempts
    """,
    "the attempts from before a retry are kept": """
        SELECT job.id, job.retries, count(attempt.id) AS failed
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry < job.retries AND attempt.outcome IN ('failed', 'lost')
        GROUP BY job.id HAVING failed != job.retries * job.max_attempts
    """,
    "a running job has one running attempt, under its lease's epoch; another job has none": """
        SELECT job.id, job.state, job.lease_epoch, group_concat(attempt.epoch) AS running
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.outcome = 'running'
        GROUP BY job.id
        HAVING count(attempt.id) != (job.state = 'running') OR (job.state = 'running' AND running != job.lease_epoch)
    """,
    "no two attempts of a job have the same epoch": """
        SELECT job_id, epoch FROM windlass_jobs_attempt GROUP BY job_id, epoch HAVING count(*) > 1
    """,
    "a file that is not processed has one open job, a ready one none, a failed one a dead letter": """
        SELECT file.id, file.status, group_concat(job.stage || ' ' || job.state) AS jobs
        FROM windlass_files_fileasset file LEFT JOIN windlass_jobs_job job
            ON job.file_id = file.id AND job.run = file.run
        GROUP BY file.id HAVING total(job.state IN ('queued', 'running')) != (file.status IN ('PENDING', 'PROCESSING'))
            OR total(job.state = 'dead') != (file.status = 'FAILED')
    """,
    "no step of a ready file is unfinished": """
        SELECT file.id, step.step, step.state FROM windlass_files_fileasset file
        JOIN windlass_files_steprun step ON step.file_id = file.id AND step.run = file.run
        WHERE file.status = 'READY' AND step.state NOT IN ('done', 'skipped')
    """,
    "a failed file has one failed step, that of its dead letter, and none that runs": """
        SELECT file.id, job.dead_step, group_concat(step.step || ' ' || step.state) AS steps
        FROM windlass_files_fileasset file
        JOIN windlass_jobs_job job ON job.file_id = file.id AND job.run = file.run AND job.state = 'dead'
        LEFT JOIN windlass_files_steprun step
            ON step.file_id = file.id AND step.run = file.run AND step.state IN ('failed', 'running')
        WHERE file.status = 'FAILED' GROUP BY file.id
        HAVING ifnull(steps, '') != CASE job.dead_step WHEN '' THEN '' ELSE job.dead_step || ' failed' END
    """,
    "the last event of a breaker says closed if it is closed, else open": """
        SELECT breaker.name, breaker.state, json_extract(event.data, '$.state') AS told
        FROM windlass_events_circuitbreaker breaker LEFT JOIN windlass_events_event event ON event.id = (
            SELECT max(id) FROM windlass_events_event
            WHERE type = 'system.breaker' AND json_extract(data, '$.breaker') = breaker.name
        ) WHERE told IS NOT CASE breaker.state WHEN 'closed' THEN 'closed' ELSE 'open' END
    """,
    "the events of a breaker say open and closed in turn": """
        SELECT * FROM (
            SELECT id, json_extract(data, '$.breaker') AS name, json_extract(data, '$.state') AS state,
                lag(json_extract(data, '$.state'), 1, 'closed')
                    OVER (PARTITION BY json_extract(data, '$.breaker') ORDER BY id) AS last
            FROM windlass_events_event WHERE type = 'system.breaker'
        ) WHERE state = last
    """,
    "only a half-open breaker has a trial, and its lease ends": """
        SELECT name, state, trial_until FROM windlass_events_circuitbreaker
        WHERE trial_until IS NOT NULL AND (state != 'half_open' OR trial_until > :longest_trial)
    """,
    "the service level is that of its last event, and pinned if the event says so": """
        SELECT state.level, state.pinned_level, event.data FROM windlass_events_servicelevelstate state
        LEFT JOIN windlass_events_event event ON event.id = (
            SELECT max(id) FROM windlass_events_event WHERE type = 'system.level'
        ) WHERE state.level != ifnull(json_extract(event.data, '$.level'), 'full')
            OR (state.pinned_level = '') != ifnull(json_extract(event.data, '$.automatic'), 1)
    """,
    "each event of the service level goes on from the one before": """
        SELECT * FROM (
            SELECT id, json_extract(data, '$.before') AS before,
                lag(json_extract(data, '$.level'), 1, 'full') OVER (ORDER BY id) AS last
            FROM windlass_events_event WHERE type = 'system.level'
        ) WHERE before != last
    """,
    "the process that evaluates the service level holds a lease that ends": """
        SELECT evaluator, evaluator_until FROM windlass_events_servicelevelstate
        WHERE evaluator_until > :longest_evaluation
    """,
}


def violations(home: Path) -> list[str]:
    """What is inconsistent in the SQLite database of this home, one line each."""
    values = {"longest_trial": _after(TRIAL_LEASE_SECONDS), "longest_evaluation": _after(EVALUATOR_SECONDS)}
    with _snapshot(home) as database:
        return [f"{rule}: {dict(row)}" for rule, query in RULES.items() for row in database.execute(query, values)]


def _after(seconds: float) -> str:
    """The moment in so many seconds, and one more, as the database has it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds + 1)).strftime("%Y-%m-%d %H:%M:%S.%f")


@contextlib.contextmanager
def _snapshot(home: Path) -> Iterator[sqlite3.Connection]:
    path = f"file:{home / 'windlass.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=30, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        yield database
