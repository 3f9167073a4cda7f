"""A losable "look now" for readers in this process. Readers elsewhere find the same rows by polling."""

from __future__ import annotations

from windlass.kernel.listeners import Listeners

_listeners = Listeners()
#: Call a function whenever events were committed here. Returns what stops that.
listen = _listeners.add
ring = _listeners.notify
