"""What this process has counted since it started, for whoever shows it (``/metrics``). Only the event loop counts."""

from __future__ import annotations

from collections import Counter

#: Clients that closed before their request or its reply was whole, by what was under way: ``body`` or ``reply``.
client_disconnects: Counter[str] = Counter({"body": 0, "reply": 0})
#: Connections that were ended because of a limit, by reason.
connections_ended: Counter[str] = Counter({"head-timeout": 0, "slow-body": 0, "slow-reply": 0, "too-many": 0})
#: Requests that were refused before the application saw them, by status.
requests_refused: Counter[str] = Counter()
