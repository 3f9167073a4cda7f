"""Credentials and account of one owner, for the export and the erasure of the owner's data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from windlass.accounts import audited_users, users
from windlass.accounts.models import ApiToken, Grant, SignIn, Ticket
from windlass.accounts.proofs import TOKEN_OF_SESSION
from windlass.kernel.principals import USER_PREFIX, owner_of_user

_DATABASE_SESSIONS = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def owner_named(name: str) -> str:
    """The owner of this name: that of the user who signs in with it, or else the name itself, such as ``user:7``."""
    user = users.find_user(name)
    return name if user is None else owner_of_user(user.pk)


def user_of(owner: str) -> Any | None:
    """The user whose records have this owner; None if it is not a user, or the user was deleted."""
    return users.find_by_key(owner.removeprefix(USER_PREFIX)) if owner.startswith(USER_PREFIX) else None


def owner_rows(owner: str) -> dict[str, QuerySet[Any]]:
    """Rows by a name for the export, in an order in which they can be deleted. The user's account is not among them."""
    user = user_of(owner)
    of_user: dict[str, Any] = {"pk__in": []} if user is None else {"user_id": user.pk}
    return {
        "tokens": ApiToken.objects.filter(**of_user),
        "sign_ins": SignIn.objects.filter(**of_user),
        "tickets": Ticket.objects.filter(owner=owner),
        "grants": Grant.objects.filter(owner=owner),
    }


def key_callers(owner: str) -> list[str]:
    """The names under which the idempotency keys of the owner and of the owner's grants are kept."""
    grants = Grant.objects.filter(owner=owner).values_list("id", flat=True)
    return [owner, *(f"grant:{each}" for each in grants)]


def close_account(owner: str) -> None:
    """Let the owner start nothing new: the user may not sign in any more; tokens, sign-ins, tickets and sessions are
    deleted. Repeatable. Grants stay: the keys of their requests are found by them."""
    user = user_of(owner)
    if user is not None and users.is_active(user):
        with suppress(users.UserError):  # a project's model without is_active: the credentials are deleted all the same
            users.set_active(user, active=False)
    for session in sessions_of(owner):  # first: those that a token began are found by it
        session.delete()
    for name in ("tokens", "sign_ins", "tickets"):
        owner_rows(owner)[name].delete()


def delete_user(owner: str) -> bool:
    """Delete the user, and what the admin's history says of the user; return whether there was one."""
    user = user_of(owner)
    if user is None:
        return False
    for entries in _history_of(user):
        entries.delete()
    with audited_users.unrecorded():
        user.delete()
    return True


def sessions_of(owner: str) -> Iterator[Any]:
    """The user's sessions, if they are in the database. Each has to be decoded: sessions have no column of a user."""
    if settings.SESSION_ENGINE not in _DATABASE_SESSIONS or not owner.startswith(USER_PREFIX):
        return
    key = owner.removeprefix(USER_PREFIX)
    digests = set(owner_rows(owner)["tokens"].values_list("digest", flat=True))
    model = import_string(f"{settings.SESSION_ENGINE}.SessionStore").get_model_class()
    for session in model.objects.iterator():
        content = session.get_decoded()
        if content.get(SESSION_KEY) == key or content.get(TOKEN_OF_SESSION) in digests:
            yield session


def delete_admin_history(object_ids: list[str]) -> None:
    """Delete what the admin's history says of Windlass's rows with these ids: it has the names of files."""
    if apps.is_installed("django.contrib.admin"):
        history = apps.get_model("admin", "LogEntry").objects
        history.filter(content_type__app_label__startswith="windlass_", object_id__in=object_ids).delete()


def _history_of(user: Any) -> Iterator[QuerySet[Any]]:
    if apps.is_installed("django.contrib.admin"):
        model = get_user_model()._meta
        about = Q(content_type__app_label=model.app_label, content_type__model=model.model_name, object_id=str(user.pk))
        yield apps.get_model("admin", "LogEntry").objects.filter(about | Q(user_id=user.pk))
