"""One web process: uvicorn on a socket that is bound already."""

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
from django.utils.module_loading import import_string

from windlass import asgi, conf
from windlass.cli.listening import BACKLOG, url_of
from windlass.cli.stopping import StopRequests, drain
from windlass.files import api as files
from windlass.http.server.connections import raise_file_limit
from windlass.http.server.uvicorn_protocol import ReceivingProtocol
from windlass.jobs import api as jobs
from windlass.receiving import lease
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: How long running requests may go on after SIGTERM. Less than the supervisor waits before SIGKILL.
FINISH_SECONDS = 20


def run(door: socket.socket, instance: str, stopping: StopRequests, *, access_log: bool) -> None:
    """Serve until asked to stop. Call it in the main thread."""
    lease.set_holder(instance)
    files.leases.release_leases(instance)
    files.chunks.release(instance)
    connections.close_all()  # this thread has no more to ask
    raise_file_limit()
    config = uvicorn.Config(
        _application(),
        http=ReceivingProtocol,
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=access_log,
        server_header=False,
        proxy_headers=False,  # http.forwarded does that, for TRUSTED_PROXIES
        root_path=conf.get().root_path,
        backlog=BACKLOG,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = _Server(config)
    stopping.then(drain(server.stop))
    server.run(sockets=[door])


def _application() -> Any:
    """This server's, or the project's, where its settings name one that is wrapped."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    found = import_string(name) if name else asgi.application
    return asgi.application if isinstance(found, ASGIHandler) else found


def warm_up() -> None:
    """Import what takes long: a bucket's library and Celery need half a second and a third. After the server answers,
    before the first upload would do it on the event loop, and before the first bell."""
    for name in files.places.in_service():
        with suppress(StoreError):  # who needs it is told
            store(name)
    jobs.connect_broker()


class _Server(uvicorn.Server):
    def stop(self) -> None:
        """Ask it to end; from any thread. Its main loop looks at this flag ten times a second."""
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not here: signals are noted by ``cli.stopping``."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            host, port = each.getsockname()[:2]
            log.info("web.listening", url=url_of(host, port), address=host)
        threading.Thread(target=warm_up, name="windlass-warm-up", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asgi.stop()
        await super().shutdown(sockets)
