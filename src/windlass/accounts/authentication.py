"""Who is asking, on either plane: an API token, a Django session, a grant, or the person at this machine in
open mode."""

from __future__ import annotations

import io
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import grants, tokens
from windlass.kernel.errors import Forbidden, Unauthenticated
from windlass.kernel.principals import ANONYMOUS, Principal, owner_of_user

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CsrfTokenMissing(Forbidden):
    """The session is good, and the request does not prove that it comes from a page of ours."""


def of_scope(scope: dict[str, Any]) -> Principal:
    """For the byte plane: the principal of an ASGI request whose body has not been read. Blocks on the database.

    Where the URL carries a grant, and the request is one that a grant is good for, nothing else counts.
    """
    granted = grants.of_scope(scope)
    if granted is not None:
        return granted
    request = ASGIRequest(scope, io.BytesIO())
    engine = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = engine(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return of_request(request)


def has_credential(scope: dict[str, Any]) -> bool:
    """Whether the request carries something to be looked up; without it ``of_scope`` asks no database."""
    return grants.is_named(scope) or any(name in (b"authorization", b"cookie") for name, _ in scope["headers"])


def of_request(request: HttpRequest) -> Principal:
    """Raises Unauthenticated for a credential that is wrong, or absent where one is required; Forbidden for CSRF."""
    header = request.headers.get("Authorization", "")
    scheme, _, credential = header.partition(" ")
    if scheme.lower() == "bearer":
        found = tokens.principal(credential.strip())
        if found is None:
            raise Unauthenticated("This token is unknown, has expired, or its user may not sign in.")
        return found
    by_session = _of_session(request)
    if by_session is not None:
        return by_session
    if conf.get().credentials_required:
        raise Unauthenticated("Send 'Authorization: Bearer <token>'. `windlass token create --user NAME` makes one.")
    _refuse_foreign_page(request)
    return ANONYMOUS


def _of_session(request: HttpRequest) -> Principal | None:
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not hasattr(request, "session"):
        return None
    user = get_user(request)
    if isinstance(user, AnonymousUser) or not user.is_active:
        return None
    if request.method not in SAFE_METHODS:
        _check_csrf(request)
    return Principal(owner_of_user(user.pk), staff=bool(getattr(user, "is_staff", False)), user_id=user.pk)


def _check_csrf(request: HttpRequest) -> None:
    if getattr(request, "csrf_processing_done", False):
        return
    middleware = CsrfViewMiddleware(_never)
    middleware.process_request(request)
    if middleware.process_view(request, _never, (), {}) is not None:
        raise CsrfTokenMissing(
            "A request with a session cookie needs the CSRF token in X-CSRFToken; a form may have it as the field "
            "csrfmiddlewaretoken, before its files."
        )


def _never(request: HttpRequest) -> HttpResponseBase:
    raise AssertionError("only the check of this middleware is used")


def _refuse_foreign_page(request: HttpRequest) -> None:
    """In open mode another site's page, open in a browser on this machine, must not act for the person at it."""
    if request.method in SAFE_METHODS:
        return
    origin, settings = request.headers.get("Origin"), conf.get()
    named = (*settings.csrf_trusted_origins, *settings.cors_allowed_origins)
    if origin and "*" not in named and origin not in (f"{request.scheme}://{request.get_host()}", *named):
        raise Forbidden(f"A page of {origin} may not act here. CORS_ALLOWED_ORIGINS names origins that may.")
