"""Refuse calls of clients that send too many: by address and by user.

The address is the one that trusted proxies report, in IPv6 its /64 network. What a credential counts for is decided
after it has been proved, so a forged one takes nothing from its user's limit.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import structlog

from windlass import conf
from windlass.executors import in_thread
from windlass.http.forwarded import was_forwarded
from windlass.http.middleware import Headers, Scope, header
from windlass.kernel import network_addresses
from windlass.kernel.principals import CredentialKind, Principal
from windlass.kernel.problem_types import RateLimited
from windlass.protocols import rate_limit_fields
from windlass.resilience.rate_limits.configured import limiter
from windlass.resilience.rate_limits.policies import RateClass, Verdict, windows

log = structlog.get_logger(__name__)

#: The key of an ASGI scope under which the verdict on the call is stored.
_VERDICT = "windlass.rate_limit"
#: Credentials that stand for their user. Whoever has another one, such as a grant, is not its owner.
_OF_USERS = frozenset({CredentialKind.TOKEN, CredentialKind.JWT, CredentialKind.SESSION})


async def check(scope: Scope, kind: RateClass, principal: Principal | None) -> None:
    """Count the call. ``principal``: who makes it; None where that is not known yet. Raises RateLimited."""
    if scope["method"] in ("HEAD", "OPTIONS"):
        return
    settings = conf.get()
    limits = windows(kind, settings.calls_per_minute, settings.rate_limit_burst)
    keys = _keys(scope, principal)
    if not limits or not keys or _is_exempt(scope):
        return
    verdict = await in_thread(lambda: limiter().hit(keys, limits))
    scope[_VERDICT] = verdict
    if not verdict.admitted:
        _warn_of_untrusted_proxy(scope)
        raise refusal(verdict)


def refusal(verdict: Verdict) -> RateLimited:
    window, seconds = verdict.tightest, max(ceil(verdict.reset), 1)
    return RateLimited(
        f"At most {window.limit} calls of this kind are admitted in {window.seconds} seconds. Send this one again in "
        f"{seconds} seconds.",
        retry_after=seconds,
        limit=window.limit,
        window_seconds=window.seconds,
    )


def with_fields(scope: Scope, headers: Headers) -> Headers:
    """The headers of a reply, with the fields that tell the client its limits if the call was counted."""
    verdict: Verdict | None = scope.get(_VERDICT)
    if verdict is None:
        return headers
    policies = [(each.name, each.limit, each.seconds) for each in verdict.windows]
    return headers + rate_limit_fields.fields(policies, verdict.tightest.name, verdict.remaining, verdict.reset)


def _warn_of_untrusted_proxy(scope: Scope) -> None:
    """Log once that clients who share a limit may be those of a proxy that TRUSTED_PROXIES does not name."""
    client = scope.get("client")
    if client is not None and header(scope, b"x-forwarded-for") is not None and not was_forwarded(scope):
        _log_untrusted_proxy(client[0])


@lru_cache(maxsize=16)
def _log_untrusted_proxy(address: str) -> None:
    log.warning(
        "rate_limits.proxy_is_not_trusted",
        address=address,
        hint="All its clients share one limit: name it in TRUSTED_PROXIES.",
    )


def _keys(scope: Scope, principal: Principal | None) -> list[str]:
    address = client_network(scope)
    keys = [f"address {address}"] if address else []
    if principal is not None and principal.credential in _OF_USERS and principal.owner:
        keys.append(f"owner {principal.owner}")
    return keys


def client_network(scope: Scope) -> str:
    """The client's address, in IPv6 its /64 network; empty where the connection has none."""
    client = scope.get("client")
    return network_addresses.counting_key(client[0]) if client else ""


def _is_exempt(scope: Scope) -> bool:
    """Whether the client is the user of this machine, and nobody has set a limit."""
    settings = conf.get()
    if settings.rate_limit_per_minute is not None or settings.credentials_required:
        return False
    client = scope.get("client")
    return client is None or network_addresses.is_loopback(client[0])
