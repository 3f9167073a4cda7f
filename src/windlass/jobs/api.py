"""The door of the jobs app."""

from windlass.jobs.claims import Claim, Fenced, claim, holds, keep, keep_all, look, take
from windlass.jobs.endings import Begun, bury, finish, hand_on, postpone, retry_later
from windlass.jobs.models import Attempt, Job
from windlass.jobs.opening import are_open, cancel_of_file, enqueue, forget_file, prune, reopen, resume_of_file
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.jobs.sweeping import held_by, lapsed, ring_due, take_back, unanswered
from windlass.jobs.wake import check as check_broker
from windlass.jobs.wake import warm_up as warm_up_bell

__all__ = [
    "Attempt",
    "AttemptOutcome",
    "Begun",
    "Claim",
    "Fenced",
    "Job",
    "JobState",
    "Stage",
    "are_open",
    "bury",
    "cancel_of_file",
    "check_broker",
    "claim",
    "enqueue",
    "finish",
    "forget_file",
    "hand_on",
    "held_by",
    "holds",
    "keep",
    "keep_all",
    "lapsed",
    "look",
    "postpone",
    "prune",
    "reopen",
    "resume_of_file",
    "retry_later",
    "ring_due",
    "take",
    "take_back",
    "unanswered",
    "warm_up_bell",
]
