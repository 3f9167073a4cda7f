"""One web process: uvicorn on a socket that is bound already."""

from __future__ import annotations

import socket
import threading

import uvicorn
from django.db import connections

from windlass import asgi, conf
from windlass.cli.listening import BACKLOG
from windlass.files import api as files
from windlass.http.server_protocol import ReceivingProtocol
from windlass.jobs import api as jobs
from windlass.receiving import lease

#: How long running requests may go on after SIGTERM. Less than the supervisor waits before SIGKILL.
FINISH_SECONDS = 20


def run(door: socket.socket, instance: str, *, access_log: bool) -> None:
    """Serve until SIGTERM or SIGINT. Call it in the main thread."""
    lease.set_holder(instance)
    files.leases.release_leases(instance)
    files.chunks.release(instance)
    connections.close_all()  # this thread has no more to ask
    config = uvicorn.Config(
        asgi.application,
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
    _Server(config).run(sockets=[door])


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Celery takes a third of a second to import: after the first answer, before the first bell.
        threading.Thread(target=jobs.warm_up_bell, name="windlass-warm-up", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asgi.stop()
        await super().shutdown(sockets)
