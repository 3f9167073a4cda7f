"""Who sends a form. Pages of Django's bring their CSRF token as a field, which comes with the body: so a caller whose
session is good is known once the fields before the first file are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from windlass.accounts import api as accounts
from windlass.http.endpoints import principal_of
from windlass.http.uploads.receiving import Incoming
from windlass.kernel.principals import Principal
from windlass.receiving.offload import in_database

FIELD = "csrfmiddlewaretoken"


class FormCaller:
    """``prove`` before anything of the form is read; ``principal`` before anything of it is kept."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._principal: Principal | None = None
        self._refusal: accounts.CsrfTokenMissing | None = None

    async def prove(self) -> None:
        """Raises Unauthenticated, Forbidden; not yet where nothing but the CSRF token is missing."""
        try:
            self._principal = await principal_of(self._incoming.request)
        except accounts.CsrfTokenMissing as refusal:
            self._refusal = refusal

    async def principal(self, fields: Mapping[str, str]) -> Principal:
        """``fields`` are those that have come. Raises Forbidden."""
        if self._principal is None:
            if self._refusal is None or FIELD not in fields:
                raise self._refusal or AssertionError("prove comes first")
            self._principal = await in_database(accounts.of_scope, self._with_token(fields[FIELD]))
        return self._principal

    def _with_token(self, token: str) -> dict[str, Any]:
        scope = dict(self._incoming.request.scope)
        name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower().encode()
        others = [(key, value) for key, value in scope["headers"] if key != name]
        return scope | {"headers": [*others, (name, token.encode("latin-1", "replace"))]}
