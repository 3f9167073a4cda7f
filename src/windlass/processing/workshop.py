"""This process's sandbox: one, made when it is first needed; and a file laid out for its steps."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from windlass.files.api import Blob, open_blob, profiles
from windlass.processing import scratch
from windlass.processing.contract import About
from windlass.processing.limits import limits_of
from windlass.processing.registry import installed
from windlass.processing.sandbox.client import Sandbox, Session
from windlass.processing.sandbox.hardening import Limits
from windlass.storage.registry import store

_lock = threading.Lock()
_sandbox: Sandbox | None = None


def sandbox() -> Sandbox:
    global _sandbox
    with _lock:
        if _sandbox is None:
            _sandbox = Sandbox(unexpected())
        return _sandbox


def unexpected() -> list[str]:
    """The steps that no profile asks for: their libraries would make every child dearer."""
    rules = [profile.document() for profile in profiles().values()]
    return [
        name
        for name, step in installed().items()
        if step.about.wanted_by and not any(each.get(step.about.wanted_by) for each in rules)
    ]


@dataclass(frozen=True, slots=True)
class Bench:
    """A file that is open, room for what its steps make, and its turn in the sandbox."""

    file: BinaryIO
    output: BinaryIO
    session: Session


@contextmanager
def bench(blob: Blob) -> Iterator[Bench]:
    """Raises StoreError."""
    with ExitStack() as stack:
        stored = stack.enter_context(open_blob(blob))
        secret = store(blob.store).capabilities.encrypted
        file = stack.enter_context(scratch.real_file(stored, secret=secret))
        output = stack.enter_context(scratch.output(secret=secret))
        yield Bench(file, output, stack.enter_context(_session(file, output, limits_of())))


@contextmanager
def own_bench(shared: Bench, about: About) -> Iterator[Bench]:
    """The same file for a long step: a child of its own, with its own limits, and an output of its own."""
    with scratch.output() as output, _session(shared.file, output, limits_of(about)) as session:
        yield Bench(shared.file, output, session)


def _session(file: BinaryIO, output: BinaryIO, limits: Limits) -> Session:
    return sandbox().session(file.fileno(), output.fileno(), limits)


def shut_down() -> None:
    """End the sandbox's parent; a step that runs in it is ended, and tried again elsewhere. Idempotent."""
    global _sandbox
    with _lock:
        ending, _sandbox = _sandbox, None
    if ending is not None:
        ending.close()


def _forget() -> None:
    global _lock, _sandbox
    _lock = threading.Lock()
    if _sandbox is not None:
        _sandbox.forget()
        _sandbox = None


atexit.register(shut_down)
os.register_at_fork(after_in_child=_forget)
