"""API tokens: 256 random bits, found by their hash. A fast hash is right for a secret that cannot be guessed."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from windlass.accounts import users
from windlass.accounts.models import ApiToken
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal, owner_of_user

PREFIX = "wl_"


def create(username: str, *, staff: bool = False, name: str = "", expires_at: datetime | None = None) -> str:
    """A new token for the user, who is made if need be. ``staff`` raises the user, never lowers one.

    Raises users.UserError.
    """
    user = users.ensure(username, staff=staff)
    token = PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(user_id=user.pk, name=name, digest=_digest(token), expires_at=expires_at)
    return token


def principal(token: str) -> Principal | None:
    """Whose token this is; None for one that is unknown, expired, or of a user who may no longer sign in."""
    moment = now()
    living = Q(expires_at=None) | Q(expires_at__gt=moment)
    found = ApiToken.objects.filter(living, digest=_digest(token)).first()
    user = None if found is None else users.get(found.user_id)
    if found is None or user is None or not user.is_active:
        return None
    if found.last_used_at is None or found.last_used_at < moment - timedelta(minutes=1):
        ApiToken.objects.filter(pk=found.pk).update(last_used_at=moment)
    return Principal(owner_of_user(user.pk), staff=users.is_staff(user), user_id=user.pk)


def every() -> list[tuple[ApiToken, str]]:
    """All tokens, each with its user's name, in the order they were made."""
    found = list(ApiToken.objects.order_by("pk"))
    named = users.find_all({token.user_id for token in found})
    return [
        (token, named[token.user_id].get_username() if token.user_id in named else f"user {token.user_id}, gone")
        for token in found
    ]


def forget_user(sender: object, instance: Any, **_: Any) -> None:
    """A receiver: a user who is deleted takes their tokens along, in whichever database these are."""
    ApiToken.objects.filter(user_id=instance.pk).delete()


def revoke(number: int) -> bool:
    """Make a token worthless at once. False where there is none of that number."""
    deleted, _ = ApiToken.objects.filter(pk=number).delete()
    return bool(deleted)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
