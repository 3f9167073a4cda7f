"""The web process: uvicorn on a listening socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
import uvicorn
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.urls import resolve
from django.utils.module_loading import import_string

from windlass import asgi, conf
from windlass.cli.listening_socket import BACKLOG, browser_url
from windlass.cli.signals import StopRequests, drain_action
from windlass.files import api as files
from windlass.http.server.connections import raise_file_limit
from windlass.http.server.uvicorn_protocol import ReceivingProtocol
from windlass.jobs import api as jobs
from windlass.kernel.garbage_collection import exempt_what_is_loaded
from windlass.receiving import lease
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Seconds that running requests may take after SIGTERM. The supervisor waits longer before SIGKILL.
FINISH_SECONDS = 20


def run(listening_socket: socket.socket, instance: str, stop_requests: StopRequests) -> None:
    """Serve until a stop request arrives. Call it in the main thread."""
    lease.set_holder(instance)
    files.UPLOAD_LEASES.release_all(instance)
    files.CHUNK_CLAIMS.release_all(instance)
    files.KEY_CLAIMS.release_all(instance)
    connections.close_all()  # this thread runs no further queries
    raise_file_limit()
    config = uvicorn.Config(
        _application(),
        http=ReceivingProtocol,
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,  # http.request_log writes one
        server_header=False,
        proxy_headers=False,  # http.forwarded does it, for TRUSTED_PROXIES
        root_path=conf.get().root_path,
        backlog=BACKLOG,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = _Server(config)
    stop_requests.action = drain_action(server.stop)
    server.run(sockets=[listening_socket])


def _application() -> Any:
    """Return the project's ASGI application if its settings name a wrapped one, else this server's."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    application = import_string(name) if name else asgi.application
    return asgi.application if isinstance(application, ASGIHandler) else application


def warm_up() -> None:
    """Import slow libraries: boto3 takes half a second, the record plane and Celery, if the broker needs it, a third
    each. The garbage collector then leaves them alone.

    Runs in a thread once the server answers, so that no upload imports them on the event loop.
    """
    for name in files.stores_in_service():
        with suppress(StoreError):  # reported to the request that needs the store
            store(name)
    jobs.connect_broker()
    resolve("/files")
    exempt_what_is_loaded()


class _Server(uvicorn.Server):
    def stop(self) -> None:
        """Ask the server to end. Thread-safe: its main loop reads this flag ten times a second."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers: ``cli.signals`` handles signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            host, port = each.getsockname()[:2]
            log.info("web.listening", url=browser_url(host, port), address=host)
        threading.Thread(target=warm_up, name="windlass-warm-up", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asgi.stop()
        await super().shutdown(sockets)
