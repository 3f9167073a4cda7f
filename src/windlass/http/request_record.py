"""What becomes known of a request until it ends, for its metrics, its span and its line in the access log.

The record is in the ASGI scope, which layers copy; the copies share it. Whoever learns something sets it: ``admit`` the
caller, the endpoints the dialect and the kind of the reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from windlass.http.middleware import REQUEST_ID, Scope, header
from windlass.kernel.ids import request_id
from windlass.kernel.principals import Principal

#: The extension of a server that counts the bytes of bodies: ``scope["extensions"][TRAFFIC]["read"]`` returns Traffic.
#: It counts also what the application did not receive, and what the kernel sent of a file.
TRAFFIC = "windlass.http.traffic"
#: The status of a request whose client was gone before it was answered.
CLIENT_GONE = 499
_RECORD = "windlass.record"


class Traffic(NamedTuple):
    """Bytes of the two bodies, and whether the client was gone before both were complete."""

    received: int
    sent: int
    interrupted: bool


@dataclass(slots=True)
class RequestRecord:
    """``dialect``: the upload dialect, or ``none``. ``kind``: what the reply is: ``file``, ``archive``, ``live``,
    ``other``. ``status``: 0 until the reply has begun."""

    dialect: str = "none"
    kind: str = "other"
    principal: Principal | None = None
    status: int = 0

    @property
    def outcome(self) -> str:
        if self.status >= 500:
            return "failed"
        return "refused" if self.status >= 400 else "accepted"


def begin(scope: Scope) -> None:
    """Give a request its id, which is that of the client if it sent one, and its record."""
    scope[REQUEST_ID] = request_id(header(scope, b"x-request-id"))
    scope[_RECORD] = RequestRecord()


def record_of(scope: Scope) -> RequestRecord:
    """The record of this request. If it was not begun, as in another application, one that nobody reads."""
    record = scope.get(_RECORD)
    return record if isinstance(record, RequestRecord) else RequestRecord()
