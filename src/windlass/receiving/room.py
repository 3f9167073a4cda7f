"""Whether the disk has room for new uploads. What is under way, downloads and deletes go on without it."""

from __future__ import annotations

import shutil
from pathlib import Path

from windlass import conf
from windlass.executors import in_thread
from windlass.kernel.clock import monotonic
from windlass.kernel.errors import StorageFull

#: For how long a measurement holds: the disk is not asked for each upload.
KEEP_SECONDS = 1.0
#: When a refused client may ask again.
RETRY_AFTER = 60

#: Of each store: until when it holds (monotonic), and what it found.
_measured: dict[str, tuple[float, int]] = {}


async def must_be_left(store_name: str) -> None:
    """Raises StorageFull while less than DISK_RESERVE_MB is free for what this store takes in."""
    until, left = _measured.get(store_name, (float("-inf"), 0))
    if monotonic() >= until:
        left = await in_thread(free, store_name)
    if not is_left(left):
        raise StorageFull(
            f"The server has {left} bytes left and takes no new uploads below {_reserve()} bytes. What is stored stays "
            "readable, and uploads under way go on.",
            headers={"Retry-After": str(RETRY_AFTER)},
            retry_after=RETRY_AFTER,
            free=left,
            limit=_reserve(),
        )


def is_left(free_bytes: int) -> bool:
    return free_bytes >= _reserve()


def _reserve() -> int:
    return conf.get().disk_reserve_mb * conf.MB


def free(store_name: str) -> int:
    """Bytes free where this store's files and the database are kept on this machine, measured now: of several disks
    the least."""
    least = min(shutil.disk_usage(_existing(place)).free for place in _places(store_name))
    _measured[store_name] = monotonic() + KEEP_SECONDS, least
    return least


def takes(store_name: str, size: int) -> bool:
    """Whether so many bytes leave the reserve on the store's own disk; so they do where it has none here."""
    return all(is_left(shutil.disk_usage(_existing(place)).free - size) for place in _of_store(store_name))


def _places(store_name: str) -> list[Path]:
    return [conf.get().windlass_home, *_of_store(store_name)]


def _of_store(store_name: str) -> list[Path]:
    """Where it keeps files on this machine, be it only until they are whole."""
    found = conf.store_settings(conf.get(), store_name)
    if found is None or found.storage_backend == "s3":
        return []
    return [found.media_directory if found.storage_backend == "local" else found.staging_directory]


def _existing(place: Path) -> Path:
    """A directory that is made only when it is first needed lies on the disk of the one above it."""
    return next((each for each in (place, *place.parents) if each.exists()), Path("/"))
