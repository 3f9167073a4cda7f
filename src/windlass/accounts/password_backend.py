"""Django's authentication by password, with a limit of wrong ones. ``AUTHENTICATION_BACKENDS`` names it."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from windlass.accounts import wrong_credentials


class LimitedSignIn(ModelBackend):
    """Raises RateLimited where too many wrong passwords came before; ``http.sign_in_refusals`` answers it.

    It comes before ``ModelBackend``, which stays for sessions that it began.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        account = username if username is not None else kwargs.get(get_user_model().USERNAME_FIELD)
        if account is None or password is None:
            return None
        address = request.META.get("REMOTE_ADDR") if request is not None else None
        wrong_credentials.require_may_sign_in(str(account), address)
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            wrong_credentials.count_wrong_password(str(account), address)
            raise PermissionDenied  # no other backend tries the password
        wrong_credentials.remember_sign_in(str(account), address)
        return user

    async def aauthenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        return await sync_to_async(self.authenticate)(request, username=username, password=password, **kwargs)


def authenticate_limited(request: HttpRequest, username: str, password: str) -> Any:
    """Django's ``authenticate``, with the limit of wrong passwords also where a project's settings do not name
    ``LimitedSignIn``. Raises RateLimited. Blocks."""
    if f"{LimitedSignIn.__module__}.{LimitedSignIn.__qualname__}" in settings.AUTHENTICATION_BACKENDS:
        return authenticate(request, username=username, password=password)
    address = request.META.get("REMOTE_ADDR")
    wrong_credentials.require_may_sign_in(username, address)
    user = authenticate(request, username=username, password=password)
    if user is None:
        wrong_credentials.count_wrong_password(username, address)
    else:
        wrong_credentials.remember_sign_in(username, address)
    return user
