"""A losable notification that a credential may have been revoked in this process. Other processes do not hear it, so
whoever relies on a credential for long proves it again from time to time too."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from windlass.accounts.models import ApiToken
from windlass.kernel.listeners import Listeners

_listeners = Listeners()
#: Call a function after a token or a user changed or a session ended. Returns what stops that.
listen = _listeners.add


def connect() -> None:
    """Hear of the changes; called once, when the models are there."""
    user_logged_out.connect(_notify_after_commit, dispatch_uid="windlass.revocation")
    for model in (ApiToken, get_user_model()):
        for signal in (post_save, post_delete):
            signal.connect(_notify_after_commit, sender=model, dispatch_uid=f"windlass.revocation.{model.__name__}")


def _notify_after_commit(using: str | None = None, **_: Any) -> None:
    """``using``: the database that was written to, which may be another for users than for tokens."""
    transaction.on_commit(_listeners.notify, using=using)
