"""The Python client of Windlass: resumable uploads, verified downloads, records. It needs httpx and no server settings.

with Client("http://127.0.0.1:8000") as client:
    file = client.upload("report.pdf")
    print(client.wait(file.id).status)
"""

from windlass.client.clients import DEFAULT_SERVER, AsyncClient, Client
from windlass.client.errors import (
    BadAnswer,
    ChecksumMismatch,
    Conflict,
    GaveUp,
    Gone,
    Invalid,
    NotFound,
    Refused,
    ServerFailed,
    SourceChanged,
    TooLarge,
    Unauthenticated,
    WaitTimeout,
    WindlassError,
)
from windlass.client.models import END_STATES, Check, File, Rejection, Rendition, SignedUrl, Status, Step
from windlass.client.upload import UploadOptions

__all__ = [
    "DEFAULT_SERVER",
    "END_STATES",
    "AsyncClient",
    "BadAnswer",
    "Check",
    "ChecksumMismatch",
    "Client",
    "Conflict",
    "File",
    "GaveUp",
    "Gone",
    "Invalid",
    "NotFound",
    "Refused",
    "Rejection",
    "Rendition",
    "ServerFailed",
    "SignedUrl",
    "SourceChanged",
    "Status",
    "Step",
    "TooLarge",
    "Unauthenticated",
    "UploadOptions",
    "WaitTimeout",
    "WindlassError",
]
