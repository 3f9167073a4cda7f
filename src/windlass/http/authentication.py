"""Prove who makes a request, before its body is read, and notice when that credential is no longer good."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from django.db import DatabaseError
from starlette.requests import Request

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database
from windlass.kernel.errors import Problem
from windlass.kernel.principals import Principal

#: The key of an ASGI scope under which ``admit`` stores the caller.
PRINCIPAL = "windlass.principal"
#: Seconds between two checks of the credential of a long request. A revocation in this process is noticed at once.
RECHECK_SECONDS = 5.0


async def admit(scope: MutableMapping[str, Any], access: Access) -> Principal:
    """Prove the caller's credential and store the caller in the scope.

    Raises Unauthenticated, Forbidden, GrantUsed, NotFound.
    """
    if accounts.needs_no_database(scope, access):
        principal = accounts.authenticate_scope(scope, access)
    else:
        principal = await in_database(accounts.authenticate_scope, dict(scope), access)
    scope[PRINCIPAL] = principal
    return principal


def principal_of(request: Request) -> Principal:
    """The caller that ``admit`` stored."""
    principal = request.scope[PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


async def until_revoked(scope: MutableMapping[str, Any], access: Access) -> None:
    """Return once the credential that ``admit`` proved no longer proves this caller.

    That is: it expired or was revoked, its user was deactivated or has other rights, or its session ended.
    """
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
    """Whether the credential still proves the caller. While the database is away, it counts as good."""
    try:
        return bool(accounts.authenticate_scope(scope, access) == scope[PRINCIPAL])
    except Problem:
        return False
    except DatabaseError as error:
        if not is_outage(error):
            raise
        log_outage(error)
        return True
