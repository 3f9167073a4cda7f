"""Users of this server or of the project that Windlass is an app of, with any user model.

A router may keep users in another database than Windlass's tables, so users are looked up by key and never joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction

from windlass import conf
from windlass.accounts import signing_keys
from windlass.kernel.principals import ANONYMOUS, USER_PREFIX, owner_of_user

_PASSWORD_PURPOSE = "windlass.password"  # noqa: S105  no secret


class UserError(Exception):
    """The user model does not allow such a user. The message says what to do."""


def find_user(name: str) -> Any | None:
    return _manager().filter(**{get_user_model().USERNAME_FIELD: name}).first()


def get_users(keys: Iterable[Any]) -> dict[Any, Any]:
    return _manager().in_bulk(list(keys))


def get_user(key: Any) -> Any | None:
    return _manager().filter(pk=key).first()


def find_by_key(text: str) -> Any | None:
    """The user whose primary key this text is; None also where it is no such key (no number, no UUID)."""
    try:
        key = get_user_model()._meta.pk.to_python(text)
    except ValidationError:
        return None
    try:
        return get_user(key)
    except (OverflowError, ValueError):
        return None


def user_id_of(owner: str) -> Any | None:
    """The primary key of the user that this owner (``kernel.principals``) is; None for another owner."""
    if not owner.startswith(USER_PREFIX):
        return None
    try:
        return get_user_model()._meta.pk.to_python(owner.removeprefix(USER_PREFIX))
    except ValidationError:
        return None


def list_users() -> list[Any]:
    return list(_manager().order_by("pk"))


def ensure_user(name: str, *, staff: bool = False) -> Any:
    """The user of this name, who is created without a password if missing.

    ``staff`` makes the user staff; False changes nothing. Raises UserError, and then nothing has changed.
    """
    with transaction.atomic(using=router.db_for_write(get_user_model())):
        user = find_user(name) or _create_user(name)
        if staff and not is_staff(user):
            _make_staff(user)
    return user


def set_active(user: Any, *, active: bool) -> None:
    """Let the user sign in, or no longer: then no token, session, sign-in or grant of theirs is accepted.

    Raises UserError where the model does not allow it.
    """
    try:
        with transaction.atomic(using=router.db_for_write(get_user_model())):
            user.is_active = active
            user.save()
    except (AttributeError, TypeError):
        pass  # a read-only property of the project's model: the check below reports it
    stored = get_user(user.pk)
    if stored is None or is_active(stored) is not active:
        raise UserError(f"the user model {user._meta.label} does not allow setting is_active: do it in the project")


def is_staff(user: Any) -> bool:
    """Whether the user is staff; False where the user model has no ``is_staff``."""
    return bool(getattr(user, "is_staff", False))


def user_name(key: Any) -> str | None:
    """The name that the user of this primary key signs in with; None if there is no such user, or for the key None."""
    user = None if key is None else get_user(key)
    return None if user is None else str(user.get_username())


def name_of_owner(owner: str) -> str | None:
    """The name that the owner (``kernel.principals``) signs in with; None if it is no user, or the user was deleted."""
    user = find_by_key(owner.removeprefix(USER_PREFIX)) if owner.startswith(USER_PREFIX) else None
    return None if user is None else str(user.get_username())


def has_staff() -> bool:
    """Whether there is a user of staff. For Windlass's own user model: another project's may have no such column."""
    return bool(_manager().filter(is_staff=True).exists())


def password_mark(user: Any) -> str:
    """A text that changes with the user's password, and tells nothing about it."""
    return signing_keys.signature(_PASSWORD_PURPOSE, _password_hash(user))


def is_password_mark(user: Any, mark: str) -> bool:
    """Whether the user's password is still the one of this mark."""
    return signing_keys.is_signature(_PASSWORD_PURPOSE, _password_hash(user), mark)


def owner_of(user: Any) -> str:
    """The owner (``kernel.principals``) that this user is; empty for nobody."""
    return "" if user.pk is None else owner_of_user(user.pk)


def is_active(user: Any) -> bool:
    return bool(getattr(user, "is_active", True))


def may_sign_in(owner: str) -> bool:
    """Whether the owner (``kernel.principals``) may still sign in; True for an owner that is not a user."""
    if not owner.startswith(USER_PREFIX):
        return True
    user = get_user(owner.removeprefix(USER_PREFIX))
    return user is not None and is_active(user)


def is_staff_owner(owner: str) -> bool:
    """Whether the owner (``kernel.principals``) is staff now: such a user, or anybody in open mode."""
    if owner == ANONYMOUS.owner:
        return ANONYMOUS.staff and not conf.get().credentials_required
    user = get_user(owner.removeprefix(USER_PREFIX)) if owner.startswith(USER_PREFIX) else None
    return user is not None and is_active(user) and is_staff(user)


def _password_hash(user: Any) -> str:
    return str(getattr(user, "password", ""))


def _manager() -> models.Manager[Any]:
    return get_user_model()._default_manager


def _create_user(name: str) -> Any:
    users = get_user_model()
    user = users(**{users.USERNAME_FIELD: name})
    if hasattr(user, "set_unusable_password"):
        user.set_unusable_password()
    try:
        with transaction.atomic(using=router.db_for_write(users)):
            user.save()
    except (IntegrityError, ValueError, TypeError) as error:
        raise UserError(
            f"there is no user {name!r}, and one cannot be created from a name alone: the user model "
            f"{users._meta.label} has other required fields. Create the user in the project, then repeat this command"
        ) from error
    return user


def _make_staff(user: Any) -> None:
    """Set ``is_staff`` and verify that the model accepted it. Raises UserError."""
    try:
        user.is_staff = True
        user.save()
    except (AttributeError, TypeError):
        pass  # a read-only property of the project's model: the check below reports it
    stored = get_user(user.pk)
    if stored is None or not is_staff(stored):
        raise UserError(
            f"the user model {user._meta.label} does not allow setting is_staff, and {user.get_username()!r} is not "
            "staff. Make the user staff in the project, then repeat this command"
        )
