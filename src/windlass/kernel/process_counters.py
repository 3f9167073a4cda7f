"""Counters of this process for ``/metrics``. Only the event loop changes them."""

from __future__ import annotations

from collections import Counter

#: Clients that disconnected during a transfer, by what was being transferred.
client_disconnects: Counter[str] = Counter({"body": 0, "reply": 0})
#: Connections that were closed because of a limit, by reason.
connections_ended: Counter[str] = Counter({"head-timeout": 0, "slow-body": 0, "slow-reply": 0, "too-many": 0})
#: Requests that the server refused before they reached the application, by status.
requests_refused: Counter[str] = Counter()
