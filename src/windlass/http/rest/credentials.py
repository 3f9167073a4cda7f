"""Who is asking, for calls of the record plane."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.security.base import AuthBase

from windlass.accounts import api as accounts
from windlass.kernel.principals import Principal
from windlass.receiving.offload import in_database


class Credential(AuthBase):
    """An API token, a session or, in open mode, nobody: ``accounts.of_request`` decides, and raises what is refused."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = (
        "An API token (`windlass token create --user NAME`), or a session with its CSRF token. "
        "In open mode, which listens on loopback only, none is needed."
    )

    async def __call__(self, request: HttpRequest) -> Any:
        return await in_database(accounts.of_request, request)


def caller(request: HttpRequest) -> Principal:
    """The principal that ``Credential`` found."""
    principal = request.auth  # type: ignore[attr-defined]
    assert isinstance(principal, Principal)
    return principal
