"""The database of Windlass's tables. Another project's router may choose another alias than ``default``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from windlass import conf
from windlass.database import savepoints

_local = threading.local()


def alias() -> str:
    """The alias of all of Windlass's models; ``conf.system_checks`` refuses a router that spreads them over several."""
    if not router.routers:
        return DEFAULT_DB_ALIAS
    return router.db_for_write(apps.get_model("windlass_files", "UploadSession"))


def vendor() -> str:
    """The kind of the database: ``sqlite`` or ``postgresql``. Cheaper than this thread's connection."""
    return _vendor_of(alias())


@lru_cache(maxsize=8)
def _vendor_of(name: str) -> str:
    return str(connections[name].vendor)


def connection() -> BaseDatabaseWrapper:
    """This thread's connection."""
    return connections[alias()]


def close_stale_connections() -> None:
    """``django.db.close_old_connections`` that leaves connections within a transaction open.

    They are in use, such as that of a TestCase in which jobs run eagerly. Django's function closes them.
    """
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close_if_unusable_or_obsolete()


@contextmanager
def atomic() -> Iterator[None]:
    """A transaction, or a savepoint within one where that is needed (``savepoints``)."""
    if (watching := savepoints.watch()) is not None:
        with watching.block():
            yield
        return
    pending = _pending_actions()
    before = len(pending)
    try:
        with transaction.atomic(using=alias()):
            yield
    except BaseException:
        del pending[before:]  # rolled back
        raise
    if pending:
        _run_in_test_case(pending)


def lock_name(namespace: int, name: str) -> None:
    """Wait until no other transaction has locked this name, and lock it until the transaction ends.

    ``namespace`` has 32 bits. SQLite needs no such lock: its transactions begin by waiting for their turn to write.
    """
    if connection().vendor == "postgresql":
        with connection().cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [namespace, name])


def on_commit(action: Callable[[], object]) -> None:
    """Run ``action`` when the surrounding transaction has committed; immediately where there is none.

    A Django TestCase never commits. Where jobs run eagerly, which is meant for tests, the action then runs when
    Windlass's own outermost transaction ends.
    """
    if conf.get().celery_task_always_eager and connection().in_atomic_block:
        pending = _pending_actions()
        pending.append(action)
        transaction.on_commit(partial(_run_once, pending, action), using=alias())
    else:
        transaction.on_commit(action, using=alias())


def _run_in_test_case(pending: list[Callable[[], object]]) -> None:
    blocks = getattr(connection(), "atomic_blocks", ())
    if blocks and all(getattr(block, "_from_testcase", False) for block in blocks):
        while pending:
            pending.pop(0)()


def _run_once(pending: list[Callable[[], object]], action: Callable[[], object]) -> None:
    if action in pending:
        pending.remove(action)
        action()


def _pending_actions() -> list[Callable[[], object]]:
    """This thread's actions for the end of its transaction, where jobs run eagerly."""
    if not hasattr(_local, "pending"):
        _local.pending = []
    pending: list[Callable[[], object]] = _local.pending
    return pending
