"""Endpoints of the service itself: health and metrics. ``windlass.asgi`` adds their handlers from ``operations``."""

from __future__ import annotations

from windlass.accounts.api import METRICS, PUBLIC
from windlass.http.endpoints import ByteEndpoint, Content


def _health(path: str, name: str, summary: str) -> ByteEndpoint:
    replies = {200: ("Every check passed", {"type": "object"}), 503: ("A check failed", {"type": "object"})}
    return ByteEndpoint("GET", path, PUBLIC, name, summary, replies, tag="Health")


LIVEZ = _health("/livez", "livez", "Whether the process answers")
READYZ = _health("/readyz", "readyz", "Whether it can serve: database, migrations, store, room, sandbox")
HEALTHZ = _health("/healthz", "healthz", "The same as /readyz")
METRICS_PAGE = ByteEndpoint(
    "GET",
    "/metrics",
    METRICS,
    "metrics",
    "Figures for Prometheus; for staff, and for whoever has METRICS_TOKEN",
    {200: ("The figures", Content({"text/plain": {"type": "string"}}))},
    tag="Health",
)

SERVICE_ENDPOINTS = (LIVEZ, READYZ, HEALTHZ, METRICS_PAGE)
