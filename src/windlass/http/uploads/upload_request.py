"""One request that may carry file bytes: its caller, the URLs it is answered with, and the answer that is recorded."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings
from starlette.requests import Request
from starlette.responses import Response

from windlass.accounts import api as accounts
from windlass.accounts.api import Access
from windlass.files import api as files
from windlass.http.callers import PRINCIPAL, admit, principal_of
from windlass.http.idempotency import storable
from windlass.kernel import urls
from windlass.kernel.principals import Caller, Principal
from windlass.protocols.intents import Head
from windlass.receiving.body import RequestBody

#: The form field in which a page of Django's sends its CSRF token.
CSRF_FIELD = "csrfmiddlewaretoken"
#: The key of an ASGI scope under which the refusal of a form is stored until its CSRF token has arrived.
UNPROVED = "windlass.unproved"

#: Record the answer that the given function makes, in the current transaction, if the request has an idempotency key.
RecordAnswer = Callable[[Callable[[], Response]], None]


@dataclass(frozen=True)
class UploadRequest:
    """One request that may carry file bytes. ``claim``: of its idempotency key, if it has one."""

    request: Request
    head: Head
    body: RequestBody
    access: Access
    claim: files.KeyClaim | None = None

    @property
    def request_id(self) -> str:
        return str(self.request.scope.get("windlass.request_id", ""))

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the endpoint's path."""
        return self.request.path_params

    def location(self, upload_id: uuid.UUID) -> str:
        """The URL of an upload session as this client reaches it; with the grant, where the client uses one."""
        grant = self.head.query.get(accounts.GRANT_PARAMETER)
        parameters = f"?{urlencode({accounts.GRANT_PARAMETER: grant})}" if grant else ""
        return urls.location(f"/uploads/{upload_id}{parameters}")

    async def answer_recorder(self) -> RecordAnswer:
        """Return the function that records an answer with what it reports. Call this once the body has ended."""
        claim = self.claim
        if claim is None:
            return lambda make_answer: None
        claim.body = await self.body.content_digest()
        return lambda make_answer: files.record_answer(claim, storable(make_answer()))

    @property
    def principal(self) -> Principal:
        """Raises Forbidden for a form whose CSRF token has not arrived yet."""
        if UNPROVED in self.request.scope:
            raise self.request.scope[UNPROVED]
        return principal_of(self.request)

    async def principal_of_form(self, fields: Mapping[str, str]) -> Principal:
        """``principal``; the form fields that have arrived may hold the CSRF token. Raises Forbidden."""
        token = fields.get(CSRF_FIELD)
        if token is not None and UNPROVED in self.request.scope:
            proved = {**self.request.scope, "headers": _with_csrf_token(self.request.scope["headers"], token)}
            self.request.scope[PRINCIPAL] = await admit(proved, self.access)
            del self.request.scope[UNPROVED]
        return self.principal

    @property
    def caller(self) -> Caller:
        principal = self.principal
        return lambda: principal


def _with_csrf_token(headers: list[tuple[bytes, bytes]], token: str) -> list[tuple[bytes, bytes]]:
    name = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").lower().encode()
    return [*(field for field in headers if field[0] != name), (name, token.encode("latin-1", "replace"))]
