"""Send one delivery: one signed POST, one result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, suppress

import httpcore

import windlass
from windlass import conf
from windlass.events import api as events
from windlass.events.api import AttemptResult, ClaimedDelivery, Target, TargetRefused
from windlass.executors import in_thread
from windlass.kernel.clock import monotonic, now
from windlass.operations.webhooks.connections import open_pool
from windlass.resilience.circuit_breaker import breaker

#: Bytes that are kept of the head of a reply.
REPLY_HEAD_BYTES = 1024
#: Bytes of a reply's body that are read and dropped, so that the connection can be used again, and for how long.
DRAINED_BYTES, DRAIN_SECONDS = 64 * 1024, 1.0
#: Fields of a reply that may be a credential.
_HIDDEN_FIELDS = frozenset({b"set-cookie", b"authorization", b"proxy-authorization"})


class Unreachable(Exception):
    """No connection could be made. Only this counts for the circuit breaker of the target: what a receiver answers
    depends on the path, and one owner could otherwise stop the deliveries of another to the same host."""


class Sender:
    """Sends deliveries on connections that it keeps for a while. Use it in one event loop; close it at the end."""

    def __init__(self, concurrency: int) -> None:
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="windlass-webhook-names")
        self._pools = {
            "https": open_pool(encrypted=True, threads=self._threads, size=concurrency),
            "http": open_pool(encrypted=False, threads=self._threads, size=concurrency),
        }

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, delivery: ClaimedDelivery) -> AttemptResult:
        """Make one attempt. Failures are results. Raises BreakerOpen: then nothing was sent."""
        started_at, started = now(), monotonic()

        def failed(error: str) -> AttemptResult:
            return AttemptResult(started_at, monotonic() - started, error=error)

        timeout = conf.get().webhook_timeout_seconds
        try:
            target = events.parse_target(delivery.endpoint.url)
            async with _admitted(target.breaker_name), asyncio.timeout(timeout):
                response = await self._post(target, delivery, timeout)
        except TargetRefused as refused:
            return failed(str(refused))
        except Unreachable:
            return failed("No connection to the receiver could be made.")
        except (TimeoutError, httpcore.TimeoutException):
            return failed(f"The receiver did not answer within {timeout:g} s.")
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return failed("The connection ended before the receiver had answered.")
        result = _result_of(response, AttemptResult(started_at, monotonic() - started))
        await _discard(response)
        return result

    async def _post(self, target: Target, delivery: ClaimedDelivery, timeout: float) -> httpcore.Response:
        """Raises Unreachable, TargetRefused, and what httpcore raises."""
        body = json.dumps(delivery.document, separators=(",", ":")).encode()
        sent_at = int(now().timestamp())
        signed = events.signed_headers(str(delivery.id), sent_at, body, events.active_secrets(delivery.endpoint))
        headers = {
            "Host": target.authority,
            "User-Agent": f"Windlass/{windlass.__version__}",
            "Accept": "*/*",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **signed,
        }
        if delivery.request_id:
            headers["X-Request-ID"] = delivery.request_id
        request = httpcore.Request(
            "POST",
            httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.resource),
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": {"connect": timeout / 2, "read": timeout, "write": timeout, "pool": timeout}},
        )
        try:
            return await self._pools[target.scheme].handle_async_request(request)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise Unreachable from error


@asynccontextmanager
async def _admitted(breaker_name: str) -> AsyncIterator[None]:
    """A call through the circuit breaker, which asks the database: in a thread. Raises BreakerOpen."""
    call: AbstractContextManager[None] = breaker(breaker_name).call(Unreachable)
    await in_thread(call.__enter__)
    try:
        yield
    except BaseException as error:  # also a cancellation: the breaker must learn how the call ended
        await in_thread(_leave, call, error)
        raise
    await in_thread(_leave, call, None)


def _leave(call: AbstractContextManager[None], error: BaseException | None) -> None:
    with suppress(BaseException):  # it raises the same error again
        call.__exit__(type(error) if error else None, error, None)


def _result_of(response: httpcore.Response, result: AttemptResult) -> AttemptResult:
    error = "" if 200 <= response.status < 300 else f"The receiver answered with the status {response.status}."
    if 300 <= response.status < 400:
        error += " Redirects are not followed."
    return AttemptResult(
        result.started_at,
        result.seconds,
        status=response.status,
        reply_head=_head_text(response),
        error=error,
        retry_after=_retry_after(response),
    )


def _head_text(response: httpcore.Response) -> str:
    """The header fields, one per line, without credentials and control characters; at most REPLY_HEAD_BYTES."""
    lines = (
        f"{name.decode('latin-1')}: {value.decode('latin-1')}"
        for name, value in response.headers
        if name.lower() not in _HIDDEN_FIELDS
    )
    shown = "\n".join("".join(each if each.isprintable() else " " for each in line) for line in lines)
    return shown.encode()[:REPLY_HEAD_BYTES].decode(errors="ignore")


def _retry_after(response: httpcore.Response) -> float | None:
    """The seconds of a Retry-After field; its other form, a date, is not used."""
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    return float(values[0]) if values and values[0].isdigit() and len(values[0]) < 10 else None


async def _discard(response: httpcore.Response) -> None:
    """Read what is left of a short body, and drop it. A long or slow one ends with its connection."""
    with suppress(TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(DRAIN_SECONDS):
            size = 0
            async for block in response.aiter_stream():
                size += len(block)
                if size > DRAINED_BYTES:
                    break
    with suppress(httpcore.NetworkError, httpcore.ProtocolError):
        await response.aclose()
