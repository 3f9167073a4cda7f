"""End live connections with the credentials that opened them: expired, revoked, of a user with other rights.

One task checks every credential from time to time, once for all its connections, and at once after a revocation in this
process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from windlass.accounts import api as accounts
from windlass.accounts.api import LIVE
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database
from windlass.http.callers import PRINCIPAL
from windlass.http.live.journal_follower import setter
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Problem

#: Seconds between two checks of a credential. A revocation in this process is noticed at once.
RECHECK_SECONDS = 5.0
#: Credentials that are checked in one piece of work of a database thread.
CHECKED_AT_ONCE = 50

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
_Key = tuple[Principal, tuple[bytes, ...]]


@dataclass(eq=False, slots=True)
class _Credential:
    """A credential, as the request that ``scope`` is of presented it."""

    scope: Scope
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0


class CredentialWatch:
    """All methods belong to one event loop."""

    def __init__(self) -> None:
        self._watched: dict[_Key, _Credential] = {}
        self._task: asyncio.Task[None] | None = None
        self._due = asyncio.Event()

    @contextmanager
    def watching(self, scope: Scope) -> Iterator[asyncio.Event]:
        """Watch the credential of a request that ``admit`` has admitted. The event is set once it proves its caller no
        more."""
        if accounts.needs_no_database(scope, LIVE):
            yield asyncio.Event()
            return
        key = _key(scope)
        credential = self._watched.get(key)
        if credential is None:
            credential = self._watched[key] = _Credential(scope)
            self._due.set()  # it may have ended since it was admitted
        credential.connections += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="windlass-credentials")
        try:
            yield credential.ended
        finally:
            credential.connections -= 1
            if not credential.connections and self._watched.get(key) is credential:
                del self._watched[key]
            if not self._watched and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        stop_listening = accounts.listen_for_revocations(setter(self._due))
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RECHECK_SECONDS):
                        await self._due.wait()
                self._due.clear()
                await self._check()
        finally:
            stop_listening()

    async def _check(self) -> None:
        watched = list(self._watched.items())
        for first in range(0, len(watched), CHECKED_AT_ONCE):
            group = watched[first : first + CHECKED_AT_ONCE]
            proved = await in_database(_are_good, [credential.scope for _, credential in group])
            for (key, credential), is_good in zip(group, proved, strict=True):
                if not is_good:
                    credential.ended.set()
                    if self._watched.get(key) is credential:
                        del self._watched[key]


def _key(scope: Scope) -> _Key:
    """Connections with the same key stand and fall together."""
    headers = tuple(value for name, value in scope["headers"] if name in (b"authorization", b"cookie"))
    return scope[PRINCIPAL], headers


def _are_good(scopes: Sequence[Scope]) -> list[bool]:
    return [_is_good(scope) for scope in scopes]


def _is_good(scope: Scope) -> bool:
    """Whether the credential still proves the caller. While the database is unavailable, it counts as valid; after any
    other error it does not."""
    try:
        return accounts.still_authenticates(scope, LIVE, scope[PRINCIPAL])
    except Problem:
        return False
    except Exception as error:  # such as one of the project's rule; the other connections go on
        if is_outage(error):
            log_outage(error)
            return True
        log.exception("credential.unverifiable")
        return False


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, CredentialWatch] = WeakKeyDictionary()


def credential_watch() -> CredentialWatch:
    """The watch of the running loop."""
    return _watches.setdefault(asyncio.get_running_loop(), CredentialWatch())
