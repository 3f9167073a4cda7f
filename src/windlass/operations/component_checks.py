"""Check every component that this installation needs: concurrently, each with a deadline, each result kept a second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache, partial

from windlass.operations.checks import database, graph, processing, storage, workers
from windlass.operations.checks.check import Check, CheckResult, CheckState

__all__ = ["CHECKS", "CheckResult", "CheckState", "check_components", "forget_results"]

#: Seconds for which a store that works is not tried again: each check writes, reads and deletes an object.
STORE_SECONDS = 3.0
#: The same for the connections to the scanner and the broker.
CONNECTION_SECONDS = 2.0
#: Results that change slowly: whether stored files are damaged.
CONTENT_SECONDS = 10.0

#: Applied migrations and the sandbox's capability level do not change while a process lives.
CHECKS = (
    Check("database", database.check_database, required=True, database=True),
    Check("migrations", database.check_migrations, required=True, database=True, keep_seconds=float("inf")),
    Check("store", storage.check_default_store, required=True, keep_seconds=STORE_SECONDS),
    Check("broker", processing.check_broker, keep_seconds=CONNECTION_SECONDS),
    Check("scanner", processing.check_scanner, keep_seconds=CONNECTION_SECONDS),
    *(Check(f"workers.{stage}", partial(workers.check_workers, stage), database=True) for stage in workers.STAGES),
    Check("scheduler", workers.check_scheduler, database=True),
    Check("disk", storage.check_disk, required=True),
    Check("sandbox", processing.check_sandbox, required=True, keep_seconds=float("inf")),
    Check("queue", processing.check_queue, database=True),
    Check("clock", database.check_clock, database=True, keep_seconds=CONNECTION_SECONDS),
    Check("graph", graph.check_graph_export, database=True, keep_seconds=CONTENT_SECONDS),
    Check("content", database.check_content, database=True, keep_seconds=CONTENT_SECONDS),
)


async def check_components() -> Mapping[str, CheckResult]:
    """Return the result of each check by the component's name, within the deadline of a check. Never raises."""
    others = [_other_store(name) for name in storage.other_store_names()]
    results = await asyncio.gather(*(check.result() for check in (*CHECKS, *others)))
    summary = storage.summarize_other_stores(results[len(CHECKS) :])
    return {result.name: result for result in (*results, summary)}


def forget_results() -> None:
    """Drop the kept results, so that the next call runs every check. For tests."""
    for check in CHECKS:
        check.forget()
    _other_store.cache_clear()


@lru_cache(maxsize=64)
def _other_store(name: str) -> Check:
    return Check(f"store.{name}", partial(storage.check_store, name), keep_seconds=STORE_SECONDS)
