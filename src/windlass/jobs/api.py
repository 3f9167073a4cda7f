"""Public interface of the jobs app."""

from windlass.jobs.claims import Claim, LeaseLost, acquire, find_claimable, is_held, renew_lease, renew_leases
from windlass.jobs.enqueue import any_open, cancel_of_file, delete_of_file, enqueue, prune, reopen, resume_of_file
from windlass.jobs.models import Attempt, Job
from windlass.jobs.notify import check_broker, connect_broker
from windlass.jobs.outcomes import StartedStage, dead_letter, finish, finish_and_continue, postpone, retry_later
from windlass.jobs.recovery import (
    expired_claims,
    last_unanswered_notification,
    notify_due_jobs,
    revoke_claim,
    running_jobs_of,
)
from windlass.jobs.states import AttemptOutcome, JobState, Stage

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "Claim",
    "Job",
    "JobState",
    "LeaseLost",
    "Stage",
    "StartedStage",
    "acquire",
    "any_open",
    "cancel_of_file",
    "check_broker",
    "connect_broker",
    "dead_letter",
    "delete_of_file",
    "enqueue",
    "expired_claims",
    "find_claimable",
    "finish",
    "finish_and_continue",
    "is_held",
    "last_unanswered_notification",
    "notify_due_jobs",
    "postpone",
    "prune",
    "renew_lease",
    "renew_leases",
    "reopen",
    "resume_of_file",
    "retry_later",
    "revoke_claim",
    "running_jobs_of",
]
