"""What it means how a child ended."""

from __future__ import annotations

import signal

from windlass.processing.contract import PermanentError, TransientError
from windlass.processing.sandbox.hardening import Limits
from windlass.processing.sandbox.messages import Message


class StepDied(TransientError):
    """The child crashed, or took more than it may. It is tried again: the file need not be the reason."""


def judge(limits: Limits, ended: Message, answer: Message | None) -> Message:
    """The result, or the exception that says why there is none."""
    if "error" in ended:
        raise TransientError(f"The sandbox could not start a child ({ended['error']}).")
    if ended["timed_out"]:
        raise StepDied(f"The step took longer than {limits.seconds:g} s.")
    if ended["exit"] < 0:
        raise StepDied(f"The step was killed by {_signal(-ended['exit'])}.")
    if ended["exit"] or answer is None:
        raise StepDied(f"The step ended without an answer (status {ended['exit']}).")
    detail = str(answer.get("detail", ""))
    match answer.get("kind"):
        case "result":
            return answer
        case "again":
            raise TransientError(detail)
        case "memory":
            raise StepDied(f"The step needed more than {limits.memory // 2**20} MB of memory.")
        case _:
            failed = PermanentError(detail or "The step failed.")
            failed.add_note(str(answer.get("note", "")))
            raise failed


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
