"""Sign in with a password: a short-lived access token (JWT), and a refresh token that is exchanged for new ones.

Each refresh token is valid once. Whoever presents one a second time may have stolen it, or been robbed of it, so the
sign-in ends (RFC 9700, 4.14.2). Access tokens end with their sign-in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

from windlass import conf
from windlass.accounts import users
from windlass.accounts.audited_sign_ins import REFRESH_TOKEN, record_for_user
from windlass.accounts.json_web_tokens import access_tokens
from windlass.accounts.json_web_tokens.verification import Header
from windlass.accounts.models import SignIn
from windlass.accounts.password_backend import authenticate_limited
from windlass.accounts.proofs import proof_of_sign_in
from windlass.database.connection import atomic
from windlass.events.api import AuditAction
from windlass.kernel.clock import now
from windlass.kernel.principals import CredentialKind, Principal, owner_of_user
from windlass.kernel.problem_types import InvalidToken, Unauthenticated
from windlass.kernel.stored_text import is_storable

REFRESH_PREFIX = "wlr_"
_REFRESH = re.compile(r"wlr_(?P<handle>[0-9a-f]{32})_(?P<secret>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class SignInTokens:
    """``expires_in``: seconds that ``access`` is valid."""

    access: str
    refresh: str
    expires_in: int


def sign_in(request: HttpRequest, username: str, password: str) -> SignInTokens:
    """Raises RateLimited after many wrong passwords; Unauthenticated, after the same time for a wrong name and a wrong
    password. Blocks for long: on the hash of the password, and on the database."""
    is_possible = is_storable(username) and is_storable(password)
    user: Any = authenticate_limited(request, username, password) if is_possible else None
    if user is None or not users.is_active(user):
        raise Unauthenticated("The user name or the password is wrong.")
    user_logged_in.send(sender=type(user), request=request, user=user)
    handle, secret = secrets.token_hex(16), secrets.token_urlsafe(32)
    row = SignIn(user_id=user.pk, handle=handle, digest=_digest(secret), password_mark=users.password_mark(user))
    row.expires_at = now() + _lifetime()
    row.save()
    return _tokens(row, user, secret)


def refresh(token: str) -> SignInTokens:
    """Exchange a refresh token. Raises InvalidToken; if it has been used before, its sign-in has then ended."""
    row, secret = _find(token)
    user = None if row is None else _user_of(row)
    if row is None or user is None:
        raise InvalidToken("This refresh token is unknown, its sign-in has ended, or its user may not sign in.")
    new_secret, moment = secrets.token_urlsafe(32), now()
    with atomic():
        changed = SignIn.objects.filter(pk=row.pk, digest=_digest(secret)).update(
            digest=_digest(new_secret), refreshed_at=moment, expires_at=moment + _lifetime()
        )
        if changed:
            record_for_user(AuditAction.SIGN_IN_REFRESHED, user, credential=REFRESH_TOKEN)
        else:
            row.delete()
            record_for_user(AuditAction.SIGN_IN_REUSED, user)
    if not changed:
        raise InvalidToken("This refresh token has been used before: the sign-in has ended. Sign in again.")
    return _tokens(row, user, new_secret)


def end_sign_in(token: str) -> None:
    """End the sign-in of this refresh token; nothing happens if there is none (RFC 7009, 2.2)."""
    row, _ = _find(token)
    if row is not None:
        with atomic():
            row.delete()
            user = users.get_user(row.user_id)
            if user is not None:
                record_for_user(AuditAction.SIGN_IN_ENDED, user, credential=REFRESH_TOKEN)


def principal_of_access_token(token: str, header: Header) -> Principal:
    """Raises InvalidToken."""
    row = SignIn.objects.filter(pk=access_tokens.sign_in_of(token, header), expires_at__gt=now()).first()
    user = None if row is None else _user_of(row)
    if row is None or user is None:
        raise InvalidToken("The sign-in of this token has ended. Sign in again.")
    return Principal(
        owner_of_user(user.pk),
        staff=users.is_staff(user),
        user_id=user.pk,
        credential=CredentialKind.JWT,
        proof=proof_of_sign_in(row.pk),
    )


def prune_sign_ins() -> int:
    """Delete those that have expired; returns how many."""
    deleted, _ = SignIn.objects.filter(expires_at__lt=now()).delete()
    return deleted


def _find(token: str) -> tuple[SignIn | None, str]:
    """The sign-in that lasts and that the handle in the refresh token names, and the other part of the token."""
    match = _REFRESH.fullmatch(token)
    if match is None:
        return None, ""
    return SignIn.objects.filter(handle=match["handle"], expires_at__gt=now()).first(), match["secret"]


def _user_of(row: SignIn) -> Any | None:
    """The user, if active and with the password of the sign-in."""
    user = users.get_user(row.user_id)
    lasts = user is not None and users.is_active(user) and users.is_password_mark(user, row.password_mark)
    return user if lasts else None


def _tokens(row: SignIn, user: Any, secret: str) -> SignInTokens:
    seconds = conf.get().access_token_seconds
    access = access_tokens.make_access_token(row.pk, str(user.pk), now() + timedelta(seconds=seconds))
    return SignInTokens(access, f"{REFRESH_PREFIX}{row.handle}_{secret}", seconds)


def _lifetime() -> timedelta:
    return timedelta(days=conf.get().refresh_token_days)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
