"""Whether this machine's disks have enough free space for new uploads.

Uploads in progress, downloads and deletions continue when they do not.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from windlass import conf
from windlass.executors import in_thread
from windlass.kernel.clock import monotonic
from windlass.kernel.problem_types import StorageFull

#: How long a measurement is used again (seconds), so that the disk is not asked for each upload.
CACHE_SECONDS = 1.0
#: When a refused client may ask again (seconds).
RETRY_AFTER = 60

#: By store name: until when the measurement is used (monotonic seconds), and the free bytes.
_measurements: dict[str, tuple[float, int]] = {}


async def require_free_space(store_name: str) -> None:
    """Raises StorageFull while less than DISK_RESERVE_MB is free where the files of this store are written."""
    used_until, free = _measurements.get(store_name, (float("-inf"), 0))
    _require_enough(free if monotonic() < used_until else await in_thread(free_bytes, store_name))


def require_free_space_now(store_name: str) -> None:
    """``require_free_space`` for callers that may block: measures the disk."""
    _require_enough(free_bytes(store_name))


def _require_enough(free: int) -> None:
    if not is_enough(free):
        raise StorageFull(
            f"The server has {free} bytes left and takes no new uploads below {_reserve()} bytes. What is stored stays "
            "readable, and uploads under way go on.",
            headers={"Retry-After": str(RETRY_AFTER)},
            retry_after=RETRY_AFTER,
            free=free,
            limit=_reserve(),
        )


def is_enough(free: int) -> bool:
    """Whether this many free bytes are at least DISK_RESERVE_MB."""
    return free >= _reserve()


def free_bytes(store_name: str) -> int:
    """Measure the free bytes where this store's files and the database are kept on this machine: the least of them."""
    directories = [conf.get().windlass_home, *_store_directories(store_name)]
    free = min(shutil.disk_usage(_existing(directory)).free for directory in directories)
    _measurements[store_name] = monotonic() + CACHE_SECONDS, free
    return free


def home_free_bytes() -> int:
    """Measure the free bytes where the home directory is, or will be created."""
    return shutil.disk_usage(_existing(conf.get().windlass_home)).free


def has_space_for(store_name: str, size: int) -> bool:
    """Whether ``size`` more bytes leave the reserve free on the store's disk. True for a store without one here."""
    return all(
        is_enough(shutil.disk_usage(_existing(directory)).free - size) for directory in _store_directories(store_name)
    )


def _reserve() -> int:
    return conf.get().disk_reserve_mb * conf.MB


def _store_directories(store_name: str) -> list[Path]:
    """Return where the store keeps files on this machine, be it only until they are complete."""
    settings = conf.store_settings(conf.get(), store_name)
    if settings is None or settings.storage_backend == "s3":
        return []
    return [settings.media_directory if settings.storage_backend == "local" else settings.staging_directory]


def _existing(directory: Path) -> Path:
    """Return the directory or its nearest existing parent, which is on the same disk: it is created when needed."""
    return next((each for each in (directory, *directory.parents) if each.exists()), Path("/"))
