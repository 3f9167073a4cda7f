"""Sessions of browsers: begun with a password or with an API token, and ended.

A session that a token began is bound to that token: it has the token's scopes and ends with it. Django's own pages,
such as the admin, know no scopes, so to them its holder is not signed in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user, login, logout
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import tokens, users, wrong_credentials
from windlass.accounts.models import ApiToken
from windlass.accounts.password_backend import authenticate_limited
from windlass.accounts.proofs import TOKEN_OF_SESSION, proof_of_session
from windlass.accounts.wrong_credentials import Presented
from windlass.conf.loading import is_standalone
from windlass.events.api import AuditAction, record_action
from windlass.kernel.acting_caller import acting_caller
from windlass.kernel.clock import now
from windlass.kernel.principals import CredentialKind, Principal, owner_of_user
from windlass.kernel.problem_types import Forbidden, InvalidToken, Unauthenticated
from windlass.kernel.stored_text import is_storable


def begin_with_password(request: HttpRequest, username: str, password: str) -> Principal:
    """Sign the browser in as this user. Blocks for long: on the hash of the password, and on the database.

    Raises RateLimited after many wrong passwords; Unauthenticated; Forbidden inside another project, which may ask for
    more than a password on its own page.
    """
    _require_sessions(request)
    if not is_standalone():
        raise Forbidden("A password begins no session here. Sign in on the page of this site, or with an API token.")
    is_possible = is_storable(username) and is_storable(password)
    user: Any = authenticate_limited(request, username, password) if is_possible else None
    if user is None or not users.is_active(user):
        raise Unauthenticated("The user name or the password is wrong.")
    return begin_for_user(request, user)


def begin_for_user(request: HttpRequest, user: Any, backend: str | None = None) -> Principal:
    """Sign the browser in as a user who has been proved. The session gets a new key. Blocks on the database.

    ``backend``: the authentication backend, for a user that none has authenticated.
    """
    if TOKEN_OF_SESSION in request.session:
        request.session.flush()
    login(request, user, backend)
    principal = principal_of_session(request)
    assert principal is not None
    return principal


def begin_with_token(request: HttpRequest, token: str) -> Principal:
    """Sign the browser in as the token's user, with the token's rights. The session gets a new key. Blocks on the
    database. Raises RateLimited after many wrong tokens; InvalidToken."""
    _require_sessions(request)
    row = _proved_row(request, token)
    if {SESSION_KEY, TOKEN_OF_SESSION} & set(request.session.keys()):
        request.session.flush()
    else:
        request.session.cycle_key()
    request.session[TOKEN_OF_SESSION] = row.digest
    if row.expires_at is not None:
        seconds = (row.expires_at - now()).total_seconds()
        request.session.set_expiry(max(1, min(int(seconds), request.session.get_session_cookie_age())))
    rotate_token(request)
    principal = principal_of_session(request)
    if principal is None:  # revoked just now
        raise InvalidToken(tokens.INVALID)
    _audit(AuditAction.SIGN_IN, principal.owner)
    return principal


def end_session(request: HttpRequest) -> None:
    """Sign the browser out. Nothing happens where nobody is signed in. Blocks on the database."""
    if not hasattr(request, "session"):
        return
    of_token = principal_of_session(request) if has_token(request) else None
    logout(request)
    if of_token is not None:
        _audit(AuditAction.SIGN_IN_ENDED, of_token.owner)


def prune_sessions() -> None:
    """Delete those that have expired. Another project does that itself (``manage.py clearsessions``)."""
    if is_standalone():
        import_string(f"{settings.SESSION_ENGINE}.SessionStore").clear_expired()


def has_token(request: HttpRequest) -> bool:
    """Whether the session is bound to an API token. Blocks on the database."""
    return hasattr(request, "session") and SESSION_KEY not in request.session and TOKEN_OF_SESSION in request.session


def principal_of_session(request: HttpRequest) -> Principal | None:
    """Who is signed in; None where nobody is, or the user or the token is no longer accepted. Blocks on the database.

    A user who signed in with a password comes before a token.
    """
    key = request.session.session_key
    if not key:
        return None
    return _principal_of_user(request, key) or _principal_of_token(request, key)


def _principal_of_user(request: HttpRequest, key: str) -> Principal | None:
    user: Any = get_user(request)
    if isinstance(user, AnonymousUser) or not user.is_active:
        return None
    return Principal(
        owner_of_user(user.pk),
        staff=users.is_staff(user),
        user_id=user.pk,
        credential=CredentialKind.SESSION,
        proof=proof_of_session(key),
    )


def _principal_of_token(request: HttpRequest, key: str) -> Principal | None:
    digest = request.session.get(TOKEN_OF_SESSION)
    found = tokens.principal_of_digest(digest) if isinstance(digest, str) else None
    return None if found is None else replace(found, credential=CredentialKind.SESSION, proof=proof_of_session(key))


def _proved_row(request: HttpRequest, token: str) -> ApiToken:
    """Wrong ones count as those in ``Authorization`` do. Raises RateLimited, InvalidToken."""
    presented = Presented(CredentialKind.TOKEN, token, str(request.META.get("REMOTE_ADDR") or ""))
    limited = bool(presented.address and conf.get().wrong_credentials_per_minute)
    if limited:
        wrong_credentials.require_may_try(presented)
    row = tokens.row_of_token(token)
    if row is None:
        refusal = InvalidToken(tokens.INVALID)
        if limited:
            wrong_credentials.count_if_wrong(presented, refusal, {}, "")
        _audit(AuditAction.SIGN_IN_REFUSED, "")
        raise refusal
    return row


def _audit(action: AuditAction, owner: str) -> None:
    if not conf.get().audit_sign_ins:
        return
    caller = acting_caller()
    if caller.address and not caller.name:  # from here on the request acts for the user
        caller.name, caller.credential = owner, CredentialKind.TOKEN.value
    record_action(action, owner=owner)


def _require_sessions(request: HttpRequest) -> None:
    if not hasattr(request, "session"):
        raise Forbidden(
            "This project has no sessions: install django.contrib.sessions and its middleware, or send tokens."
        )
