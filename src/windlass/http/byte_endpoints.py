"""All endpoints of the byte plane, in the order in which their paths are tried; and the declarations of those of the
service itself, health and metrics, which ``windlass.operations`` answers."""

from __future__ import annotations

from windlass.accounts.api import METRICS, PUBLIC, STAFF
from windlass.http.downloads import files, zip_archives
from windlass.http.endpoints import ByteEndpoint, Content
from windlass.http.health_models import HealthOut, ReadinessOut
from windlass.http.live import event_streams
from windlass.http.uploads import chunk_api, create_file, direct_uploads, media_api, resumable
from windlass.resilience.rate_limits.policies import RateClass


def _health(path: str, name: str, summary: str) -> ByteEndpoint:
    replies = {200: ("Every required check passed", ReadinessOut), 503: ("A required check failed", ReadinessOut)}
    return ByteEndpoint("GET", path, PUBLIC, name, summary, replies, tag="Health", rate=RateClass.UNLIMITED)


LIVEZ = _health("/livez", "livez", "Liveness: whether the process answers")
READYZ = _health("/readyz", "readyz", "Readiness: 503 if database, migrations, store, disk or sandbox fail")
HEALTHZ = _health("/healthz", "healthz", "The same as /readyz")
HEALTH = ByteEndpoint(
    "GET",
    "/error-handling/health",
    STAFF,
    "health",
    "Components, circuit breakers and jobs; for staff only",
    {200: ("The health, also when a component failed", HealthOut)},
    tag="Error handling",
)
METRICS_PAGE = ByteEndpoint(
    "GET",
    "/metrics",
    METRICS,
    "metrics",
    "Metrics for Prometheus; for staff and holders of METRICS_TOKEN",
    {200: ("The metrics", Content({"text/plain": {"type": "string"}}))},
    tag="Health",
    rate=RateClass.UNLIMITED,
)

_MODULES = (
    resumable,
    create_file,
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
    *(LIVEZ, READYZ, HEALTHZ, HEALTH, METRICS_PAGE),
)
