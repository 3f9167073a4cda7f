"""Blocking work off the event loop: threads for bytes, threads for the database, and one that commits in groups.

SQLite has one writer at a time, and each commit waits for the disk. Work that waits for its turn anyway is therefore
done in one transaction with its neighbours, each behind a savepoint of its own, and answered after the common commit:
sixteen clients cost one sync, not sixteen (docs/decisions: group commit).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections

from windlass import conf
from windlass.database.connection import atomic, connection

P = ParamSpec("P")
T = TypeVar("T")

DATABASE_THREADS = 8
BYTE_THREADS = 32

#: Pieces of work in one commit.
GROUP = 64


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads, writes, syncs or hashes."""
    return await asyncio.get_running_loop().run_in_executor(_bytes(), _here(work, *args, **kwargs))


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that talks to the database, and may do other things that block."""
    return await _in_database_thread(_here(work, *args, **kwargs))


async def in_transaction(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function inside a transaction, and return once that is committed. What raises is rolled back.

    It must do nothing but talk to the database: others wait in the same transaction, and where the commit fails it
    is run again.
    """
    call = _here(work, *args, **kwargs)
    if connection().vendor == "sqlite" and not conf.get().celery_task_always_eager:
        return await asyncio.wrap_future(_committer().hand_over(call))
    return await _in_database_thread(partial(_atomic, call))


async def _in_database_thread(call: Callable[[], T]) -> T:
    """Where jobs run eagerly, which is for tests, this is the test's own thread: another one would have a connection
    that neither sees what the test's transaction wrote nor gets past its lock."""
    fresh = partial(_fresh, call)
    if conf.get().celery_task_always_eager:
        return await sync_to_async(fresh, thread_sensitive=True)()
    return await asyncio.get_running_loop().run_in_executor(_database(), fresh)


def _here(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """The call with the request's context variables: what is built there is built for its client."""
    return partial(copy_context().run, partial(work, *args, **kwargs))


class Committer:
    """One thread that does what is waiting in one transaction."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._run, name="windlass-committer", daemon=True).start()

    def hand_over(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._waiting.put((work, future))
        return future

    def _run(self) -> None:
        while True:
            group = [self._waiting.get()]
            while len(group) < GROUP:
                try:
                    group.append(self._waiting.get_nowait())
                except Empty:
                    break
            wanted = [(work, future) for work, future in group if _begins(future)]
            if wanted:
                _fresh(partial(_do_together, wanted))


def _begins(future: Future[Any]) -> bool:
    """False for work whose request was given up while it waited."""
    return future.set_running_or_notify_cancel()


def _do_together(group: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
    try:
        with atomic():
            outcomes = [_outcome(work) for work, _ in group]
    except DatabaseError as error:
        if len(group) == 1:
            group[0][1].set_exception(error)
            return
        for one in group:  # nothing was committed; what one of them broke must not break the others
            _do_together([one])
        return
    for (_, future), (result, failure) in zip(group, outcomes, strict=True):
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return _atomic(work), None
    except Exception as error:  # noqa: BLE001  it is raised where the work was handed over
        return None, error


def _atomic(work: Callable[[], T]) -> T:
    with atomic():
        return work()


def _fresh(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()


@lru_cache(maxsize=1)
def _database() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="windlass-database")


@lru_cache(maxsize=1)
def _bytes() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(BYTE_THREADS, thread_name_prefix="windlass-bytes")


_start = threading.Lock()
_only: list[Committer] = []


def _committer() -> Committer:
    with _start:
        if not _only:
            _only.append(Committer())
        return _only[0]
