"""Notices that the credential of a request which lasts, such as an event stream, is no longer good."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from django.db import DatabaseError

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database
from windlass.http.endpoints import PRINCIPAL
from windlass.kernel.errors import Problem

#: How often the credential is proved again. A revocation in this process is noticed at once.
RECHECK_SECONDS = 5.0


async def until_revoked(scope: MutableMapping[str, Any], access: Access) -> None:
    """Return once the credential that ``endpoints.admit`` proved proves this caller no longer: it expired or was
    revoked, its user was deactivated or has other rights, its session ended."""
    if accounts.needs_no_database(scope, access):
        await asyncio.Event().wait()
    revocation = asyncio.Event()
    loop = asyncio.get_running_loop()

    def notify() -> None:
        with suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(revocation.set)

    stop_listening = accounts.listen_for_revocations(notify)
    try:
        while await in_database(_is_good, scope, access):
            with suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_SECONDS):
                    await revocation.wait()
            revocation.clear()
    finally:
        stop_listening()


def _is_good(scope: MutableMapping[str, Any], access: Access) -> bool:
    """A database that is away says nothing: then nothing can be told to the stream either."""
    try:
        return bool(accounts.authenticate_scope(scope, access) == scope[PRINCIPAL])
    except Problem:
        return False
    except DatabaseError as error:
        if not is_outage(error):
            raise
        log_outage(error)
        return True
