"""The Python client of Windlass: resumable uploads, verified downloads, records, events.

It needs httpx and no server settings.

with Client("http://127.0.0.1:8000") as client:
    file = client.upload("report.pdf")
    print(client.wait(file.id).status)
"""

from windlass.client.api_calls import FileFilters, SearchFilters
from windlass.client.async_client import AsyncClient
from windlass.client.credentials import Password, RefreshToken
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
from windlass.client.http_exchange import DEFAULT_SERVER
from windlass.client.models import (
    END_STATES,
    Check,
    DescribedEntity,
    Entity,
    EntityFile,
    EntityInFile,
    Event,
    File,
    FileGraph,
    FoundFile,
    FoundPassage,
    Mention,
    Paths,
    Rejection,
    Relation,
    Rendition,
    SearchResult,
    SignedUrl,
    SnippetPart,
    Status,
    Step,
    UploadOutcome,
)
from windlass.client.sync_client import Client
from windlass.client.upload_settings import UploadOptions, UploadSettings

__all__ = [
    "DEFAULT_SERVER",
    "END_STATES",
    "AsyncClient",
    "BadAnswer",
    "Check",
    "ChecksumMismatch",
    "Client",
    "Conflict",
    "DescribedEntity",
    "Entity",
    "EntityFile",
    "EntityInFile",
    "Event",
    "File",
    "FileFilters",
    "FileGraph",
    "FoundFile",
    "FoundPassage",
    "GaveUp",
    "Gone",
    "Invalid",
    "Mention",
    "NotFound",
    "Password",
    "Paths",
    "RefreshToken",
    "Refused",
    "Rejection",
    "Relation",
    "Rendition",
    "SearchFilters",
    "SearchResult",
    "ServerFailed",
    "SignedUrl",
    "SnippetPart",
    "SourceChanged",
    "Status",
    "Step",
    "TooLarge",
    "Unauthenticated",
    "UploadOptions",
    "UploadOutcome",
    "UploadSettings",
    "WaitTimeout",
    "WindlassError",
]
