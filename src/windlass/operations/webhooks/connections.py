"""Connections to the receivers of webhooks, to addresses that are checked at each connection.

The host of a URL is looked up, each of its addresses is checked, and the connection is made to an address that was
checked: no second look-up can give another one (DNS rebinding). ``Host``, SNI and the certificate are those of the
URL's host. There are no proxies, redirects or cookies: httpcore knows none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import httpcore

from windlass import conf
from windlass.events import api as events

#: Seconds that an idle connection is kept for the next delivery.
KEEP_ALIVE_SECONDS = 5.0
#: Addresses of one host that are tried.
MAX_ADDRESSES = 4

Resolve = Callable[[str, int], list[str]]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to permitted addresses only. ``encrypted``: whether the connections use TLS.

    Names are looked up in threads of its own, so that a name server that does not answer stops nothing else.
    """

    def __init__(self, *, encrypted: bool, threads: ThreadPoolExecutor, resolve: Resolve = events.resolve) -> None:
        self._encrypted, self._threads, self._resolve = encrypted, threads, resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises TargetRefused, httpcore.ConnectError, httpcore.ConnectTimeout."""
        addresses = await self._look_up(host, port, timeout)
        events.require_permitted(addresses, conf.get().webhook_allowed_networks, encrypted=self._encrypted)
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("a webhook has no Unix socket")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _look_up(self, host: str, port: int, timeout: float | None) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(self._threads, self._resolve, host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name server does not answer") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name has no address") from error


def open_pool(*, encrypted: bool, threads: ThreadPoolExecutor, size: int) -> httpcore.AsyncConnectionPool:
    return httpcore.AsyncConnectionPool(
        ssl_context=httpcore.default_ssl_context() if encrypted else None,  # made once: it takes tens of milliseconds
        network_backend=CheckedBackend(encrypted=encrypted, threads=threads),
        max_connections=size,
        max_keepalive_connections=size,
        keepalive_expiry=KEEP_ALIVE_SECONDS,
        http1=True,
        http2=False,
    )
