"""Who makes a request: ``admit`` proves it on the byte plane before a body is read, ``admit_call`` on the record plane,
where each operation declares what it requires (``rest.credentials``)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from django.http import HttpRequest
from starlette.requests import Request

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.executors import in_database, in_look_up_thread
from windlass.http.request_record import record_of
from windlass.kernel.acting_caller import note_principal
from windlass.kernel.principals import Principal

#: The key of an ASGI scope under which ``admit`` stores the caller.
PRINCIPAL = "windlass.principal"


async def admit(scope: MutableMapping[str, Any], access: Access) -> Principal:
    """Prove the caller's credential and store the caller in the scope. Raises Unauthenticated, Forbidden, GrantUsed,
    NotFound."""
    principal = await authenticate_scope(scope, access)
    scope[PRINCIPAL] = record_of(scope).principal = principal
    note_principal(principal)
    return principal


async def authenticate_scope(scope: Mapping[str, Any], access: Access) -> Principal:
    """``accounts.authenticate_scope``, in a thread if it blocks; the keys of a JWT are fetched before."""
    if accounts.needs_no_database(scope, access):
        return accounts.authenticate_scope(scope, access)
    await _fetch_keys(scope, access)
    return await in_database(accounts.authenticate_scope, dict(scope), access)


async def _fetch_keys(scope: Mapping[str, Any], access: Access) -> None:
    """A slow issuer of JWTs delays their holders only: no thread of the database waits for it."""
    header = accounts.token_that_needs_keys(scope, access)
    if header is not None:
        await in_look_up_thread(accounts.fetch_keys_for, header)


def principal_of(request: Request) -> Principal:
    """The caller that ``admit`` stored."""
    principal = request.scope[PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


async def admit_call(request: HttpRequest, access: Access, path: Mapping[str, Any]) -> None:
    """Prove the caller's credential, unless ``windlass.asgi`` did so before the body was received. Raises as
    ``accounts.authenticate`` does."""
    scope = getattr(request, "scope", {})
    principal = scope.get(PRINCIPAL)
    if principal is None:
        if scope:
            await _fetch_keys(scope, access)
        principal = await in_database(accounts.authenticate, request, access, path)
    assert isinstance(principal, Principal)
    record_of(getattr(request, "scope", {})).principal = principal
    note_principal(principal)
    request.windlass_principal = principal  # type: ignore[attr-defined]


def caller(request: HttpRequest) -> Principal:
    """The caller that ``admit_call`` stored."""
    principal = request.windlass_principal  # type: ignore[attr-defined]
    assert isinstance(principal, Principal)
    return principal
