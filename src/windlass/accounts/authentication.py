"""Authenticate the caller of a request, on either plane, by the credentials that the endpoint accepts."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import grants, signed_urls, tickets, tokens
from windlass.accounts.access import Access
from windlass.accounts.json_web_tokens import access_tokens, issuer
from windlass.accounts.json_web_tokens.verification import Header, is_compact_jws, read_header
from windlass.accounts.permission_rule import has_rule, under_rule
from windlass.accounts.proofs import still_proves
from windlass.accounts.sessions import principal_of_session
from windlass.accounts.sign_in import principal_of_access_token
from windlass.kernel.principals import (
    ANONYMOUS,
    METRICS_READER,
    NOBODY,
    SAFE_METHODS,
    SIGNED_URL_HOLDER,
    CredentialKind,
    Principal,
    Scope,
)
from windlass.kernel.problem_types import Forbidden, InsufficientScope, InvalidToken, Unauthenticated
from windlass.kernel.stored_text import is_storable
from windlass.protocols.idempotency import HEADER

#: Headers without which a request without a query says nothing about its caller.
_PROVING_HEADERS = frozenset({b"authorization", b"cookie", b"origin"})


class CsrfTokenMissing(Forbidden):
    """The session is valid, but the request has no CSRF token."""


def authenticate_scope(scope: Mapping[str, Any], access: Access) -> Principal:
    """``authenticate`` for an ASGI request whose body has not been read."""
    if access.public:
        return NOBODY
    if not scope.get("query_string") and not any(name in _PROVING_HEADERS for name, _ in scope["headers"]):
        return _admitted(_without_credential(), access, scope["method"])
    query = scope.get("query_string", b"").decode("latin-1")  # Django would decode it as UTF-8, which it may not be
    request = ASGIRequest({**scope, "query_string": query}, io.BytesIO())
    engine = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = engine(_session_key(request))
    return authenticate(request, access, scope.get("path_params", {}))


def authenticate(request: HttpRequest, access: Access, path: Mapping[str, Any]) -> Principal:
    """The caller, by a credential that ``access`` accepts. ``path`` holds the parameters of the endpoint's path.

    A credential in the URL takes precedence over the headers: a request that names a grant may do no more than that
    grant. Blocks on the database, unless ``needs_no_database``. Raises Unauthenticated for a wrong credential, or a
    missing one where one is required; Forbidden for one that this endpoint does not accept, and for CSRF;
    InsufficientScope; GrantUsed; NotFound.
    """
    if access.public:
        return NOBODY
    # The parameters by their decoded names: ``%67rant`` is ``grant``.
    query = parse_qs(request.META.get("QUERY_STRING", ""), keep_blank_values=True)
    if grants.GRANT_PARAMETER in query:
        principal = grants.authenticate(
            query[grants.GRANT_PARAMETER],
            access.grant_use,
            path,
            request.headers.get("Origin"),
            may_repeat=HEADER in request.headers,
        )
        return under_rule(principal, Scope.WRITE)
    if CredentialKind.TICKET in access.credentials and tickets.PARAMETER in query:
        return under_rule(tickets.use_ticket(query[tickets.PARAMETER]), Scope.READ)
    if CredentialKind.SIGNED_URL in access.credentials and "signature" in query:
        return _authenticate_signature(query, path)
    if CredentialKind.METRICS_TOKEN in access.credentials and _is_metrics_token(_bearer(request)):
        return METRICS_READER
    return _admitted(_authenticate_headers(request), access, request.method or "")


def _admitted(principal: Principal, access: Access, method: str) -> Principal:
    """Raises InsufficientScope, Forbidden."""
    needed = access.needed_scope(method)
    if needed not in principal.scopes:
        raise InsufficientScope(needed, principal.scopes)
    if access.staff and not principal.staff:
        raise Forbidden("This call is for staff.")
    return under_rule(principal, needed)


def require_csrf_token(request: HttpRequest) -> None:
    """Refuse a request that no page of this origin has sent. Raises CsrfTokenMissing."""
    if getattr(request, "csrf_processing_done", False):
        return
    middleware = CsrfViewMiddleware(_unreachable_view)
    middleware.process_request(request)
    if middleware.process_view(request, _unreachable_view, (), {}) is not None:
        raise CsrfTokenMissing(
            "A request that uses or begins a session needs the CSRF token in X-CSRFToken; a form may have it as the "
            "field csrfmiddlewaretoken, before its files."
        )


def needs_no_database(scope: Mapping[str, Any], access: Access) -> bool:
    """Whether ``authenticate_scope`` reads no database: there is no credential to look up and no rule to ask."""
    if access.public:
        return True
    if has_rule():
        return False
    has_credential = any(name in (b"authorization", b"cookie") for name, _ in scope["headers"])
    takes_ticket = CredentialKind.TICKET in access.credentials and tickets.has_ticket(scope)
    return not has_credential and not takes_ticket and not grants.has_grant(scope)


def still_authenticates(scope: Mapping[str, Any], access: Access, principal: Principal) -> bool:
    """Whether the request's credential still proves this caller, with the same rights, of a connection that lasts.
    Blocks on the database.

    Raises what ``authenticate_scope`` raises.
    """
    if principal.credential is CredentialKind.TICKET:
        return still_proves(principal) and under_rule(replace(principal, permitted=None), Scope.READ) == principal
    return authenticate_scope(scope, access) == principal


def token_that_needs_keys(scope: Mapping[str, Any], access: Access) -> Header | None:
    """The header of the request's JWT if its issuer's keys must be fetched first (``fetch_keys``), else None."""
    if access.public:
        return None
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    token = _bearer_of(fields[0].decode("latin-1")) if fields else None
    if token is None or not is_compact_jws(token):
        return None
    with suppress(InvalidToken):  # authentication refuses it
        header = read_header(token)
        return header if header.type != access_tokens.TYPE and issuer.needs_fetch(header) else None
    return None


def _authenticate_headers(request: HttpRequest) -> Principal:
    token = _bearer(request)
    if token is not None:
        return _authenticate_bearer(token)
    principal = _authenticate_session(request)
    if principal is not None:
        return principal
    anonymous = _without_credential()
    _refuse_foreign_origin(request)
    return anonymous


def _without_credential() -> Principal:
    """Raises Unauthenticated."""
    if conf.get().credentials_required:
        raise Unauthenticated("Send 'Authorization: Bearer <token>'. `windlass token create --user NAME` makes one.")
    return ANONYMOUS


def _authenticate_bearer(token: str) -> Principal:
    if is_compact_jws(token):
        header = read_header(token)
        if header.type == access_tokens.TYPE:
            return principal_of_access_token(token, header)
        return issuer.principal_of_issuer_token(token, header)
    principal = tokens.principal_of_token(token)
    if principal is None:
        raise InvalidToken(tokens.INVALID)
    return principal


def _bearer(request: HttpRequest) -> str | None:
    return _bearer_of(request.headers.get("Authorization", ""))


def _bearer_of(authorization: str) -> str | None:
    scheme, _, credential = authorization.partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def _is_metrics_token(given: str | None) -> bool:
    expected = conf.get().metrics_token
    return bool(expected) and given is not None and secrets.compare_digest(given.encode(), expected.encode())


def _authenticate_signature(query: Mapping[str, list[str]], path: Mapping[str, Any]) -> Principal:
    expires = query.get("expires", [""])
    if not signed_urls.is_signature_valid(signed_urls.path_of_request(path), expires[-1], query["signature"][-1]):
        raise Forbidden("This signed URL has expired or is for another file. Request a new one.")
    return SIGNED_URL_HOLDER


def _authenticate_session(request: HttpRequest) -> Principal | None:
    if _session_key(request) is None or not hasattr(request, "session"):
        return None
    principal = principal_of_session(request)
    if principal is not None and request.method not in SAFE_METHODS:
        require_csrf_token(request)
    return principal


def _session_key(request: HttpRequest) -> str | None:
    """The session cookie; None where there is none, or where the database could not store it (it contains NUL)."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return key if key and is_storable(key) else None


def _unreachable_view(request: HttpRequest) -> HttpResponseBase:
    raise AssertionError("only this middleware's check is used")


def _refuse_foreign_origin(request: HttpRequest) -> None:
    """Refuse pages of other origins in open mode: a page in a browser on this machine could act for its user.

    Raises Forbidden.
    """
    if request.method in SAFE_METHODS:
        return
    origin, settings = request.headers.get("Origin"), conf.get()
    allowed = (*settings.csrf_trusted_origins, *settings.cors_allowed_origins)
    if origin and "*" not in allowed and origin not in (f"{request.scheme}://{request.get_host()}", *allowed):
        raise Forbidden(
            f"Pages of {origin} are not allowed to send requests. CORS_ALLOWED_ORIGINS lists the allowed origins."
        )
