"""Credentials on the record plane: each operation declares what it requires by ``auth``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from ninja.security.base import AuthBase

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.executors import in_database
from windlass.http.authentication import PRINCIPAL
from windlass.kernel.principals import Principal


class Credential(AuthBase):
    """The credentials that ``access`` names. ``routing`` has proved one before the operation runs."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = (
        "An API token (`windlass token create --user NAME`), or a session with its CSRF token. "
        "In open mode, which listens on loopback only, none is needed."
    )

    def __init__(self, access: Access) -> None:
        self.access = access
        super().__init__()

    async def __call__(self, request: HttpRequest) -> Any:
        return request.windlass_principal  # type: ignore[attr-defined]


OWNER = Credential(accounts.OWNER)
STAFF = Credential(accounts.STAFF)


async def admit(request: HttpRequest, access: Access, path: Mapping[str, Any]) -> None:
    """Prove the caller's credential, unless ``windlass.asgi`` did so before the body was received.

    Raises as ``accounts.authenticate`` does.
    """
    admitted = getattr(request, "scope", {}).get(PRINCIPAL)
    principal = admitted or await in_database(accounts.authenticate, request, access, path)
    request.windlass_principal = principal  # type: ignore[attr-defined]


def caller(request: HttpRequest) -> Principal:
    """The principal that ``admit`` stored."""
    principal = request.windlass_principal  # type: ignore[attr-defined]
    assert isinstance(principal, Principal)
    return principal
