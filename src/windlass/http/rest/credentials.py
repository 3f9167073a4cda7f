"""The credentials that operations of the record plane declare by ``auth``."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.security.base import AuthBase

from windlass.accounts import api as accounts
from windlass.accounts.api import Access


class Credential(AuthBase):
    """The credentials that ``access`` names. ``rest.routing`` has proved one before the operation runs."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = (
        "An API token (`windlass token create --user NAME`), a JSON Web Token, or a session with its CSRF "
        "token. "
        "With `AUTH_MODE=open`, on loopback only, no credential is needed."
    )

    def __init__(self, access: Access) -> None:
        self.access = access
        super().__init__()

    async def __call__(self, request: HttpRequest) -> Any:
        return request.windlass_principal  # type: ignore[attr-defined]


OWNER = Credential(accounts.OWNER)
OWNER_READS = Credential(accounts.OWNER_READS)
STAFF = Credential(accounts.STAFF)
