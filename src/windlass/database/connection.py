"""The database that holds Windlass's tables. Another project's router may put them on an alias other than default."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from windlass import conf

_local = threading.local()


def alias() -> str:
    """The alias that all of Windlass's models are written under; ``conf.checks`` refuses a router that splits them."""
    return router.db_for_write(apps.get_model("windlass_files", "UploadSession"))


def connection() -> BaseDatabaseWrapper:
    """This thread's connection to it."""
    return connections[alias()]


@contextmanager
def atomic() -> Iterator[None]:
    """A transaction in it, or a savepoint inside one."""
    waiting = _waiting()
    mark = len(waiting)
    try:
        with transaction.atomic(using=alias()):
            yield
    except BaseException:
        del waiting[mark:]  # rolled back, and what waited for it with it
        raise
    if waiting:
        _act_in_test_case(waiting)


def on_commit(act: Callable[[], object]) -> None:
    """Act once the surrounding transaction is committed; at once where there is none.

    A Django TestCase never commits. Where jobs run eagerly, which is for tests, what Windlass waits for is then done
    when its own outermost transaction ends.
    """
    if conf.get().celery_task_always_eager and connection().in_atomic_block:
        waiting = _waiting()
        waiting.append(act)
        transaction.on_commit(partial(_act_once, waiting, act), using=alias())
    else:
        transaction.on_commit(act, using=alias())


def _act_in_test_case(waiting: list[Callable[[], object]]) -> None:
    blocks = getattr(connection(), "atomic_blocks", ())
    if blocks and all(getattr(block, "_from_testcase", False) for block in blocks):
        while waiting:
            waiting.pop(0)()


def _act_once(waiting: list[Callable[[], object]], act: Callable[[], object]) -> None:
    if act in waiting:
        waiting.remove(act)
        act()


def _waiting() -> list[Callable[[], object]]:
    """What this thread is to do when its transaction ends, where jobs run eagerly."""
    if not hasattr(_local, "waiting"):
        _local.waiting = []
    found: list[Callable[[], object]] = _local.waiting
    return found
