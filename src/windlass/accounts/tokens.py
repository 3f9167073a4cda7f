"""API tokens: 256 random bits, found by their hash. A fast hash is right for a secret that cannot be guessed."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.db.models import Q

from windlass.accounts.models import ApiToken
from windlass.kernel.clock import now
from windlass.kernel.principals import Principal, owner_of_user

PREFIX = "wl_"


def create(username: str, *, staff: bool = False, name: str = "", expires_at: datetime | None = None) -> str:
    """A new token for the user, who is made if need be. ``staff`` raises the user, never lowers one."""
    users = get_user_model()
    user, made = users._default_manager.get_or_create({}, **{users.USERNAME_FIELD: username})
    if made:
        user.set_unusable_password()
    if staff:
        user.is_staff = True
    user.save()
    token = PREFIX + secrets.token_urlsafe(32)
    ApiToken.objects.create(user=user, name=name, digest=_digest(token), expires_at=expires_at)
    return token


def principal(token: str) -> Principal | None:
    """Whose token this is; None for one that is unknown, expired, or of a user who may no longer sign in."""
    moment = now()
    living = Q(expires_at=None) | Q(expires_at__gt=moment)
    found = ApiToken.objects.select_related("user").filter(living, digest=_digest(token)).first()
    if found is None or not found.user.is_active:
        return None
    if found.last_used_at is None or found.last_used_at < moment - timedelta(minutes=1):
        ApiToken.objects.filter(pk=found.pk).update(last_used_at=moment)
    return Principal(
        owner_of_user(found.user.pk), staff=bool(getattr(found.user, "is_staff", False)), user_id=found.user.pk
    )


def every() -> list[ApiToken]:
    """All tokens with their users, in the order they were made."""
    return list(ApiToken.objects.select_related("user").order_by("pk"))


def revoke(number: int) -> bool:
    """Make a token worthless at once. False where there is none of that number."""
    deleted, _ = ApiToken.objects.filter(pk=number).delete()
    return bool(deleted)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
