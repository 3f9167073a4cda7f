"""Sign-ins with a password in the audit log (AUDIT_SIGN_INS). ``accounts.sessions`` records those with a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from windlass import conf
from windlass.accounts import users
from windlass.events.api import AuditAction, record_action
from windlass.kernel.acting_caller import acting_caller
from windlass.kernel.principals import CredentialKind, owner_of_user
from windlass.kernel.stored_text import is_storable

#: Kinds of credential that prove a caller within a request only.
PASSWORD, REFRESH_TOKEN = "password", "refresh-token"


def connect() -> None:
    """Connect to Django's signals; called once, when the models are loaded."""
    user_logged_in.connect(_record_sign_in, dispatch_uid="windlass.audit.sign_in")
    user_logged_out.connect(_record_end, dispatch_uid="windlass.audit.sign_in_ended")
    user_login_failed.connect(_record_refusal, dispatch_uid="windlass.audit.sign_in_refused")


def record_for_user(action: AuditAction, user: Any, *, credential: str = "") -> None:
    """Record what happened to a user's sign-in. ``credential``: the one that proved that the caller is the user; from
    here on the request acts for the user. Empty: who the caller is remains unknown."""
    if not conf.get().audit_sign_ins:
        return
    owner, caller = owner_of_user(user.pk), acting_caller()
    if credential and caller.address and not caller.name:
        caller.name, caller.credential = owner, credential
    record_action(action, owner=owner)


def _record_sign_in(user: Any, **_: Any) -> None:
    record_for_user(AuditAction.SIGN_IN, user, credential=PASSWORD)


def _record_end(user: Any | None, **_: Any) -> None:
    if user is not None:
        record_for_user(AuditAction.SIGN_IN_ENDED, user, credential=CredentialKind.SESSION.value)


def _record_refusal(credentials: Mapping[str, Any], **_: Any) -> None:
    """Record whose account it was. A name that is no user's is not recorded: it may be a password in a wrong field."""
    if not conf.get().audit_sign_ins:
        return
    name = credentials.get(get_user_model().USERNAME_FIELD)
    user = users.find_user(name) if isinstance(name, str) and is_storable(name) else None
    record_action(AuditAction.SIGN_IN_REFUSED, owner="" if user is None else owner_of_user(user.pk))
