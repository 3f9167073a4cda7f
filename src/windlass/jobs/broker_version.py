"""The version of the broker's server, for ``windlass doctor``."""

from __future__ import annotations

from windlass import conf
from windlass.jobs.notify import celery_app

_CONNECT_SECONDS = 5.0


def broker_version() -> str:
    """Return such as ``Redis 7.0.15``, or ``embedded``. Raises the exceptions of the broker's client library."""
    if not conf.get().celery_broker_url:
        return "embedded"
    with celery_app().connection_for_write(connect_timeout=_CONNECT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=_CONNECT_SECONDS)
        if connection.transport.driver_type == "redis":
            return f"Redis {connection.default_channel.client.info('server')['redis_version']}"
        properties = getattr(connection.connection, "server_properties", {})
        return f"{properties.get('product', connection.transport.driver_type)} {properties.get('version', 'unknown')}"
