"""All endpoints of the byte plane, in the order in which their paths are tried."""

from __future__ import annotations

from windlass.http.downloads import files, zip_archives
from windlass.http.endpoints import ByteEndpoint
from windlass.http.live import event_streams
from windlass.http.service_endpoints import SERVICE_ENDPOINTS
from windlass.http.uploads import chunk_api, create_file, direct_uploads, file_forms, media_api, resumable

_MODULES = (
    resumable,
    create_file,
    file_forms,
    chunk_api,
    media_api,
    direct_uploads,
    zip_archives,
    files,
    event_streams,
)

#: Routes of the endpoints that have their handlers in ``windlass.http``.
ROUTES = [route for module in _MODULES for route in module.endpoints.routes]
BYTE_ENDPOINTS: tuple[ByteEndpoint, ...] = (
    *(declared for module in _MODULES for declared in module.endpoints.declared),
    *SERVICE_ENDPOINTS,
)
