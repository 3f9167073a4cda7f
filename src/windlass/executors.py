"""Run blocking work off the event loop: threads for bytes, threads for the database, and a thread for group commit.

SQLite has one writer at a time, and each commit waits for the disk. Calls that wait for the writer are therefore run
in one transaction and answered after the common commit: sixteen clients cost one sync, not sixteen. What raises is
rolled back alone (docs/decisions/0013-group-commit.md).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from windlass import conf
from windlass.database.connection import atomic, close_stale_connections, connection, vendor
from windlass.database.savepoints import SavepointNeeded, Watch, without_savepoints
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.loop_threads import Call, LoopThreads, Outcome, report

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

DATABASE_THREADS = 8
BYTE_THREADS = 32
#: Twice as many as the cores, for those that wait for a disk: more would empty each other's caches.
RECEIVE_THREADS = min(BYTE_THREADS, max(4, 2 * (os.cpu_count() or 1)))
LOOK_UP_THREADS = 4
MODEL_THREADS = 4
CHECK_THREADS = 32

#: Calls in one group commit, at most.
GROUP_SIZE = 64


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads, writes, syncs or hashes, in a thread for bytes."""
    return await _threads("bytes", BYTE_THREADS).submit(_in_context(work, *args, **kwargs))


async def in_receive_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that moves bytes from a socket to this machine's disk."""
    with _receiving:
        return await _threads("receive", RECEIVE_THREADS).submit(_in_context(work, *args, **kwargs))


def has_waiting_receiver() -> bool:
    """Whether a call of ``in_receive_thread`` waits for a thread: the others should not hold theirs idly."""
    return _receiving.count > RECEIVE_THREADS


async def in_look_up_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that asks a name server, which may not answer for long, in a thread for that only."""
    return await _threads("names", LOOK_UP_THREADS).submit(_in_context(work, *args, **kwargs))


async def in_model_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that asks a model, which may take seconds, in a thread for that only."""
    return await _threads("models", MODEL_THREADS).submit(_in_context(work, *args, **kwargs))


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that queries the database and may block otherwise, in a thread for the database."""
    return await _in_database_thread(_in_context(work, *args, **kwargs))


def submit_check(work: Callable[[], T], *, database: bool) -> Future[T]:
    """Run a health check. Checks that hang take no thread of a request; all that query the database have one thread."""
    if database:
        return _check_threads("database-checks", 1).submit(_with_fresh_connections, work)
    return _check_threads("checks", CHECK_THREADS).submit(work)


async def in_transaction(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function inside a transaction and return after the commit. If it raises, its changes are rolled back.

    It must only query the database: other calls share the transaction, and if the commit fails it is run again.
    """
    call = _in_context(work, *args, **kwargs)
    if vendor() == "sqlite" and not conf.get().celery_task_always_eager:
        return await _group_committer().submit(call)
    return await _in_database_thread(partial(_in_own_transaction, call))


async def in_thread_then_transaction(work: Callable[[], T], record: Callable[[T], U]) -> U:
    """``in_thread(work)``, and then ``in_transaction(record, its result)``.

    The thread passes its result on to that of the database, so that the event loop is woken once.
    """
    if conf.get().celery_task_always_eager:
        return await in_transaction(record, await in_thread(work))
    context = copy_context()

    def pass_on(call: Call, result: T) -> None:
        _transact(call.continued(partial(context.run, record, result)))

    call = Call.of(partial(context.run, work), pass_on)
    _threads("bytes", BYTE_THREADS).put(call)
    recorded: U = await call.future
    return recorded


def _transact(call: Call) -> None:
    """Let another thread run this call in a transaction and report its outcome after the commit."""
    if vendor() == "sqlite":
        _group_committer().put(call)
    else:
        alone = partial(_with_fresh_connections, partial(_in_own_transaction, call.work))
        _threads("database", DATABASE_THREADS).put(call.continued(alone))


async def _in_database_thread(call: Callable[[], T]) -> T:
    # Where jobs run eagerly (in tests) the caller's own thread runs it: another thread's connection would neither see
    # the rows of the test's transaction nor get past its lock.
    fresh = partial(_with_fresh_connections, call)
    if conf.get().celery_task_always_eager:
        return await sync_to_async(fresh, thread_sensitive=True)()
    return await _threads("database", DATABASE_THREADS).submit(fresh)


