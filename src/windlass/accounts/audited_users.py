"""Changes of accounts in the audit log, whether a command or a page of the admin makes them.

Another project's own handling of its users is not recorded: only what Windlass's commands do there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete, post_save, pre_save

from windlass.accounts import users
from windlass.conf.loading import is_standalone
from windlass.events.api import AuditAction, record_action
from windlass.kernel.acting_caller import COMMAND, acting_caller
from windlass.kernel.principals import owner_of_user

_FIELDS = frozenset({"password", "is_active", "is_staff"})
#: Where ``pre_save`` leaves the row as it was for ``post_save``.
_BEFORE = "_windlass_audited_before"

_unrecorded: ContextVar[bool] = ContextVar("windlass_unrecorded_users", default=False)


def connect() -> None:
    """Connect to the signals of the user model; called once, when the models are loaded."""
    model = get_user_model()
    pre_save.connect(_note_before, sender=model, dispatch_uid="windlass.audit.user_before")
    post_save.connect(_record_save, sender=model, dispatch_uid="windlass.audit.user_saved")
    post_delete.connect(_record_deletion, sender=model, dispatch_uid="windlass.audit.user_deleted")


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record nothing of users: an entry would name an owner whose name was just erased from the log."""
    token = _unrecorded.set(True)
    try:
        yield
    finally:
        _unrecorded.reset(token)


def _is_recorded() -> bool:
    return not _unrecorded.get() and (is_standalone() or acting_caller().credential == COMMAND)


def _note_before(instance: Any, raw: bool, update_fields: frozenset[str] | None, **_: Any) -> None:
    is_concerned = not raw and (update_fields is None or _FIELDS & update_fields) and _is_recorded()
    setattr(instance, _BEFORE, users.get_user(instance.pk) if is_concerned and instance.pk is not None else None)


def _record_save(instance: Any, created: bool, raw: bool, **_: Any) -> None:
    before = instance.__dict__.pop(_BEFORE, None)
    if raw or not _is_recorded():
        return
    if created:
        _record(AuditAction.USER_CREATED, instance)
        if users.is_staff(instance):
            _record(AuditAction.USER_PROMOTED, instance)
    elif before is not None:
        for action in _changes(before, instance):
            _record(action, instance)


def _changes(before: Any, after: Any) -> Iterator[AuditAction]:
    if getattr(before, "password", "") != getattr(after, "password", ""):
        yield AuditAction.USER_PASSWORD_CHANGED
    if users.is_active(before) != users.is_active(after):
        yield AuditAction.USER_ENABLED if users.is_active(after) else AuditAction.USER_DISABLED
    if users.is_staff(before) != users.is_staff(after):
        yield AuditAction.USER_PROMOTED if users.is_staff(after) else AuditAction.USER_DEMOTED


def _record_deletion(instance: Any, **_: Any) -> None:
    if _is_recorded():
        _record(AuditAction.USER_DELETED, instance)


def _record(action: AuditAction, user: Any) -> None:
    record_action(action, owner=owner_of_user(user.pk))
