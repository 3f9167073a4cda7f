"""What a caller needs for an endpoint: declared with the endpoint. What a declaration does not name is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from windlass.kernel.principals import CredentialKind


class GrantUse(StrEnum):
    CREATE = "create"
    """To begin the one upload that the grant is for."""
    CONTINUE = "continue"
    """To go on with that upload, which the path names."""


@dataclass(frozen=True, slots=True)
class Access:
    """The credentials that an endpoint takes; none for one that is ``public``. A grant is taken for one ``grant_use``.

    ``staff``: an owner who is not staff is refused.
    """

    credentials: frozenset[CredentialKind] = frozenset()
    grant_use: GrantUse | None = None
    staff: bool = False

    @property
    def public(self) -> bool:
        return not self.credentials


_OWNERS = frozenset({CredentialKind.TOKEN, CredentialKind.SESSION, CredentialKind.OPEN})

#: Anybody: no credential is looked at.
PUBLIC = Access()
#: Whoever owns what is asked for, and staff.
OWNER = Access(_OWNERS)
STAFF = Access(_OWNERS, staff=True)
CREATE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CREATE)
CONTINUE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CONTINUE)
DOWNLOAD = Access(_OWNERS | {CredentialKind.SIGNED_URL})
METRICS = Access(_OWNERS | {CredentialKind.METRICS_TOKEN}, staff=True)
