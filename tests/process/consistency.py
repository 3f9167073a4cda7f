"""What holds in a server's database at any moment, whichever of its processes have been killed.

Each rule is a query of what breaks it, in the SQL that SQLite and PostgreSQL share. All are read in one transaction.
The rules suppose steps that fail with transient errors only, and files without postponed steps.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.process.conftest import ServerProcess
from windlass.resilience.circuits import TRIAL_LEASE_SECONDS

#: How long the lease of the process lasts that evaluates the service level (events/service_level.py).
EVALUATOR_SECONDS = 6.0

RULES = {
    "one event job.dead for each time that the job became a dead letter": """
        SELECT job.id, job.state, job.retries, count(event.id) AS deaths
        FROM windlass_jobs_job job LEFT JOIN windlass_events_event event ON event.type = 'job.dead'
            AND replace(event.data ->> 'task_id', '-', '') = replace(CAST(job.id AS text), '-', '')
        GROUP BY job.id HAVING count(event.id) != job.retries + CASE job.state WHEN 'dead' THEN 1 ELSE 0 END
    """,
    "the job counts the attempts that it has made since the last retry": """
        SELECT job.id, job.state, job.attempts, count(attempt.id) AS recorded
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry = job.retries
            AND attempt.outcome NOT IN ('postponed', 'cancelled')
        GROUP BY job.id HAVING job.attempts != count(attempt.id)
    """,
    "a dead letter has made all of its attempts, and each has failed": """
        SELECT job.id, job.retries, count(attempt.id) AS failed
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry = job.retries AND attempt.outcome IN ('failed', 'lost')
        WHERE job.state = 'dead' GROUP BY job.id HAVING count(attempt.id) != job.max_attempts
    """,
    "the attempts from before a retry are kept": """
        SELECT job.id, job.retries, count(attempt.id) AS failed
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.retry < job.retries AND attempt.outcome IN ('failed', 'lost')
        GROUP BY job.id HAVING count(attempt.id) != job.retries * job.max_attempts
    """,
    "a running job has one running attempt, under its lease's epoch; another job has none": """
        SELECT job.id, job.state, job.lease_epoch, count(attempt.id) AS running, min(attempt.epoch) AS epoch
        FROM windlass_jobs_job job LEFT JOIN windlass_jobs_attempt attempt
            ON attempt.job_id = job.id AND attempt.outcome = 'running'
        GROUP BY job.id HAVING count(attempt.id) != CASE job.state WHEN 'running' THEN 1 ELSE 0 END
            OR min(attempt.epoch) != job.lease_epoch
    """,
    "no two attempts of a job have the same epoch": """
        SELECT job_id, epoch FROM windlass_jobs_attempt GROUP BY job_id, epoch HAVING count(*) > 1
    """,
    "a file that is not processed has one open job, a ready one none, a failed one a dead letter": """
        SELECT * FROM (
            SELECT file.id, file.status,
                sum(CASE WHEN job.state IN ('queued', 'running') THEN 1 ELSE 0 END) AS open,
                sum(CASE job.state WHEN 'dead' THEN 1 ELSE 0 END) AS dead
            FROM windlass_files_fileasset file LEFT JOIN windlass_jobs_job job
                ON job.file_id = file.id AND job.run = file.run
            GROUP BY file.id
        ) AS jobs WHERE open != CASE WHEN status IN ('PENDING', 'PROCESSING') THEN 1 ELSE 0 END
            OR dead != CASE status WHEN 'FAILED' THEN 1 ELSE 0 END
    """,
    "no step of a ready file is unfinished": """
        SELECT file.id, step.step, step.state FROM windlass_files_fileasset file
        JOIN windlass_files_steprun step ON step.file_id = file.id AND step.run = file.run
        WHERE file.status = 'READY' AND step.state NOT IN ('done', 'skipped')
    """,
    "a failed file has one failed step, that of its dead letter, and none that runs": """
        SELECT file.id, job.dead_step, count(step.id) AS steps, min(step.step) AS step, min(step.state) AS state
        FROM windlass_files_fileasset file
        JOIN windlass_jobs_job job ON job.file_id = file.id AND job.run = file.run AND job.state = 'dead'
        LEFT JOIN windlass_files_steprun step
            ON step.file_id = file.id AND step.run = file.run AND step.state IN ('failed', 'running')
        WHERE file.status = 'FAILED' GROUP BY file.id, job.id
        HAVING count(step.id) != CASE job.dead_step WHEN '' THEN 0 ELSE 1 END
            OR min(step.step) != job.dead_step OR min(step.state) != 'failed'
    """,
    "the last event of a breaker says closed if it is closed, else open": """
        SELECT * FROM (
            SELECT breaker.name, breaker.state, event.data ->> 'state' AS told
            FROM windlass_events_circuitbreaker breaker LEFT JOIN windlass_events_event event ON event.id = (
                SELECT max(id) FROM windlass_events_event
                WHERE type = 'system.breaker' AND data ->> 'breaker' = breaker.name
            )
        ) AS last WHERE told IS DISTINCT FROM CASE state WHEN 'closed' THEN 'closed' ELSE 'open' END
    """,
    "the events of a breaker say open and closed in turn": """
        SELECT * FROM (
            SELECT id, data ->> 'breaker' AS name, data ->> 'state' AS state,
                lag(data ->> 'state', 1, 'closed') OVER (PARTITION BY data ->> 'breaker' ORDER BY id) AS last
            FROM windlass_events_event WHERE type = 'system.breaker'
        ) AS told WHERE state = last
    """,
    "only a half-open breaker has a trial, and its lease ends": """
        SELECT name, state, trial_until FROM windlass_events_circuitbreaker
        WHERE trial_until IS NOT NULL AND (state != 'half_open' OR trial_until > {longest_trial})
    """,
    "the service level is that of its last event, and pinned if the event says so": """
        SELECT state.level, state.pinned_level, event.data FROM windlass_events_servicelevelstate state
        LEFT JOIN windlass_events_event event ON event.id = (
            SELECT max(id) FROM windlass_events_event WHERE type = 'system.level'
        ) WHERE state.level != coalesce(event.data ->> 'level', 'full')
            OR CASE state.pinned_level WHEN '' THEN 1 ELSE 0 END !=
                CASE WHEN CAST(event.data ->> 'automatic' AS text) IN ('false', '0') THEN 0 ELSE 1 END
    """,
    "each event of the service level goes on from the one before": """
        SELECT * FROM (
            SELECT id, data ->> 'before' AS before, lag(data ->> 'level', 1, 'full') OVER (ORDER BY id) AS last
            FROM windlass_events_event WHERE type = 'system.level'
        ) AS told WHERE before != last
    """,
    "the process that evaluates the service level holds a lease that ends": """
        SELECT evaluator, evaluator_until FROM windlass_events_servicelevelstate
        WHERE evaluator_until > {longest_evaluation}
    """,
}

#: Runs a query with the values of its placeholders, such as ``{longest_trial}``.
Query = Callable[[str, Mapping[str, datetime]], Sequence[Mapping[str, Any]]]


def violations(server: ServerProcess) -> list[str]:
    """What is inconsistent in the database of this server, one line each."""
    moment = datetime.now(UTC) + timedelta(seconds=1)
    values = {
        "longest_trial": moment + timedelta(seconds=TRIAL_LEASE_SECONDS),
        "longest_evaluation": moment + timedelta(seconds=EVALUATOR_SECONDS),
    }
    with _snapshot(server) as query:
        return [f"{rule}: {dict(row)}" for rule, sql in RULES.items() for row in query(sql, values)]


def count(server: ServerProcess, rows: str) -> int:
    """How many rows there are: ``count(server, "windlass_jobs_job WHERE state = 'dead'")``."""
    return total(server, "count(*)", rows)


def rows(server: ServerProcess, sql: str) -> list[dict[str, Any]]:
    with _snapshot(server) as query:
        return [dict(row) for row in query(sql, {})]


def total(server: ServerProcess, expression: str, rows: str) -> int:
    with _snapshot(server) as query:
        (row,) = query(f"SELECT {expression} AS found FROM {rows}", {})
        return int(row["found"] or 0)


@contextlib.contextmanager
def _snapshot(server: ServerProcess) -> Iterator[Query]:
    """Queries that all see the same moment."""
    url = server.environment.get("DATABASE_URL", "")
    with _of_postgresql(url) if url.startswith("postgres") else _of_sqlite(server.home) as query:
        yield query


@contextlib.contextmanager
def _of_sqlite(home: Path) -> Iterator[Query]:
    path = f"file:{home / 'windlass.sqlite3'}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=30, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")

        def query(sql: str, values: Mapping[str, datetime]) -> Sequence[Mapping[str, Any]]:
            stored = {name: value.strftime("%Y-%m-%d %H:%M:%S.%f") for name, value in values.items()}
            return [dict(row) for row in database.execute(sql.format(**{name: f":{name}" for name in values}), stored)]

        yield query


@contextlib.contextmanager
def _of_postgresql(url: str) -> Iterator[Query]:
    with psycopg.connect(url, row_factory=dict_row) as database:
        database.read_only, database.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ

        def query(sql: str, values: Mapping[str, datetime]) -> Sequence[Mapping[str, Any]]:
            named = sql.format(**{name: f"%({name})s" for name in values})
            return database.execute(named.encode(), values).fetchall()

        yield query
