"""What proves the caller: a token, a function that returns one, or a sign-in that is refreshed.

A credential is asked for a token before each request, and for another one when the server answers 401.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from windlass.client.effects import ConnectionFailure, Flow, Outcome, Request, Response, Sleep, call
from windlass.client.errors import BadAnswer, GaveUp, Unauthenticated, error_of

#: An access token is refreshed so many seconds before it expires, or after half of its life if that is shorter.
EARLY_SECONDS = 30.0
#: Attempts to sign in while the server cannot be reached or asks to wait.
ATTEMPTS = 5

#: Sends a request to the server without a credential.
Sender = Callable[[Request], Flow[Outcome]]


@dataclass(frozen=True, slots=True)
class Password:
    """Sign in with a user's name and password. The sign-in is refreshed, and ended when the client is closed."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Continue a sign-in. Each refresh token is valid once: ``on_change`` is called with the next one, and must store
    it before it returns. It is not called on the event loop. The sign-in goes on when the client is closed."""

    value: str = field(repr=False)
    on_change: Callable[[str], None] | None = None


#: A token itself, a function that returns the present one (it may block), or what to sign in with.
Token = str | Callable[[], str] | Password | RefreshToken


class Credential(Protocol):
    """Gives the tokens of one client. Flows that need the same new token wait for one of them to get it."""

    def current(self) -> str | None:
        """Return the token to send; None if ``renew`` must get one first, or if there is none."""

    def can_renew(self) -> bool:
        """Whether ``renew`` can return another token than the current one."""

    def renew(self, used: str | None, send: Sender) -> Flow[str | None]:
        """Return a token that is not ``used``; None if there is none. Raises Refused, GaveUp, BadAnswer."""

    def end(self, send: Sender) -> Flow[None]:
        """End what this credential began on the server, with one attempt."""


def credential_of(token: Token | None, base: str, clock: Callable[[], float] = time.monotonic) -> Credential:
    """Return the credential for the server at ``base``. Raises ValueError for a token that no header can carry."""
    if token is None or isinstance(token, str):
        return FixedToken(None if token is None else checked_token(token))
    if isinstance(token, Password | RefreshToken):
        return SignIn(token, base, clock)
    return TokenFunction(token)


def checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise ValueError("The token has characters that no token has; is there a line break in it?")
    return token


class FixedToken:
    """One token, or none."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def current(self) -> str | None:
        return self._token

    def can_renew(self) -> bool:
        return False

    def renew(self, used: str | None, send: Sender) -> Flow[str | None]:
        yield from ()
        return self._token

    def end(self, send: Sender) -> Flow[None]:
        yield from ()


class TokenFunction:
    """Calls a function for the first token, and again whenever the server refuses the last one."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function
        self._token: str | None = None

    def current(self) -> str | None:
        return self._token

    def can_renew(self) -> bool:
        return True

    def renew(self, used: str | None, send: Sender) -> Flow[str | None]:
        if self._token is None or self._token == used:
            self._token = checked_token((yield from call(self._function)))
        return self._token

    def end(self, send: Sender) -> Flow[None]:
        yield from ()


class SignIn:
    """A sign-in by the API: an access token that expires, and a refresh token that is valid once."""

    def __init__(self, start: Password | RefreshToken, base: str, clock: Callable[[], float]) -> None:
        self._start, self._base, self._clock = start, base, clock
        self._refresh = start.value if isinstance(start, RefreshToken) else None
        self._access: str | None = None
        self._until = 0.0

    def current(self) -> str | None:
        return self._access if self._clock() < self._until else None

    def can_renew(self) -> bool:
        return True

    def renew(self, used: str | None, send: Sender) -> Flow[str | None]:
        current = self.current()
        if current is not None and current != used:
            return current
        if self._refresh is not None:
            outcome = yield from self._post("refresh", {"refresh": self._refresh}, send, repeatable=False)
            if not isinstance(self._start, Password) or _is_success(outcome):
                return (yield from self._accept(outcome))
        if not isinstance(self._start, Password):
            raise Unauthenticated("The sign-in has ended; sign in again.", status=401)
        given = {"username": self._start.username, "password": self._start.password}
        return (yield from self._accept((yield from self._post("token", given, send, repeatable=True))))

    def end(self, send: Sender) -> Flow[None]:
        """A sign-in that was given as a refresh token is not ended: its owner continues it with the next token."""
        if isinstance(self._start, Password) and self._refresh is not None:
            yield from send(self._request("revoke", {"refresh": self._refresh}))
            self._refresh, self._access, self._until = None, None, 0.0

    def _accept(self, outcome: Outcome) -> Flow[str]:
        if isinstance(outcome, ConnectionFailure):
            raise GaveUp(f"Signing in failed: {outcome.reason}.")
        if not _is_success(outcome):
            self._refresh = None if outcome.status == 401 else self._refresh
            raise error_of(outcome)
        document = outcome.json()
        try:
            access, refresh, life = document["access"], document["refresh"], float(document["expires_in"])
        except (TypeError, KeyError, ValueError):
            raise BadAnswer("The answer has no tokens. Is this address a Windlass server?", status=200) from None
        if isinstance(self._start, RefreshToken) and (on_change := self._start.on_change) is not None:
            yield from call(lambda: on_change(refresh))
        self._access, self._refresh = checked_token(access), refresh
        self._until = self._clock() + max(life - EARLY_SECONDS, life / 2)
        return self._access

    def _post(self, name: str, given: dict[str, str], send: Sender, *, repeatable: bool) -> Flow[Outcome]:
        """Send until there is an answer that counts. A refresh whose answer was lost is not repeated: a token that is
        used twice ends the sign-in."""
        outcome: Outcome = ConnectionFailure("no attempt was made", was_sent=False)
        for attempt in range(ATTEMPTS):
            outcome = yield from send(self._request(name, given))
            if isinstance(outcome, ConnectionFailure):
                again = repeatable or not outcome.was_sent
            else:
                again = outcome.status in (429, 503)
            if not again or attempt == ATTEMPTS - 1:
                break
            yield Sleep(max(outcome.retry_after or 0.0, 0.5 * 2.0**attempt))
        return outcome

    def _request(self, name: str, given: dict[str, Any]) -> Request:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return Request("POST", f"{self._base}/api/v1/auth/{name}", headers, json.dumps(given).encode())


def _is_success(outcome: Outcome) -> bool:
    return isinstance(outcome, Response) and 200 <= outcome.status < 300
