"""The door of the jobs app."""

from windlass.jobs.models import Attempt, Job
from windlass.jobs.queue import (
    Claim,
    Fenced,
    bury,
    cancel_of_file,
    claim,
    enqueue,
    finish,
    forget_file,
    held_by,
    keep,
    lapsed,
    postpone,
    prune,
    reopen,
    retry_later,
    ring_due,
    take_back,
    unanswered,
)
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.jobs.wake import check as check_broker
from windlass.jobs.wake import warm_up as warm_up_bell

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "Claim",
    "Fenced",
    "Job",
    "JobState",
    "Stage",
    "bury",
    "cancel_of_file",
    "check_broker",
    "claim",
    "enqueue",
    "finish",
    "forget_file",
    "held_by",
    "keep",
    "lapsed",
    "postpone",
    "prune",
    "reopen",
    "retry_later",
    "ring_due",
    "take_back",
    "unanswered",
    "warm_up_bell",
]
