"""What a child's answer or its end means, as a result or as an exception for the worker."""

from __future__ import annotations

import errno
import resource
import signal
from typing import TypeVar

from windlass.processing.contract import PermanentError, TransientError
from windlass.processing.sandbox.channel import Message
from windlass.processing.sandbox.lockdown import Limits

#: The child was killed for a system call that no step makes for a good reason.
FORBIDDEN = "The step was stopped: it asked the system for something it may not do."

_Failure = TypeVar("_Failure", bound=BaseException)


class StepDied(TransientError):
    """The child crashed or exceeded a limit, which is the ``cause``. The step is retried: the file need not be the
    reason."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(reason)
        self.cause = cause


class StepFailed(PermanentError):
    """The step reported that it cannot be done. The child is in order and may run the next step."""


def result_or_raise(limits: Limits, ended: Message | None, answer: Message | None) -> Message:
    """Return the child's result, or raise the reason why there is none. A child that answered may have ended since."""
    if answer is None:
        raise _died(ended or {})
    detail = str(answer.get("detail", ""))
    match answer.get("kind"):
        case "result":
            return answer
        case "again":
            raise _with_note(TransientError(detail), answer.get("note"))
        case "memory":
            raise StepDied(f"The step needed more than {limits.memory // 2**20} MB of memory.", "memory")
        case "failed":
            raise _with_note(StepFailed(detail or "The step failed."), answer.get("note"))
        case _:
            raise _with_note(PermanentError(detail or "The step failed."), answer.get("note"))


def timed_out(limits: Limits) -> StepDied:
    return StepDied(f"The step took longer than {limits.seconds:g} s.", "time")


def kill_cause(error: BaseException) -> str | None:
    """Return why a child was ended, as it is counted; None for an error of a child that may go on."""
    if isinstance(error, StepDied):
        return error.cause
    return "system-call" if isinstance(error, PermanentError) and str(error) == FORBIDDEN else None


def public_reason(error: Exception) -> str:
    """Describe an unexpected error of a step for the file's owner. Called in the child: it reads the child's limits."""
    match error:
        case PermissionError():
            return "The step asked for a file, a connection or a right that it may not have."
        case OSError(errno=errno.EFBIG):
            return f"The step wrote more than {resource.getrlimit(resource.RLIMIT_FSIZE)[0] // 2**20} MB."
        case _:
            return "The step failed in a way that it does not know; the server's log says more."


def _with_note(error: _Failure, note: object) -> _Failure:
    """Add a note, which is for the log only."""
    if note:
        error.add_note(str(note))
    return error


def _died(ended: Message) -> TransientError | PermanentError:
    if "error" in ended:
        return _with_note(TransientError("The sandbox could not start a process for the step."), ended["error"])
    status = ended["exit"]
    if status == -signal.SIGSYS:
        return PermanentError(FORBIDDEN)  # a retry would do the same
    if status >= 0:
        return _with_note(StepDied("The step ended without an answer.", "exit"), f"exit status {status}")
    reason, cause = _REASONS.get(-status, ("The step crashed.", "crash"))
    return _with_note(StepDied(reason, cause), f"signal {-status}")


#: Reason and cause by the signal that the kernel ends a child with for its limits, or for want of memory.
_REASONS = {
    signal.SIGKILL: ("The step was ended by the system, which does so when memory runs short.", "killed"),
    signal.SIGXCPU: ("The step took more processor time than it may.", "cpu"),
}
