"""Blocking work off the event loop: one set of threads for the database, one for bytes.

Database threads keep their connections. SQLite has one writer at a time, so one thread does its work without waiting
on locks; PostgreSQL gets several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection

P = ParamSpec("P")
T = TypeVar("T")

DATABASE_THREADS = 8
BYTE_THREADS = 32


@lru_cache(maxsize=1)
def _database() -> ThreadPoolExecutor:
    threads = 1 if connection.vendor == "sqlite" else DATABASE_THREADS
    return ThreadPoolExecutor(threads, thread_name_prefix="windlass-database")


@lru_cache(maxsize=1)
def _bytes() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(BYTE_THREADS, thread_name_prefix="windlass-bytes")


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that talks to the database."""
    return await asyncio.get_running_loop().run_in_executor(
        _database(), partial(_fresh, partial(work, *args, **kwargs))
    )


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads, writes, syncs or hashes."""
    return await asyncio.get_running_loop().run_in_executor(_bytes(), partial(work, *args, **kwargs))


def _fresh(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
