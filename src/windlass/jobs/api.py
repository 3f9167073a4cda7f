"""Public interface of the jobs app."""

from windlass.jobs.backfills import Backfill, queue_backfills
from windlass.jobs.broker_version import broker_version
from windlass.jobs.claims import Claim, LeaseLost, acquire, find_claimable, is_held, renew_lease, renew_leases
from windlass.jobs.cost import cost_class
from windlass.jobs.dead_letters import (
    DeadLetterFilter,
    RetryResult,
    complete_dead_letters,
    dead_letter_document,
    dead_letters,
    delete_dead_letters,
    delete_old_dead_letters,
    job_state,
    resume_files_by,
    retry_dead_letters,
)
from windlass.jobs.enqueue import any_open, cancel_of_file, delete_of_file, enqueue, prune, reopen, resume_of_file
from windlass.jobs.failure_statistics import failure_statistics
from windlass.jobs.models import Attempt, Job
from windlass.jobs.notify import broker_breaker_names, check_broker, connect_broker
from windlass.jobs.outcomes import (
    StartedStage,
    dead_letter,
    finish,
    finish_and_continue,
    hand_back,
    postpone,
    retry_later,
)
from windlass.jobs.owner_data import rows_of_files
from windlass.jobs.process_heartbeats import (
    ALIVE_SECONDS,
    BEAT_SECONDS,
    SeenProcess,
    delete_old_heartbeats,
    record_heartbeat,
    remove_heartbeat,
    seen_processes,
)
from windlass.jobs.queue_status import QueueStatus, oldest_due_seconds, queue_status, queue_statuses, stage_statuses
from windlass.jobs.recovery import (
    WORKER_LOST,
    correct_times_ahead,
    expired_claims,
    last_unanswered_notification,
    notify_due_jobs,
    revoke_claim,
    running_jobs_of,
)
from windlass.jobs.states import QUEUES, AttemptOutcome, CostClass, JobState, ProcessRole, Queue, Stage, queue_of
from windlass.jobs.write_probe import prove_writable

__all__ = [
    "ALIVE_SECONDS",
    "BEAT_SECONDS",
    "QUEUES",
    "WORKER_LOST",
    "Attempt",
    "AttemptOutcome",
    "Backfill",
    "Claim",
    "CostClass",
    "DeadLetterFilter",
    "Job",
    "JobState",
    "LeaseLost",
    "ProcessRole",
    "Queue",
    "QueueStatus",
    "RetryResult",
    "SeenProcess",
    "Stage",
    "StartedStage",
    "acquire",
    "any_open",
    "broker_breaker_names",
    "broker_version",
    "cancel_of_file",
    "check_broker",
    "complete_dead_letters",
    "connect_broker",
    "correct_times_ahead",
    "cost_class",
    "dead_letter",
    "dead_letter_document",
    "dead_letters",
    "delete_dead_letters",
    "delete_of_file",
    "delete_old_dead_letters",
    "delete_old_heartbeats",
    "enqueue",
    "expired_claims",
    "failure_statistics",
    "find_claimable",
    "finish",
    "finish_and_continue",
    "hand_back",
    "is_held",
    "job_state",
    "last_unanswered_notification",
    "notify_due_jobs",
    "oldest_due_seconds",
    "postpone",
    "prove_writable",
    "prune",
    "queue_backfills",
    "queue_of",
    "queue_status",
    "queue_statuses",
    "record_heartbeat",
    "remove_heartbeat",
    "renew_lease",
    "renew_leases",
    "reopen",
    "resume_files_by",
    "resume_of_file",
    "retry_dead_letters",
    "retry_later",
    "revoke_claim",
    "rows_of_files",
    "running_jobs_of",
    "seen_processes",
    "stage_statuses",
]
