"""Who acts on a page of Django's, such as the admin, for the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import async_only_middleware

from windlass.accounts.api import is_staff
from windlass.kernel.acting_caller import note_principal
from windlass.kernel.principals import CredentialKind, Principal, owner_of_user

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@async_only_middleware
def acting_user(get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> Any:
    """Note the signed-in user of a request that changes something; after AuthenticationMiddleware."""

    async def respond(request: HttpRequest) -> HttpResponse:
        if request.method not in _READING:
            user = await request.auser()
            if not isinstance(user, AnonymousUser):
                owner = owner_of_user(user.pk)
                note_principal(Principal(owner, is_staff(user), user.pk, credential=CredentialKind.SESSION))
        return await get_response(request)

    return respond
