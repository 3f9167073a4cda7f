"""Which credentials an endpoint accepts: an allow-list that is declared with the endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from windlass.kernel.principals import CredentialKind


class GrantUse(StrEnum):
    CREATE = "create"
    """To create the one upload that the grant is for."""
    CONTINUE = "continue"
    """To continue that upload, which the path names."""


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials that an endpoint accepts; none where it is ``public``. A grant is accepted for its ``grant_use``.

    ``staff``: only staff may call.
    """

    credentials: frozenset[CredentialKind] = frozenset()
    grant_use: GrantUse | None = None
    staff: bool = False

    @property
    def public(self) -> bool:
        return not self.credentials


_OWNERS = frozenset({CredentialKind.TOKEN, CredentialKind.JWT, CredentialKind.SESSION, CredentialKind.OPEN})

#: Anybody: credentials are ignored.
PUBLIC = Access()
#: The owner of the resource, and staff.
OWNER = Access(_OWNERS)
STAFF = Access(_OWNERS, staff=True)
CREATE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CREATE)
CONTINUE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CONTINUE)
DOWNLOAD = Access(_OWNERS | {CredentialKind.SIGNED_URL})
METRICS = Access(_OWNERS | {CredentialKind.METRICS_TOKEN}, staff=True)
