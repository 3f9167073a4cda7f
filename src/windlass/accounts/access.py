"""Which credentials an endpoint accepts: an allow-list that is declared with the endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from windlass.kernel.principals import SAFE_METHODS, CredentialKind, Scope


class GrantUse(StrEnum):
    CREATE = "create"
    """To create the one upload that the grant is for."""
    CONTINUE = "continue"
    """To continue that upload, which the path names."""


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials that an endpoint accepts; none where it is ``public``. A grant is accepted for its ``grant_use``.

    ``staff``: only staff may call. ``scope``: what a token must be for, where its method does not say so.
    """

    credentials: frozenset[CredentialKind] = frozenset()
    grant_use: GrantUse | None = None
    staff: bool = False
    scope: Scope | None = None

    def needed_scope(self, method: str) -> Scope:
        """The scope that a token must have for a call with this method: ``admin`` for a call for staff, ``read`` for a
        method that changes nothing, else ``write``."""
        if self.scope is not None:
            return self.scope
        if self.staff:
            return Scope.ADMIN
        return Scope.READ if method in SAFE_METHODS else Scope.WRITE

    @property
    def public(self) -> bool:
        return not self.credentials


_OWNERS = frozenset({CredentialKind.TOKEN, CredentialKind.JWT, CredentialKind.SESSION, CredentialKind.OPEN})

#: Anybody: credentials are ignored.
PUBLIC = Access()
#: The owner of the resource, and staff.
OWNER = Access(_OWNERS)
#: The same, for a call that only reads, although it has a body.
OWNER_READS = Access(_OWNERS, scope=Scope.READ)
#: Live events: the same, and a ticket.
LIVE = Access(_OWNERS | {CredentialKind.TICKET})
STAFF = Access(_OWNERS, staff=True)
CREATE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CREATE)
CONTINUE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CONTINUE)
DOWNLOAD = Access(_OWNERS | {CredentialKind.SIGNED_URL})
METRICS = Access(_OWNERS | {CredentialKind.METRICS_TOKEN}, staff=True)