def _in_context(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """Bind a call to its arguments and the caller's context variables (such as the base URL of the request)."""
    return partial(copy_context().run, partial(work, *args, **kwargs))


class GroupCommitter:
    """One thread that runs all waiting calls in one transaction."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Call] = SimpleQueue()
        threading.Thread(target=self._run, name="windlass-committer", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Called on an event loop."""
        call = Call.of(work)
        self.put(call)
        return call.future

    def put(self, call: Call) -> None:
        """Called in any thread."""
        self._waiting.put(call)

    def _run(self) -> None:
        while True:
            group = [self._waiting.get()]
            while len(group) < GROUP_SIZE:
                try:
                    group.append(self._waiting.get_nowait())
                except Empty:
                    break
            wanted = [call for call in group if not call.is_cancelled]
            if wanted:  # without those whose request was cancelled while they waited
                _with_fresh_connections(partial(_run_in_one_transaction, wanted))


def _run_in_one_transaction(group: list[Call]) -> None:
    try:
        outcomes = _outcomes_of([call.work for call in group])
        process_counters.commit_group_size.observe(len(group))
    except DatabaseError as error:
        if len(group) == 1:
            report(group, [Outcome(None, error)])
            return
        for call in group:  # nothing was committed: run each alone, so that one failure does not fail the others
            _run_in_one_transaction([call])
        return
    report(group, outcomes)


def _outcomes_of(work: list[Callable[[], Any]]) -> list[Outcome]:
    """Run all in one transaction; what raises is rolled back alone. Raises DatabaseError if the commit fails."""
    try:
        with _measured_commit(), without_savepoints(connection()) as watch:
            outcomes = [_outcome_without_savepoint(each, watch) for each in work]
            watch.write_deferred()
            return outcomes
    except SavepointNeeded:
        with _measured_commit():
            return [_outcome_with_savepoint(each) for each in work]


@contextmanager
def _measured_commit() -> Iterator[None]:
    """A transaction; the time of its commit is counted."""
    with atomic():
        yield
        began = monotonic()
    process_counters.commit_seconds.observe(monotonic() - began)


def _outcome_without_savepoint(work: Callable[[], Any], watch: Watch) -> Outcome:
    """Raises SavepointNeeded where something has to be rolled back."""
    mark = watch.mark()
    try:
        outcome = Outcome(work(), None)
    except Exception as error:
        if watch.may_have_changed_since(mark):
            raise SavepointNeeded from error
        return Outcome(None, error)
    if watch.failure is not None:
        raise SavepointNeeded
    return outcome


def _outcome_with_savepoint(work: Callable[[], Any]) -> Outcome:
    try:
        with atomic():
            return Outcome(work(), None)
    except Exception as error:  # noqa: BLE001  it is raised where the call was submitted
        return Outcome(None, error)


def _in_own_transaction(work: Callable[[], T]) -> T:
    try:
        with _measured_commit(), without_savepoints(connection()) as watch:
            result = _call_without_savepoints(work, watch)
            watch.write_deferred()
    except SavepointNeeded:
        with _measured_commit():
            result = work()
    process_counters.commit_group_size.observe(1)
    return result


def _call_without_savepoints(work: Callable[[], T], watch: Watch) -> T:
    """Raises SavepointNeeded if ``work`` went on after an exception inside a block that is to have no effect then."""
    try:
        result = work()
    except Exception as error:
        if watch.failure is not None and watch.failure is not error:
            raise SavepointNeeded from error
        raise
    if watch.failure is not None:
        raise SavepointNeeded
    return result


def _with_fresh_connections(work: Callable[[], T]) -> T:
    close_stale_connections()
    try:
        return work()
    finally:
        close_stale_connections()


class _Running:
    """Counts the calls that have begun and not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1


_receiving = _Running()


@cache
def _threads(purpose: str, count: int) -> LoopThreads:
    return LoopThreads(f"windlass-{purpose}", count)


@cache
def _check_threads(purpose: str, count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix=f"windlass-{purpose}")


@cache
def _group_committer() -> GroupCommitter:
    return GroupCommitter()
