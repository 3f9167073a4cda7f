"""Slow down whoever guesses credentials: wrong ones are counted, and after some of them the next has to wait.

Tokens, grants and signed URLs count per address, each kind for itself. Passwords count per address and per account; an
account's own count does not hold where somebody has signed in to it before from the same address, so that guessing from
elsewhere does not keep its user out. Windows end, so nobody is locked out for good.

JSON Web Tokens are not counted: their keys cannot be guessed one request at a time, and expired ones are usual.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import parse_qs

from windlass import conf
from windlass.accounts import grants, signed_urls
from windlass.accounts.access import Access
from windlass.kernel.clock import monotonic
from windlass.kernel.network_addresses import counting_key
from windlass.kernel.principals import CredentialKind
from windlass.kernel.problem_types import Forbidden, Problem, RateLimited, Unauthenticated
from windlass.resilience.rate_limits.configured import limiter
from windlass.resilience.rate_limits.policies import Window, wrong_credential_windows

#: From here somebody has signed in to the account.
_KNOWN_NETWORK = (Window("known-network", 1, 30 * 24 * 3600),)
#: How much more an account admits from all addresses together.
_ACCOUNT_FACTOR = 3


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential that a request carries and that has not been proved. ``address``: the client's."""

    kind: CredentialKind
    text: str
    address: str

    @property
    def key(self) -> str:
        return f"wrong {self.kind} {counting_key(self.address)}"

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(f"{self.kind} {self.text}".encode(errors="replace")).digest()


def presented_credential(scope: Mapping[str, Any], access: Access) -> Presented | None:
    """The credential of a request that could be guessed, by the precedence of ``authenticate``; None if it has none.

    Also None where wrong ones are not limited, or the connection has no address.
    """
    client = scope.get("client")
    if access.public or client is None or not conf.get().wrong_credentials_per_minute:
        return None
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    if grants.GRANT_PARAMETER in query:
        return Presented(CredentialKind.GRANT, query[grants.GRANT_PARAMETER][0], client[0])
    if CredentialKind.SIGNED_URL in access.credentials and "signature" in query:
        return Presented(CredentialKind.SIGNED_URL, query["signature"][-1], client[0])
    fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = (fields[0] if fields else "").partition(" ")
    if scheme.lower() == "bearer" and token.count(".") != 2:
        return Presented(CredentialKind.TOKEN, token.strip(), client[0])
    return None


class ProvedCredentials:
    """Credentials that were right within the last hour, by digest: they need not wait for somebody else's guesses."""

    def __init__(self, most: int = 4096, seconds: float = 3600.0) -> None:
        self._most, self._seconds = most, seconds
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, digest: bytes) -> None:
        self._until[digest] = monotonic() + self._seconds
        self._until.move_to_end(digest)
        while len(self._until) > self._most:
            self._until.popitem(last=False)

    def __contains__(self, digest: bytes) -> bool:
        return self._until.get(digest, float("-inf")) > monotonic()


def require_may_try(presented: Presented) -> None:
    """Raises RateLimited if too many wrong credentials came from this address. Blocks."""
    _require([presented.key], _windows())


def count_if_wrong(presented: Presented, refusal: Problem, path: Mapping[str, Any], query: str) -> None:
    """Count the credential if ``refusal`` means that it is wrong. ``path``: the parameters of the path. Blocks."""
    if presented.kind is CredentialKind.SIGNED_URL:
        wrong = isinstance(refusal, Forbidden) and not _is_genuine(path, query)  # an expired one is no guess
    else:
        wrong = isinstance(refusal, Unauthenticated)
    if wrong:
        limiter().hit([presented.key], _windows())


def require_may_sign_in(account: str, address: str | None) -> None:
    """Raises RateLimited if too many wrong passwords came from this address, or for this account from addresses where
    nobody has signed in to it. Blocks."""
    if not conf.get().wrong_credentials_per_minute:
        return
    if address:
        _require([_address_key(address)], _windows())
    if not address or not _is_known(account, address):
        _require([_account_key(account)], _windows(_ACCOUNT_FACTOR))


def count_wrong_password(account: str, address: str | None) -> None:
    """Blocks."""
    if not conf.get().wrong_credentials_per_minute:
        return
    if address:
        limiter().hit([_address_key(address)], _windows())
    limiter().hit([_account_key(account)], _windows(_ACCOUNT_FACTOR))


def remember_sign_in(account: str, address: str | None) -> None:
    """Remember for a month that the account's user signs in from this address. Blocks."""
    if address and conf.get().wrong_credentials_per_minute:
        limiter().hit([_known_key(account, address)], _KNOWN_NETWORK)


def _require(keys: Sequence[str], windows: Sequence[Window]) -> None:
    verdict = limiter().look(keys, windows)
    if verdict.admitted:
        return
    seconds = max(ceil(verdict.reset), 1)
    raise RateLimited(f"Too many wrong credentials were sent. Try again in {seconds} seconds.", retry_after=seconds)


def _is_genuine(path: Mapping[str, Any], query: str) -> bool:
    fields = parse_qs(query, keep_blank_values=True)
    return signed_urls.is_signature_genuine(
        signed_urls.path_of_request(path), fields.get("expires", [""])[-1], fields.get("signature", [""])[-1]
    )


def _windows(factor: int = 1) -> tuple[Window, ...]:
    return wrong_credential_windows(conf.get().wrong_credentials_per_minute * factor)


def _is_known(account: str, address: str) -> bool:
    return not limiter().look([_known_key(account, address)], _KNOWN_NETWORK).admitted


def _address_key(address: str) -> str:
    return f"wrong password {counting_key(address)}"


def _account_key(account: str) -> str:
    return f"wrong password of {account.casefold()}"


def _known_key(account: str, address: str) -> str:
    return f"known {counting_key(address)} {account.casefold()}"
