"""The users of this server, or of the project that Windlass is an app of: whatever its user model is like.

A router may keep users in another database than Windlass's tables, so a user is looked up by key and never joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, router, transaction

from windlass.kernel.principals import USER_PREFIX


class UserError(Exception):
    """This user model cannot have such a user. The message says what to do."""


def find(name: str) -> Any | None:
    """The user who signs in by this name."""
    return _manager().filter(**{get_user_model().USERNAME_FIELD: name}).first()


def find_all(keys: Iterable[Any]) -> dict[Any, Any]:
    """Users by primary key."""
    return _manager().in_bulk(list(keys))


def get(key: Any) -> Any | None:
    return _manager().filter(pk=key).first()


def every() -> list[Any]:
    return list(_manager().order_by("pk"))


def ensure(name: str, *, staff: bool = False) -> Any:
    """The user of this name, who is made without a password if need be. ``staff`` raises the user, never lowers one.

    Raises UserError, and then changes nothing.
    """
    with transaction.atomic(using=router.db_for_write(get_user_model())):
        user = find(name) or _make(name)
        if staff and not is_staff(user):
            _make_staff(user)
    return user


def is_staff(user: Any) -> bool:
    """Whether the user sees and does everything. A model that knows no staff has none."""
    return bool(getattr(user, "is_staff", False))


def may_act(owner: str) -> bool:
    """Whether the owner of this name (``kernel.principals``) may still sign in. One who is no user always may."""
    if not owner.startswith(USER_PREFIX):
        return True
    user = get(owner.removeprefix(USER_PREFIX))
    return user is not None and bool(getattr(user, "is_active", True))


def _manager() -> models.Manager[Any]:
    return get_user_model()._default_manager


def _make(name: str) -> Any:
    users = get_user_model()
    user = users(**{users.USERNAME_FIELD: name})
    if hasattr(user, "set_unusable_password"):
        user.set_unusable_password()
    try:
        with transaction.atomic(using=router.db_for_write(users)):
            user.save()
    except (IntegrityError, ValueError, TypeError) as error:
        raise UserError(
            f"there is no user {name!r}, and one cannot be made of a name alone: the user model {users._meta.label} "
            "needs more. Make the user in the project, then repeat this command"
        ) from error
    return user


def _make_staff(user: Any) -> None:
    """Set ``is_staff`` where that is something to set, and look whether it holds."""
    try:
        user.is_staff = True
        user.save()
    except (AttributeError, TypeError):
        pass  # a property of the project's own, which the next lines tell
    seen = get(user.pk)
    if seen is None or not is_staff(seen):
        raise UserError(
            f"the user model {user._meta.label} decides by itself who is staff, and {user.get_username()!r} is not. "
            "Make the user staff in the project's own way, then repeat this command"
        )
