"""Which credentials an endpoint accepts: an allow-list that is declared with the endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from windlass.kernel.principals import CredentialKind

F = TypeVar("F", bound=Callable[..., Any])

_DECLARATION = "windlass_access"


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


_OWNERS = frozenset({CredentialKind.TOKEN, CredentialKind.SESSION, CredentialKind.OPEN})

#: Anybody: credentials are ignored.
PUBLIC = Access()
#: The owner of the resource, and staff.
OWNER = Access(_OWNERS)
STAFF = Access(_OWNERS, staff=True)
CREATE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CREATE)
CONTINUE_UPLOAD = Access(_OWNERS | {CredentialKind.GRANT}, GrantUse.CONTINUE)
DOWNLOAD = Access(_OWNERS | {CredentialKind.SIGNED_URL})
METRICS = Access(_OWNERS | {CredentialKind.METRICS_TOKEN}, staff=True)


def declare_access(handler: F, access: Access) -> F:
    """Attach the declaration to ``handler`` and return it."""
    setattr(handler, _DECLARATION, access)
    return handler


def declared_access(handler: Callable[..., Any]) -> Access:
    """The handler's declaration. Raises LookupError where there is none: such an endpoint must not be served."""
    access = getattr(handler, _DECLARATION, None)
    if not isinstance(access, Access):
        raise LookupError(f"{handler!r} does not declare which credentials it accepts")
    return access
