"""The child: the steps of one file in turn, as they are ordered, and an answer to each."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from windlass.processing.contract import PermanentError, StepContext, TransientError
from windlass.processing.outcome import document, log_notes
from windlass.processing.registry import step
from windlass.processing.sandbox.hardening import Limits, harden
from windlass.processing.sandbox.messages import Garbled, Message, Unpacker, pack
from windlass.processing.sandbox.refusals import reason

#: Where the child's files lie: nothing else is open.
FILE, ANSWER, OUTPUT = 3, 4, 5

#: Seconds between two words on the progress.
PROGRESS_EVERY = 0.25


def run(request: Message, files: Sequence[int], parent: int, tasks: int) -> NoReturn:
    """Called right after the fork; never returns. ``files``: the file, the channel for the answer, the output."""
    status = 1
    try:
        _arrange(files)
        with socket.socket(fileno=ANSWER) as answer:
            answer.setblocking(True)
            _serve(answer, request, parent, tasks, has_output=len(files) > OUTPUT - FILE)
        status = 0
    finally:
        os._exit(status)


def _arrange(files: Sequence[int]) -> None:
    """Only what the steps need stays open: at known numbers, and nothing on the first three."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    # First out of the way of each other, then to their places.
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in (nothing, nothing, nothing, *files)]
    for place, number in enumerate(moved):
        os.dup2(number, place, inheritable=False)
    os.closerange(len(moved), os.sysconf("SC_OPEN_MAX"))


def _serve(channel: socket.socket, request: Message, parent: int, tasks: int, *, has_output: bool) -> None:
    """Bound first; then one order after the other, until the worker hangs up."""
    try:
        limits = Limits(**request["limits"])
        _harden(replace(limits, memory=limits.memory + _mapped()), parent, tasks)
    except TransientError as error:
        channel.sendall(_short("again", str(error), "; ".join(log_notes(error))))
        return
    channel.sendall(pack({"kind": "bound"}))
    orders = Unpacker()
    while data := channel.recv(65536):
        for order in orders.feed(data):
            _answer(channel, order, has_output=has_output and order["makes"])


def _mapped() -> int:
    """Bytes of address space that are taken already: by libraries, of which most steps use few. The limit is for what a
    step adds to them. Linux only; elsewhere the limit is for all."""
    try:
        with open("/proc/self/statm") as told:
            return int(told.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _answer(channel: socket.socket, order: Message, *, has_output: bool) -> None:
    try:
        said = pack(_run_step(channel, order, has_output=has_output))
    except TransientError as error:
        said = _short("again", str(error), "; ".join(log_notes(error)))
    except PermanentError as error:
        said = _short("failed", str(error), "; ".join(log_notes(error)))
    except Garbled as error:
        said = _short("surprised", "The step's result is not usable.", str(error))
    except MemoryError:
        gc.collect()
        said = _short("memory", "")
    except Exception as error:  # noqa: BLE001  the boundary of the process: a step may fail in any way
        # What it says is for our log: it may name what nobody outside should read.
        said = _short("surprised", reason(error), f"{type(error).__name__}: {error}")
    channel.sendall(said)


def _short(kind: str, detail: str, note: str = "") -> bytes:
    """``note`` is for the log alone."""
    return pack({"kind": kind, "detail": detail[:4000], "note": note[:1000]})


def _harden(limits: Limits, parent: int, tasks: int) -> None:
    try:
        harden(limits, parent, tasks)
    except (OSError, ValueError) as error:
        raise TransientError("The sandbox could not be closed; the step was not run.") from error


def _run_step(channel: socket.socket, order: Message, *, has_output: bool) -> Message:
    planned = step(order["step"])
    spoke = time.monotonic()

    def report(percent: int) -> None:
        nonlocal spoke
        if time.monotonic() - spoke >= PROGRESS_EVERY:
            spoke = time.monotonic()
            channel.sendall(pack({"kind": "progress", "percent": int(percent)}))

    with open(FILE, "rb", closefd=False) as file:
        file.seek(0)
        context = StepContext(file, order["facts"], order["profile"], report=report)
        if has_output:
            with open(OUTPUT, "wb", closefd=False) as output:
                output.seek(0)  # the worker has emptied it
                context.output = output
                return {"kind": "result", **document(planned.run(context))}
        return {"kind": "result", **document(planned.run(context))}
