"""The child: run the steps of one file in turn, as they are ordered, and answer each order."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import NoReturn

from windlass.processing.contract import PermanentError, StepContext, TransientError
from windlass.processing.registry import step
from windlass.processing.sandbox.channel import InvalidMessage, Message, Unpacker, pack
from windlass.processing.sandbox.exit_status import public_reason
from windlass.processing.sandbox.lockdown import Limits, lock_down
from windlass.processing.step_result import log_notes, to_json

#: Descriptors of the child's files: no others are open.
FILE, ANSWER, OUTPUT = 3, 4, 5
#: Higher than all of them, and low enough for the limit of open files (``lockdown.OPEN_FILES``).
_ABOVE_ALL = 32

#: Seconds between two progress messages.
PROGRESS_INTERVAL = 0.25


def run(limits: Limits, files: Sequence[int], parent: int, tasks: int) -> NoReturn:
    """Called right after the fork; never returns. ``files``: the file, the socket for answers, the output if any."""
    status = 1
    try:
        _reset_signals()
        null = os.open(os.devnull, os.O_RDWR)
        _keep_only([null, null, null, *files])
        _serve(_lock_down(limits, parent, tasks), has_output=len(files) > OUTPUT - FILE)
        status = 0
    finally:
        os._exit(status)


def wait_and_run(limits: Limits, control: int, parent: int, tasks: int) -> NoReturn:
    """As ``run``, but lock down first and then wait for the files, which arrive over the socket ``control``.

    If its parent closes the socket, the child ends.
    """
    status = 1
    try:
        _reset_signals()
        null = os.open(os.devnull, os.O_RDWR)
        _keep_only([null, null, null, control])
        failure = _lock_down(limits, parent, tasks)
        with socket.socket(fileno=FILE) as waiting:
            waiting.setblocking(True)
            given, files, _, _ = socket.recv_fds(waiting, 1, 1 + OUTPUT - FILE)
        if given:
            _keep_only([0, 1, 2, *files])
            _serve(failure, has_output=len(files) > OUTPUT - FILE)
        status = 0
    finally:
        os._exit(status)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _keep_only(files: Sequence[int]) -> None:
    """Keep only these files open, as descriptors 0 and up."""
    # First to high numbers, so that none overwrites another.
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, _ABOVE_ALL) for number in files]
    for target, number in enumerate(moved):
        os.dup2(number, target, inheritable=False)
    os.closerange(len(moved), os.sysconf("SC_OPEN_MAX"))


def _lock_down(limits: Limits, parent: int, tasks: int) -> bytes | None:
    """Return the answer to the worker if that fails: then no step may run."""
    try:
        lock_down(replace(limits, memory=limits.memory + _mapped_bytes()), parent, tasks)
    except (OSError, ValueError) as error:
        detail = "The sandbox could not be locked down; the step was not run."
        return _failure("again", detail, f"{type(error).__name__}: {error}")
    return None


def _serve(failure: bytes | None, *, has_output: bool) -> None:
    """Report that this child is locked down; then run one order after the other until the worker closes the socket.

    ``failure``: report only this.
    """
    with socket.socket(fileno=ANSWER) as channel:
        channel.setblocking(True)
        if failure is not None:
            channel.sendall(failure)
            return
        channel.sendall(pack({"kind": "bound"}))
        orders = Unpacker()
        while data := channel.recv(65536):
            for order in orders.feed(data):
                _answer(channel, order, has_output=has_output and order["makes"])


def _mapped_bytes() -> int:
    """Bytes of address space in use by libraries, of which a step needs few: the limit applies to what a step adds.

    Linux only; elsewhere the limit applies to all.
    """
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _answer(channel: socket.socket, order: Message, *, has_output: bool) -> None:
    try:
        reply = pack(_run_step(channel, order, has_output=has_output))
    except (TransientError, PermanentError) as error:
        kind = "again" if isinstance(error, TransientError) else "failed"
        reply = _failure(kind, str(error), "; ".join(log_notes(error)))
    except InvalidMessage as error:
        reply = _failure("surprised", "The step's result is not usable.", str(error))
    except MemoryError:
        gc.collect()
        reply = _failure("memory", "")
    except Exception as error:  # noqa: BLE001  the boundary of the process: a step may fail in any way
        # Its own message is for the log only: it may name internals.
        reply = _failure("surprised", public_reason(error), f"{type(error).__name__}: {error}")
    channel.sendall(reply)


def _failure(kind: str, detail: str, note: str = "") -> bytes:
    """``note`` is for the log only."""
    return pack({"kind": kind, "detail": detail[:4000], "note": note[:1000]})


def _run_step(channel: socket.socket, order: Message, *, has_output: bool) -> Message:
    planned = step(order["step"])
    reported = time.monotonic()

    def report(percent: int) -> None:
        nonlocal reported
        if time.monotonic() - reported >= PROGRESS_INTERVAL:
            reported = time.monotonic()
            channel.sendall(pack({"kind": "progress", "percent": int(percent)}))

    with ExitStack() as stack:
        file = stack.enter_context(open(FILE, "rb", closefd=False))
        file.seek(0)
        context = StepContext(file, order["facts"], order["profile"], report=report)
        if has_output:
            context.output = stack.enter_context(open(OUTPUT, "wb", closefd=False))
            context.output.seek(0)  # the worker has emptied it
        return {"kind": "result", **to_json(planned.run(context))}
