"""Tickets: a credential in the URL of a live connection, for browsers, whose EventSource and WebSocket send no header.

A ticket is valid once, for a minute, and for reading events only: URLs end up in logs. The connection that it opened
lasts as long as the credential that the ticket was made with.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from windlass.accounts import users
from windlass.accounts.models import Ticket
from windlass.kernel.clock import now
from windlass.kernel.principals import CredentialKind, Principal, Scope
from windlass.kernel.problem_types import InvalidToken

PREFIX = "wlt_"
#: The URL parameter that carries a ticket.
PARAMETER = "ticket"
LIFETIME_SECONDS = 60


def create_ticket(principal: Principal) -> str:
    """Return a ticket of this caller, which is not stored. Blocks on the database."""
    ticket = PREFIX + secrets.token_urlsafe(32)
    Ticket.objects.create(
        digest=_digest(ticket),
        owner=principal.owner,
        staff=principal.staff,
        proof=principal.proof,
        expires_at=now() + timedelta(seconds=LIFETIME_SECONDS),
    )
    return ticket


def has_ticket(scope: Mapping[str, Any]) -> bool:
    """Whether the query of an ASGI request has the ticket parameter, also percent-encoded."""
    return PARAMETER in parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def use_ticket(tickets: Sequence[str]) -> Principal:
    """The caller of the query's ticket, which is used up. Raises InvalidToken. Blocks on the database."""
    digest = _digest(tickets[0]) if len(tickets) == 1 else ""
    row = Ticket.objects.filter(digest=digest, expires_at__gt=now()).first()
    # Of several requests with the same ticket, the one that deletes the row has used it.
    if row is None or not Ticket.objects.filter(digest=digest).delete()[0]:
        raise InvalidToken("This ticket is unknown, has expired, or has been used: it is for one connection.")
    return Principal(
        row.owner,
        staff=row.staff,
        user_id=users.user_id_of(row.owner),
        credential=CredentialKind.TICKET,
        scopes=frozenset({Scope.READ}),
        proof=row.proof,
    )


def prune_tickets() -> int:
    """Delete those that have expired; returns how many."""
    deleted, _ = Ticket.objects.filter(expires_at__lt=now()).delete()
    return deleted


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="replace")).hexdigest()
