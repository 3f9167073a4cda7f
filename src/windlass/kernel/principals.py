"""Who is asking. Everything stored has an owner from its first day; a principal is what a credential proves."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class CredentialKind(StrEnum):
    """What proves who is asking."""

    TOKEN = "token"  # noqa: S105  a kind, no secret
    """``Authorization: Bearer`` with an API token."""
    SESSION = "session"
    """A Django session; with the CSRF token for unsafe methods."""
    OPEN = "open"
    """None at all, where AUTH_MODE is open."""
    GRANT = "grant"
    """The URL of a grant, good for one upload."""
    SIGNED_URL = "signed-url"
    """A signed download URL, good for one file."""
    METRICS_TOKEN = "metrics-token"  # noqa: S105
    """METRICS_TOKEN, good for the metrics."""


@dataclass(frozen=True, slots=True)
class GrantedUpload:
    """One upload that somebody was permitted, and its terms. ``upload_id`` once it has begun."""

    id: uuid.UUID
    profile: str
    max_size: int | None = None
    reference: str | None = None
    upload_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller.

    ``owner`` is the stable name under which what they create is stored (``user:7``, ``anonymous``);
    ``user_id`` is the Django user's primary key where there is one. With a ``grant`` the caller holds nothing but the
    permission for one upload, and is told from the owner: what is asked for has been held against it.
    ``credential`` is what proved all of it.
    """

    owner: str
    staff: bool = False
    user_id: int | str | None = None
    grant: GrantedUpload | None = None
    credential: CredentialKind = CredentialKind.TOKEN

    def may_see(self, owner: str) -> bool:
        """Owners see their own; staff see all. Another's thing is 404 to everyone else."""
        return self.staff or owner == self.owner


#: Identifies who sends a request. Called on a database thread, within the work that needs the principal, because some
#: credentials are looked up; raises what ``accounts.authenticate`` raises.
Caller = Callable[[], Principal]

#: The caller without a credential while the server listens on loopback in open mode: the person at this machine.
ANONYMOUS = Principal(owner="anonymous", staff=True, credential=CredentialKind.OPEN)

#: Who calls what anybody may call: owns nothing and sees nothing.
NOBODY = Principal(owner="")
#: Who holds a signed URL: the file that it names was held against the signature.
SIGNED = Principal(owner="", credential=CredentialKind.SIGNED_URL)
#: Who holds METRICS_TOKEN: no owner.
METRICS_READER = Principal(owner="", credential=CredentialKind.METRICS_TOKEN)


USER_PREFIX = "user:"


def owner_of_user(user_id: int | str) -> str:
    return f"{USER_PREFIX}{user_id}"
