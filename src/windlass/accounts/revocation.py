"""Notify this process that a credential may have been revoked.

Other processes are not notified, so a long connection must also authenticate its credential again from time to time.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from windlass.accounts.models import ApiToken, SignIn
from windlass.kernel.listeners import Listeners

_listeners = Listeners()
#: Call a function after a token, a sign-in or a user has changed, or a session has ended.
#: Returns a function that stops that.
listen_for_revocations = _listeners.add


def connect() -> None:
    """Connect to the signals of the models; called once, when the models are loaded."""
    user_logged_out.connect(_notify_after_commit, dispatch_uid="windlass.revocation")
    for model in (ApiToken, SignIn, get_user_model()):
        for signal in (post_save, post_delete):
            signal.connect(_notify_after_commit, sender=model, dispatch_uid=f"windlass.revocation.{model.__name__}")


def _notify_after_commit(using: str | None = None, **_: Any) -> None:
    """``using``: the database that was written to; users and tokens may be in different ones."""
    transaction.on_commit(_listeners.notify, using=using)
