"""Liveness and readiness of this process. Public: reports what is wrong, without addresses and paths."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db.migrations.executor import MigrationExecutor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.database.connection import connection
from windlass.database.outage import is_outage, log_outage
from windlass.executors import in_database, in_thread
from windlass.files import api as files
from windlass.kernel.clock import monotonic
from windlass.processing import api as processing
from windlass.receiving.disk_space import free_bytes, is_enough
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

#: A check that takes longer has failed: probes do not wait longer either.
DEADLINE_SECONDS = 5.0
#: Seconds for which the result of the store's check is kept: it writes, reads and deletes an object.
STORE_SECONDS = 10.0
#: Seconds for which the result of the scanner's check is kept: it connects to the scanner.
SCANNER_SECONDS = 5.0
#: Retry-After of a server that is not ready (seconds).
RETRY_SECONDS = 5
#: With less free disk space, uploads, journal rows and the database's log are about to fail.
LEAST_FREE_BYTES = 64 * conf.MB

log = structlog.get_logger(__name__)


class Unfit(Exception):
    """A check failed; the text is public."""


@dataclass(slots=True)
class Check:
    """One check. ``run`` returns a detail for the reply, or raises.

    A good result is kept for ``keep_seconds``. Concurrent callers wait for one run; while a run hangs, no second one
    is started.
    """

    name: str
    run: Callable[[], Awaitable[str]]
    keep_seconds: float = 0.0
    _running: asyncio.Task[dict[str, Any]] | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _kept: dict[str, Any] = field(default_factory=dict, init=False)

    def forget(self) -> None:
        self._until = 0.0

    async def result(self) -> dict[str, Any]:
        if monotonic() < self._until:
            return self._kept
        if self._running is None or self._running.done() or self._running.get_loop() is not asyncio.get_running_loop():
            self._running = asyncio.create_task(self._run())
        try:
            return await asyncio.wait_for(asyncio.shield(self._running), DEADLINE_SECONDS)
        except TimeoutError:
            return _failed(f"No answer within {DEADLINE_SECONDS:g} seconds.")

    async def _run(self) -> dict[str, Any]:
        try:
            result = {"status": "ok", "detail": await self.run()}
        except Unfit as error:
            result = _failed(str(error))
        except Exception as error:  # any error of a check is its result
            if is_outage(error):
                log_outage(error)
                return _failed("The database does not answer.")
            log.warning("health.failed", check=self.name, error=type(error).__name__, exc_info=True)
            result = _failed(f"It failed with {type(error).__name__}; the log says more.")
        if self.keep_seconds and result["status"] == "ok":
            self._until, self._kept = monotonic() + self.keep_seconds, result
        return result


def _failed(detail: str) -> dict[str, Any]:
    return {"status": "failed", "detail": detail}


async def _database() -> str:
    def ask() -> None:
        with connection().cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()

    await in_database(ask)
    return "It answers."


async def _migrations() -> str:
    missing = await in_database(count_missing_migrations)
    if missing:
        raise Unfit(f"{missing} migrations are not applied: run `windlass migrate`.")
    return "All are applied."


def count_missing_migrations() -> int:
    executor = MigrationExecutor(connection())
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


async def _store() -> str:
    await in_thread(store().check)
    return "It can be written and read."


async def _other_stores() -> str:
    """The server is ready without them: only their files and uploads to them are unavailable."""
    others = files.stores_in_service()[1:]
    if not others:
        return "There are none."
    fit = await asyncio.gather(*(in_thread(_is_fit, name) for name in others))
    if all(fit):
        return f"All {len(others)} can be written and read."
    return f"{fit.count(False)} of {len(others)} away: their files and uploads wait until they are back."


def _is_fit(name: str) -> bool:
    try:
        store(name).check()
    except StoreError as error:
        log.warning("health.store_away", store=name, reason=str(error))
        return False
    return True


async def _disk() -> str:
    free = (await in_thread(shutil.disk_usage, conf.get().windlass_home)).free
    if free < LEAST_FREE_BYTES:
        raise Unfit(f"{free} bytes are free; fewer than {LEAST_FREE_BYTES} is too little to work with.")
    full = [name for name in files.stores_in_service() if not is_enough(await in_thread(free_bytes, name))]
    if full:
        which = "" if full == list(files.stores_in_service()) else " where their store is full"
        return f"{free} bytes are free: no new uploads are taken{which}, as DISK_RESERVE_MB says."
    return f"{free} bytes are free."


async def _sandbox() -> str:
    level = await in_thread(processing.sandbox_level)
    if level.gaps and conf.get().sandbox == "require":
        raise Unfit(f"{level}. {level.gaps}")
    return f"{level}. {level.gaps}" if level.gaps else str(level)


async def _scanner() -> str:
    """The server is ready without the scanner: files are received and wait for it."""
    try:
        version = await in_thread(processing.scanner_version)
    except (processing.ScannerAway, processing.BrokenScanner):
        return "away: files that must be scanned are stored and not served until it is back."
    return "It answers." if version else "None is set: files are not scanned for malware."


async def _content() -> str:
    """The server is ready with damaged files: the others are served."""
    damaged = await in_database(lambda: files.damaged_blobs().count())
    if damaged:
        return f"{damaged} stored files are damaged and not served: `windlass verify --list` names them."
    return "No stored file is known to be damaged."


#: Applied migrations and the sandbox's capability level do not change while a process lives.
CHECKS = (
    Check("database", _database),
    Check("migrations", _migrations, keep_seconds=float("inf")),
    Check("store", _store, keep_seconds=STORE_SECONDS),
    Check("other_stores", _other_stores, keep_seconds=STORE_SECONDS),
    Check("content", _content, keep_seconds=STORE_SECONDS),
    Check("disk", _disk),
    Check("sandbox", _sandbox, keep_seconds=float("inf")),
    Check("scanner", _scanner, keep_seconds=SCANNER_SECONDS),
)


async def readiness() -> dict[str, Any]:
    """``{"status": "ok"|"failed", "checks": {name: {"status", "detail"}}}``."""
    results = await asyncio.gather(*(check.result() for check in CHECKS))
    checks = {check.name: result for check, result in zip(CHECKS, results, strict=True)}
    fit = all(result["status"] == "ok" for result in results)
    return {"status": "ok" if fit else "failed", "checks": checks}


async def livez(request: Request) -> Response:
    """Does no I/O: a process that answers need not be restarted."""
    return _reply({"status": "ok", "checks": {}})


async def readyz(request: Request) -> Response:
    return _reply(await readiness())


def _reply(body: dict[str, Any]) -> Response:
    ok, headers = body["status"] == "ok", {"Cache-Control": "no-store"}
    return JSONResponse(body, 200 if ok else 503, headers if ok else headers | {"Retry-After": str(RETRY_SECONDS)})
