"""Admit a call: prove its credential, and count it for its address and its user."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.executors import in_thread
from windlass.http import rate_limits
from windlass.http.callers import admit
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Forbidden, Unauthenticated
from windlass.resilience.rate_limits.policies import RateClass

_proved = accounts.ProvedCredentials()


async def admit_counted(scope: MutableMapping[str, Any], access: Access, kind: RateClass) -> Principal:
    """``callers.admit``, with the limits of wrong credentials and of calls. Raises RateLimited besides.

    An admitted upload is neither limited nor kept waiting; wrong credentials for it count nevertheless.
    """
    presented = accounts.presented_credential(scope, access)
    if presented is None:
        principal = await admit(scope, access)
    else:
        principal = await _admit_guessable(scope, access, presented, waits=kind is not RateClass.UNLIMITED)
    await rate_limits.check(scope, kind, principal)
    return principal


async def _admit_guessable(
    scope: MutableMapping[str, Any], access: Access, presented: accounts.Presented, *, waits: bool
) -> Principal:
    if waits and presented.digest not in _proved:
        await in_thread(accounts.require_may_try, presented)
    try:
        principal = await admit(scope, access)
    except (Unauthenticated, Forbidden) as refusal:
        query = scope.get("query_string", b"").decode("latin-1")
        await in_thread(accounts.count_if_wrong, presented, refusal, scope.get("path_params", {}), query)
        raise
    _proved.add(presented.digest)
    return principal
