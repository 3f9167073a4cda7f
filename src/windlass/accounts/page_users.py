"""The principal that a page of the project acts for."""

from __future__ import annotations

from typing import Any

from windlass import conf
from windlass.accounts import users
from windlass.accounts.permission_rule import under_rule
from windlass.kernel.principals import ANONYMOUS, CredentialKind, Principal, Scope, owner_of_user


def principal_of_user(user: Any) -> Principal | None:
    """Whom a page acts for when this user (``request.user``) changes something there.

    Without a signed-in user it is anybody in open mode, and None where credentials are required.
    """
    if user is None or user.pk is None:
        return None if conf.get().credentials_required else ANONYMOUS
    if not users.is_active(user):
        return None
    principal = Principal(
        owner_of_user(user.pk), staff=users.is_staff(user), user_id=user.pk, credential=CredentialKind.SESSION
    )
    return under_rule(principal, Scope.WRITE)
