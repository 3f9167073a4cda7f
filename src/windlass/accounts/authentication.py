"""Who is asking, on either plane, by the credentials that the endpoint takes (``accounts.access``)."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import grants, signatures, tokens, users
from windlass.accounts.access import Access
from windlass.kernel.errors import Forbidden, Unauthenticated
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import (
    ANONYMOUS,
    METRICS_READER,
    NOBODY,
    SIGNED,
    CredentialKind,
    Principal,
    owner_of_user,
)
from windlass.kernel.stored_text import is_storable

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CsrfTokenMissing(Forbidden):
    """The session is good, and the request does not prove that it comes from a page of ours."""


def prove_scope(scope: Mapping[str, Any], access: Access) -> Principal:
    """``prove`` for an ASGI request whose body has not been read."""
    if access.public:
        return NOBODY
    query = scope.get("query_string", b"").decode("latin-1")  # Django would decode it as UTF-8, which it may not be
    request = ASGIRequest({**scope, "query_string": query}, io.BytesIO())
    engine = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = engine(_session_key(request))
    return prove(request, access, scope.get("path_params", {}))


def prove(request: HttpRequest, access: Access, path: Mapping[str, Any]) -> Principal:
    """The caller, by a credential that ``access`` names. ``path`` holds the parameters of the endpoint's path.

    What the URL carries counts before what the headers carry: a request that names a grant may do no more than that
    grant. Blocks on the database, unless ``needs_no_lookup``. Raises Unauthenticated for a credential that is wrong, or
    absent where one is required; Forbidden for one that is not for this endpoint, and for CSRF; GrantUsed, NotFound.
    """
    if access.public:
        return NOBODY
    query = _query(request.META.get("QUERY_STRING", ""))
    if grants.PARAMETER in query:
        return grants.prove(query[grants.PARAMETER], access.grant_use, path, request.headers.get("Origin"))
    if CredentialKind.SIGNED_URL in access.credentials and "signature" in query:
        return _by_signature(query, path)
    if CredentialKind.METRICS_TOKEN in access.credentials and _is_metrics_token(_bearer(request)):
        return METRICS_READER
    found = _by_headers(request)
    if access.staff and not found.staff:
        raise Forbidden("This call is for staff.")
    return found


def needs_no_lookup(scope: Mapping[str, Any], access: Access) -> bool:
    """Whether ``prove_scope`` asks no database: the request carries no credential to be looked up."""
    if access.public:
        return True
    named = any(name in (b"authorization", b"cookie") for name, _ in scope["headers"])
    return not named and not grants.is_named(scope)


def _by_headers(request: HttpRequest) -> Principal:
    token = _bearer(request)
    if token is not None:
        found = tokens.principal(token)
        if found is None:
            raise Unauthenticated("This token is unknown, has expired, or its user may not sign in.")
        return found
    by_session = _by_session(request)
    if by_session is not None:
        return by_session
    if conf.get().credentials_required:
        raise Unauthenticated("Send 'Authorization: Bearer <token>'. `windlass token create --user NAME` makes one.")
    _refuse_foreign_page(request)
    return ANONYMOUS


def _query(query_string: str) -> dict[str, list[str]]:
    """The parameters by their decoded names: ``%67rant`` is ``grant``."""
    return parse_qs(query_string, keep_blank_values=True)


def _bearer(request: HttpRequest) -> str | None:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def _is_metrics_token(given: str | None) -> bool:
    expected = conf.get().metrics_token
    return bool(expected) and given is not None and secrets.compare_digest(given.encode(), expected.encode())


def _by_signature(query: Mapping[str, list[str]], path: Mapping[str, Any]) -> Principal:
    file_id = parse_id(str(path.get("file_id", "")))
    expires = query.get("expires", [""])
    if not signatures.verify(f"/files/{file_id}/download/", expires[-1], query["signature"][-1]):
        raise Forbidden("This signed link has expired or is not of this file. Ask for a new one.")
    return SIGNED


def _by_session(request: HttpRequest) -> Principal | None:
    if _session_key(request) is None or not hasattr(request, "session"):
        return None
    user = get_user(request)
    if isinstance(user, AnonymousUser) or not user.is_active:
        return None
    if request.method not in SAFE_METHODS:
        _check_csrf(request)
    staff = users.is_staff(user)
    return Principal(owner_of_user(user.pk), staff=staff, user_id=user.pk, credential=CredentialKind.SESSION)


def _session_key(request: HttpRequest) -> str | None:
    """None where there is none, or one that is no key of anybody: a cookie may spell NUL."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return key if key and is_storable(key) else None


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
