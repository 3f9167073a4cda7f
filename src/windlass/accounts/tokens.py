"""API tokens: 256 random bits, stored as a SHA-256. A fast hash suffices because the secret cannot be guessed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from windlass.accounts import users
from windlass.accounts.models import ApiToken, SignIn
from windlass.accounts.proofs import proof_of_token
from windlass.accounts.scopes import parse_scopes, scopes_text
from windlass.database.connection import atomic
from windlass.events.api import AuditAction, record_action
from windlass.kernel.clock import now
from windlass.kernel.principals import ALL_SCOPES, Principal, Scope, owner_of_user

TOKEN_PREFIX = "wl_"  # noqa: S105  a prefix, no secret
INVALID = "This token is unknown, has expired, or its user may not sign in."


def create_token(
    username: str,
    *,
    staff: bool = False,
    name: str = "",
    expires_at: datetime | None = None,
    scopes: Iterable[Scope] = ALL_SCOPES,
) -> str:
    """Create a token for the user, who is created if missing. ``staff`` makes the user staff; False changes nothing.

    Raises users.UserError.
    """
    user = users.ensure_user(username, staff=staff)
    row = ApiToken(user_id=user.pk, name=name, expires_at=expires_at, scopes=scopes_text(scopes))
    return save_with_new_secret(row)


def save_with_new_secret(row: ApiToken) -> str:
    """Save a new row, and return its token, which is not stored."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row.digest = _digest(token)
    with atomic():
        row.save()
        record_action(AuditAction.TOKEN_CREATED, owner=owner_of_user(row.user_id), subject=str(row.pk))
    return token


def principal_of_token(token: str) -> Principal | None:
    """The token's user; None where the token is unknown or expired, or the user may no longer sign in."""
    return principal_of_digest(_digest(token))


def principal_of_digest(digest: str) -> Principal | None:
    """``principal_of_token`` for the token of this digest (``ApiToken.digest``)."""
    found = _find(digest)
    if found is None:
        return None
    (row, user), moment = found, now()
    if row.last_used_at is None or row.last_used_at < moment - timedelta(minutes=1):
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=moment)
    scopes = parse_scopes(row.scopes.split())
    staff = users.is_staff(user) and Scope.ADMIN in scopes
    proof = proof_of_token(row.pk)
    return Principal(owner_of_user(user.pk), staff=staff, user_id=user.pk, scopes=scopes, proof=proof)


def row_of_token(token: str) -> ApiToken | None:
    """The token's row; None as for ``principal_of_token``."""
    found = _find(_digest(token))
    return None if found is None else found[0]


def list_tokens() -> list[tuple[ApiToken, str]]:
    """All tokens with their users' names, in the order of their creation."""
    tokens = list(ApiToken.objects.order_by("pk"))
    by_key = users.get_users({token.user_id for token in tokens})
    return [
        (token, by_key[token.user_id].get_username() if token.user_id in by_key else f"user {token.user_id}, deleted")
        for token in tokens
    ]


def delete_tokens_of_user(sender: object, instance: Any, **_: Any) -> None:
    """Signal receiver: delete the tokens and sign-ins of a deleted user, in whichever database they are."""
    ApiToken.objects.filter(user_id=instance.pk).delete()
    SignIn.objects.filter(user_id=instance.pk).delete()


def revoke_token(number: int) -> bool:
    """Delete a token, which makes it invalid at once. False where there is no token of this number."""
    with atomic():
        row = ApiToken.objects.select_for_update().filter(pk=number).first()
        if row is None:
            return False
        row.delete()
        record_action(AuditAction.TOKEN_REVOKED, owner=owner_of_user(row.user_id), subject=str(number))
    return True


def _find(digest: str) -> tuple[ApiToken, Any] | None:
    """The token and its user, if both are accepted."""
    unexpired = Q(expires_at=None) | Q(expires_at__gt=now())
    row = ApiToken.objects.filter(unexpired, digest=digest).first()
    user = None if row is None else users.get_user(row.user_id)
    return None if row is None or user is None or not user.is_active else (row, user)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
