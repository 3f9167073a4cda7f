"""The issuer's JWK Set (JWT_JWKS_URL): fetched when it is needed, kept, and fetched again when the issuer rotates keys.

Only ``fetch_if_needed`` uses the network; it blocks, so it is never called on an event loop nor while a database thread
is held. Verifying a token uses the keys that are there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from windlass import conf
from windlass.kernel import json_text
from windlass.kernel.clock import monotonic
from windlass.kernel.jwt_keys import VerificationKey, keys_of_jwks
from windlass.kernel.problem_types import BadRequest, Unavailable
from windlass.resilience.circuit_breaker import BreakerOpen, breaker

if TYPE_CHECKING:
    import httpx

BREAKER = "jwks"
#: Seconds that one fetch may take in all.
FETCH_SECONDS = 5.0
#: Bytes of the largest document that is read.
MAX_BYTES = 1024 * 1024
#: A ``kid`` that is not known makes the document be fetched at most this often (seconds): anybody can send one.
UNKNOWN_KID_SECONDS = 60.0
#: Seconds between two attempts after a failed one, while older keys are there or not.
RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)


class FetchFailed(Exception):
    """The JWK Set cannot be fetched, or is none. The message says why."""


class KeySet:
    """The keys of one URL. Thread-safe: of several callers that need a fetch, one makes it and the others wait."""

    def __init__(self, url: str, fetch: Callable[[str], list[VerificationKey]], ticks: Callable[[], float]) -> None:
        self._url, self._fetch, self._ticks = url, fetch, ticks
        self._lock = threading.Lock()
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None

    @property
    def keys(self) -> tuple[VerificationKey, ...]:
        """Raises Unavailable if they have never been fetched."""
        if self._fetched_at is None:
            raise Unavailable(
                "The keys that verify this token cannot be fetched now. Send the request again.",
                retry_after=int(RETRY_SECONDS),
            )
        return self._keys

    def needs_fetch(self, kid: str | None) -> bool:
        """Whether a token with this ``kid`` needs a fetch: there are no keys, they are old, or none has the ``kid``."""
        moment = self._ticks()
        if self._failed_at is not None and moment < self._failed_at + RETRY_SECONDS:
            return False
        if self._fetched_at is None:
            return True
        age = moment - self._fetched_at
        is_unknown = kid is not None and all(key.kid not in (None, kid) for key in self._keys)
        return age >= conf.get().jwt_jwks_cache_seconds or (is_unknown and age >= UNKNOWN_KID_SECONDS)

    def fetch_if_needed(self, kid: str | None) -> None:
        """A failure is logged, and the keys that are there remain. Blocks on the network."""
        with self._lock:
            if not self.needs_fetch(kid):
                return
            try:
                with breaker(BREAKER).call(FetchFailed):
                    self._keys = tuple(self._fetch(self._url))
            except (FetchFailed, BreakerOpen) as error:
                self._failed_at = self._ticks()
                log.warning("jwks.fetch_failed", error=str(error))
                return
            self._fetched_at, self._failed_at = self._ticks(), None


_lock = threading.Lock()
_current: tuple[str, KeySet] | None = None


def key_set() -> KeySet | None:
    """The key set of JWT_JWKS_URL; None where it is not set."""
    global _current
    url = conf.get().jwt_jwks_url
    with _lock:
        if url and (_current is None or _current[0] != url):
            _current = url, KeySet(url, fetch, monotonic)
        return _current[1] if url and _current else None


def jwks_breaker_names() -> list[str]:
    return [BREAKER] if conf.get().jwt_jwks_url else []


def check_jwks() -> str:
    """Fetch the JWK Set for ``windlass check``, and describe its keys. Raises FetchFailed."""
    settings = conf.get()
    keys = fetch(settings.jwt_jwks_url)
    usable = {name for key in keys for name in key.algorithms} & set(settings.jwt_algorithms)
    if not usable:
        raise FetchFailed(f"no key of {settings.jwt_jwks_url} verifies an algorithm of JWT_ALGORITHMS")
    return f"{len(keys)} keys of {settings.jwt_jwks_url}, for {', '.join(sorted(usable))}"


def fetch(url: str) -> list[VerificationKey]:
    """Fetch the JWK Set within FETCH_SECONDS, in an event loop of its own. Raises FetchFailed."""
    try:
        return keys_of_jwks(json_text.parse(asyncio.run(_download(url))))
    except (ValueError, BadRequest) as error:
        raise FetchFailed(f"the JWK Set of {url} cannot be used: {error}") from error


async def _download(url: str) -> bytes:
    """Redirects are not followed: the operator named the URL. Raises FetchFailed."""
    import httpx  # here, because 3 MB of every process would be for what few servers use

    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(timeout=FETCH_SECONDS) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise FetchFailed(f"{url} answered {response.status_code} instead of the JWK Set")
            return await _bounded_body(response, url)
    except TimeoutError as error:
        raise FetchFailed(f"{url} did not send its JWK Set within {FETCH_SECONDS:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise FetchFailed(f"{url} cannot be reached: {str(error) or type(error).__name__}") from error


async def _bounded_body(response: httpx.Response, url: str) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes(65536):
        body += piece
        if len(body) > MAX_BYTES:
            raise FetchFailed(f"{url} sent more than {MAX_BYTES} bytes")
    return bytes(body)
