"""Losable notifications to readers of the journal in this process. Readers elsewhere poll the same rows."""

from __future__ import annotations

from windlass.kernel.listeners import Listeners

_listeners = Listeners()
#: Call a function whenever this process has committed events. Returns a function that removes it.
add_listener = _listeners.add
notify_readers = _listeners.notify
