"""Whether this process is alive, and whether it can serve. Public: says what is wrong, never where."""

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

#: A check that takes longer has failed: whoever asks would not wait longer either.
DEADLINE_SECONDS = 5.0
#: How long the store's answer holds: its check writes, reads and deletes an object.
STORE_SECONDS = 10.0
#: Likewise the scanner's, whose check is a connection to it.
SCANNER_SECONDS = 5.0
#: When to ask a server again that is not ready.
RETRY_SECONDS = 5
#: With less room than this, uploads, journal rows and the database's own log are about to fail.
LEAST_FREE_BYTES = 64 * conf.MB

log = structlog.get_logger(__name__)


class Unfit(Exception):
    """A check failed; the text may be shown to anybody."""


@dataclass(slots=True)
class Check:
    """One thing that must be right. ``run`` returns what to say of it, or raises.

    An answer holds for ``keep_seconds``. Several who ask at once wait for one run, and a run that hangs is not
    started again beside itself.
    """

    name: str
    run: Callable[[], Awaitable[str]]
    keep_seconds: float = 0.0
    _running: asyncio.Task[dict[str, Any]] | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _kept: dict[str, Any] = field(default_factory=dict, init=False)

    def forget(self) -> None:
        """Ask again next time, whatever was kept."""
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
            found = {"status": "ok", "detail": await self.run()}
        except Unfit as error:
            found = _failed(str(error))
        except Exception as error:  # whatever breaks a check is its result
            if is_outage(error):
                log_outage(error)
                return _failed("The database does not answer.")
            log.warning("health.failed", check=self.name, error=type(error).__name__, exc_info=True)
            found = _failed(f"It failed with {type(error).__name__}; the log says more.")
        if self.keep_seconds and found["status"] == "ok":
            self._until, self._kept = monotonic() + self.keep_seconds, found
        return found


def _failed(detail: str) -> dict[str, Any]:
    return {"status": "failed", "detail": detail}


async def _database() -> str:
    await in_database(_ask_database)
    return "It answers."


def _ask_database() -> None:
    with connection().cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


async def _migrations() -> str:
    missing = await in_database(_count_missing_migrations)
    if missing:
        raise Unfit(f"{missing} migrations are not applied: run `windlass migrate`.")
    return "All are applied."


def _count_missing_migrations() -> int:
    executor = MigrationExecutor(connection())
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


async def _store() -> str:
    await in_thread(store().check)
    return "It can be written and read."


async def _other_stores() -> str:
    """The server is ready without them: their files alone are away, and uploads to them."""
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
    """Without it files are taken in and wait: the server is ready all the same."""
    try:
        found = await in_thread(processing.scanner_version)
    except (processing.ScannerAway, processing.BrokenScanner):
        return "away: files that must be scanned are stored and not served until it is back."
    return "It answers." if found else "None is set: files are not scanned for malware."


async def _content() -> str:
    """One damaged file does not make the server unfit: the others are served."""
    damaged = await in_database(lambda: files.damaged_blobs().count())
    if damaged:
        return f"{damaged} stored files are damaged and not served: `windlass verify --list` names them."
    return "No stored file is known to be damaged."


#: Applied migrations stay applied while a process lives, and walls stay what they are.
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
    """Without I/O: a process that can say this much need not be restarted."""
    return _reply({"status": "ok", "checks": {}})


async def readyz(request: Request) -> Response:
    return _reply(await readiness())


def _reply(body: dict[str, Any]) -> Response:
    if body["status"] == "ok":
        return JSONResponse(body, headers={"Cache-Control": "no-store"})
    return JSONResponse(body, status_code=503, headers={"Cache-Control": "no-store", "Retry-After": str(RETRY_SECONDS)})
