"""What it means how a child answered, or ended."""

from __future__ import annotations

import signal

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
            raise TransientError(detail)
        case "memory":
            raise StepDied(f"The step needed more than {limits.memory // 2**20} MB of memory.")
        case "failed" if not answer.get("note"):
            raise StillFit(detail or "The step failed.")
        case _:
            failed = PermanentError(detail or "The step failed.")
            failed.add_note(str(answer.get("note", "")))
            raise failed


def took_too_long(limits: Limits) -> StepDied:
    return StepDied(f"The step took longer than {limits.seconds:g} s.")


def _died(ended: Message) -> TransientError | PermanentError:
    if "error" in ended:
        return TransientError(f"The sandbox could not start a child ({ended['error']}).")
    if ended["exit"] == -signal.SIGSYS:
        return PermanentError(FORBIDDEN)  # it would ask again
    if ended["exit"] < 0:
        return StepDied(f"The step was killed by {_signal(-ended['exit'])}.")
    return StepDied(f"The step ended without an answer (status {ended['exit']}).")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
