"""The limiter of this process, as the settings say."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from windlass import conf

if TYPE_CHECKING:
    from windlass.resilience.rate_limits.limiter import Limiter

#: Seconds that a call waits for Redis before this machine counts it.
REDIS_TIMEOUT = 1.0
#: The file of this machine's counts, in METRICS_DIR.
TABLE = "rate-limits.table"

_creating = threading.Lock()


def limiter() -> Limiter:
    """Return the limiter of this process. Blocks at its first use."""
    settings = conf.get()
    with _creating:  # the first calls come in several threads at once
        return _limiter(str(settings.metrics_directory), settings.rate_limit_redis)


@lru_cache(maxsize=1)
def _limiter(directory: str, redis: str) -> Limiter:
    # Imported by the first call that is limited: the library takes long to load, and a server may have no limits.
    from windlass.resilience.rate_limits.limiter import Limiter
    from windlass.resilience.rate_limits.shared_table import open_table, redis_storage

    return Limiter(open_table(directory, TABLE), redis_storage(redis, REDIS_TIMEOUT) if redis else None)


def check_redis() -> str:
    """Return that the Redis which counts calls answers, for ``windlass check``. Blocks. Raises ConnectionError, or
    ModuleNotFoundError without the extra ``redis``."""
    from windlass.resilience.rate_limits.shared_table import redis_storage

    storage = redis_storage(conf.get().rate_limit_redis, REDIS_TIMEOUT)
    if storage is None:
        raise ModuleNotFoundError("Redis cannot be used: pip install 'windlass[redis]'")
    if not storage.check():
        raise ConnectionError("the Redis that counts calls does not answer: each machine counts on its own")
    return "Redis answers"
