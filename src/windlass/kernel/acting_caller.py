"""Who causes what this thread or task does: the caller of the request, or the person who runs a command.

The HTTP layer opens a caller for each request before it is authenticated; threads that work for the request share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from windlass.kernel.principals import Principal

#: The credential of a person who runs a command on the server.
COMMAND = "command"
#: Characters of an address that are kept; an IPv6 address with a zone is shorter.
MAX_ADDRESS = 64


@dataclass(slots=True)
class ActingCaller:
    """``name``: as records name their owner, or ``os:NAME`` for a command; empty while it is not known.
    ``address``: the client's IP address, empty for a command. ``credential``: a CredentialKind, or COMMAND."""

    name: str = ""
    address: str = ""
    credential: str = ""


#: Work that nobody asked for in person, such as a sweep or a job.
_SERVER = ActingCaller()
_current: ContextVar[ActingCaller] = ContextVar("windlass_acting_caller", default=_SERVER)


def acting_caller() -> ActingCaller:
    """The caller; all fields are empty where the server acts by itself."""
    return _current.get()


@contextmanager
def acting_as(caller: ActingCaller) -> Iterator[None]:
    token = _current.set(caller)
    try:
        yield
    finally:
        _current.reset(token)


def set_acting_caller(caller: ActingCaller) -> None:
    """For a process that acts for one person until it ends."""
    _current.set(caller)


def note_principal(principal: Principal) -> None:
    """The caller of this request has been authenticated."""
    caller = _current.get()
    if caller is not _SERVER:
        caller.name, caller.credential = principal.owner, principal.credential.value
