"""The caller of a request. Every stored record has an owner; a credential identifies a principal."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from windlass.kernel.owners import EVERY_OWNER, Owners


class CredentialKind(StrEnum):
    """The kinds of credential that identify a caller."""

    TOKEN = "token"  # noqa: S105  a kind, no secret
    """``Authorization: Bearer`` with an API token."""
    JWT = "jwt"
    """``Authorization: Bearer`` with a JSON Web Token."""
    SESSION = "session"
    """A Django session; with the CSRF token for unsafe methods."""
    OPEN = "open"
    """None, where AUTH_MODE is open."""
    TICKET = "ticket"
    """A ticket in the URL, valid for one live connection."""
    GRANT = "grant"
    """The URL of a grant, valid for one upload."""
    SIGNED_URL = "signed-url"
    """A signed download URL, valid for one file."""
    METRICS_TOKEN = "metrics-token"  # noqa: S105
    """METRICS_TOKEN, valid for the metrics."""
    WEBHOOK = "webhook"
    """None: events are selected for a webhook of this caller. No request has it."""


class Scope(StrEnum):
    """What a token may be used for. None includes another."""

    READ = "read"
    """Calls that change nothing (safe methods, RFC 9110)."""
    WRITE = "write"
    """Every other call about the caller's own uploads and files."""
    ADMIN = "admin"
    """The rights of staff, if the caller is staff."""


ALL_SCOPES = frozenset(Scope)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class GrantedUpload:
    """The upload that a grant allows, and its limits. ``upload_id`` is set once the upload has been created."""

    id: uuid.UUID
    profile: str
    max_size: int | None = None
    reference: str | None = None
    upload_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    ``owner`` is the stable name that the caller's records are stored under (``user:7``, ``anonymous``, ``jwt:`` and
    the ``sub`` of a token); ``user_id`` is the primary key of the Django user, if any. A caller with a ``grant`` acts
    for ``owner`` but is allowed only the one upload, which authentication has checked. ``credential`` is the kind that
    identified the caller, and ``scopes`` are what it may be used for: without ``admin`` no caller is ``staff``.
    ``proof`` names that credential where it may end before its connection does (``accounts.proofs``). ``permitted`` are
    the owners whose uploads and files the project's rule lets this call use (PERMISSION_RULE); None: there is no rule.
    """

    owner: str
    staff: bool = False
    user_id: int | str | None = None
    grant: GrantedUpload | None = None
    credential: CredentialKind = CredentialKind.TOKEN
    scopes: frozenset[Scope] = ALL_SCOPES
    proof: str = field(default="", repr=False)
    permitted: Owners | None = field(default=None, repr=False)

    @property
    def owners(self) -> Owners:
        """The owners whose uploads and files this call may use. Without a rule: the caller, and for staff everybody."""
        if self.permitted is not None:
            return self.permitted
        return EVERY_OWNER if self.staff else Owners(frozenset({self.owner}))

    def may_access(self, owner: str) -> bool:
        """Whether this call may use the owner's uploads and files. To anybody else they do not exist (404)."""
        return owner in self.owners


#: Authenticates the caller of a request. Called on a database thread, within the work that needs the principal, because
#: some credentials are looked up. Raises Unauthenticated, Forbidden, GrantUsed, NotFound.
Caller = Callable[[], Principal]

#: A caller without a credential in open mode, where the server listens on loopback: the user of this machine.
ANONYMOUS = Principal(owner="anonymous", staff=True, credential=CredentialKind.OPEN)

#: Any caller of a public endpoint: owns nothing and may access nothing.
NOBODY = Principal(owner="")
#: The holder of a signed URL, whose signature for the requested file has been checked.
SIGNED_URL_HOLDER = Principal(owner="", credential=CredentialKind.SIGNED_URL)
#: The holder of METRICS_TOKEN.
METRICS_READER = Principal(owner="", credential=CredentialKind.METRICS_TOKEN)


USER_PREFIX = "user:"


def owner_of_user(user_id: int | str) -> str:
    return f"{USER_PREFIX}{user_id}"
