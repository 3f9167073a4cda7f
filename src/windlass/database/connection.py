"""The database that holds Windlass's tables. Another project's router may put them on an alias other than default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def alias() -> str:
    """The alias that all of Windlass's models are written under; ``conf.checks`` refuses a router that splits them."""
    return router.db_for_write(apps.get_model("windlass_files", "UploadSession"))


def connection() -> BaseDatabaseWrapper:
    """This thread's connection to it."""
    return connections[alias()]


def atomic() -> Any:
    """A transaction in it, or a savepoint inside one."""
    return transaction.atomic(using=alias())


def on_commit(act: Callable[[], object]) -> None:
    """Act once the surrounding transaction is committed; at once where there is none."""
    transaction.on_commit(act, using=alias())
