"""The stores of file bytes, and the disk of this machine."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from windlass import conf
from windlass.files import api as files
from windlass.kernel.sizes import human_size
from windlass.operations.checks.check import CheckFailed, CheckResult, CheckState, Finding
from windlass.receiving.disk_space import free_bytes, home_free_bytes, is_enough
from windlass.storage.contract import StoreError
from windlass.storage.registry import default_name, store

#: With less free disk space, uploads, journal rows and the database's log are about to fail.
LEAST_FREE_BYTES = 64 * conf.MB

log = structlog.get_logger(__name__)


def check_default_store() -> Finding:
    return check_store(default_name())


def check_store(name: str) -> Finding:
    try:
        store(name).check()
    except StoreError as error:
        log.warning("health.store_away", store=name, reason=str(error))
        raise CheckFailed("away: its files and uploads to it wait until it can be written and read again.") from error
    return Finding("It can be written and read.")


def other_store_names() -> Sequence[str]:
    try:
        return files.stores_in_service()[1:]
    except conf.BadSetting:  # of a profile: the settings' own checks report it
        return ()


def summarize_other_stores(results: Sequence[CheckResult]) -> CheckResult:
    """The server is ready without them: only their files and uploads to them are unavailable."""
    away = sum(each.state is CheckState.FAILED for each in results)
    latency = max((each.latency_ms for each in results), default=0.0)
    if not results:
        state, detail = CheckState.OFF, "There are none."
    elif away:
        state = CheckState.FAILED if away == len(results) else CheckState.IMPAIRED
        detail = f"{away} of {len(results)} away: their files and uploads wait until they are back."
    else:
        state, detail = CheckState.OK, f"All {len(results)} can be written and read."
    return CheckResult("other_stores", state, detail, latency, "0 away", required=False)


def check_disk() -> Finding:
    free = home_free_bytes()
    if free < LEAST_FREE_BYTES:
        detail = f"{human_size(free)} are free; less than {human_size(LEAST_FREE_BYTES)} is too little to work with."
        raise CheckFailed(detail, f"{human_size(LEAST_FREE_BYTES)} free")
    limit = f"{human_size(conf.get().disk_reserve_mb * conf.MB)} free"
    names = files.stores_in_service()
    full = [name for name in names if not is_enough(free_bytes(name))]
    if full:
        which = "" if full == list(names) else " where their store is full"
        detail = f"{human_size(free)} are free: no new uploads are taken{which}, as DISK_RESERVE_MB says."
        return Finding(detail, CheckState.IMPAIRED, limit)
    return Finding(f"{human_size(free)} are free.", limit=limit)
