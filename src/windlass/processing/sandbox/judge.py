"""What it means how a child answered, or ended."""

from __future__ import annotations

import signal
from typing import TypeVar

from windlass.processing.contract import PermanentError, TransientError
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.sandbox.messages import Message
from windlass.processing.sandbox.refusals import FORBIDDEN


class StepDied(TransientError):
    """The child crashed, or took more than it may. It is tried again: the file need not be the reason."""


class StillFit(PermanentError):
    """The step said that it cannot be done. The child did as it should, and may do the next."""


def judge(limits: Limits, ended: Message | None, answer: Message | None) -> Message:
    """The result, or the exception that says why there is none. Who has answered may have ended since."""
    if answer is None:
        raise _died(ended or {})
    detail = str(answer.get("detail", ""))
    match answer.get("kind"):
        case "result":
            return answer
        case "again":
            raise _noted(TransientError(detail), answer)
        case "memory":
            raise StepDied(f"The step needed more than {limits.memory // 2**20} MB of memory.")
        case "failed":
            raise _noted(StillFit(detail or "The step failed."), answer)
        case _:
            raise _noted(PermanentError(detail or "The step failed."), answer)


def took_too_long(limits: Limits) -> StepDied:
    return StepDied(f"The step took longer than {limits.seconds:g} s.")


_Failure = TypeVar("_Failure", bound=BaseException)


def _noted(error: _Failure, answer: Message) -> _Failure:
    """The error with what is for the log alone."""
    if note := answer.get("note"):
        error.add_note(str(note))
    return error


def _died(ended: Message) -> TransientError | PermanentError:
    if "error" in ended:
        return _noted(TransientError("The sandbox could not start a process for the step."), {"note": ended["error"]})
    status = ended["exit"]
    if status == -signal.SIGSYS:
        return PermanentError(FORBIDDEN)  # it would ask again
    reason = _ENDED_BY.get(-status, "The step crashed.") if status < 0 else "The step ended without an answer."
    return _noted(StepDied(reason), {"note": f"signal {-status}" if status < 0 else f"exit status {status}"})


#: Signals that the system sends a child because of its limits, or for want of memory.
_ENDED_BY = {
    signal.SIGKILL: "The step was ended by the system, which does so when memory runs short.",
    signal.SIGXCPU: "The step took more processor time than it may.",
}
