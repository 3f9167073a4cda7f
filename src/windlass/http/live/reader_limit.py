"""How many live connections one owner has open in this process, and may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from windlass import conf
from windlass.kernel import process_counters
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import TooManyLiveReaders

_open: Counter[str] = Counter()


def require_room(principal: Principal) -> None:
    """Raise TooManyLiveReaders where the caller's owner has as many as it may have."""
    limit = conf.get().max_live_connections_per_owner
    if limit and _open[principal.owner] >= limit:
        raise TooManyLiveReaders(
            f"{limit} live connections of this owner are open, which is the limit. Close one, or follow several files "
            "over one WebSocket.",
            limit=limit,
        )


@contextmanager
def counted_reader(kind: str, principal: Principal) -> Iterator[None]:
    """Count a live connection while it is open. ``kind``: ``sse`` or ``websocket``."""
    _open[principal.owner] += 1
    process_counters.live_readers.add(1, kind)
    try:
        yield
    finally:
        process_counters.live_readers.add(-1, kind)
        _open[principal.owner] -= 1
        if not _open[principal.owner]:
            del _open[principal.owner]
