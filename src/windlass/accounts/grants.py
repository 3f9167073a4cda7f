"""Grants: one-time permission for an upload, as a token in a URL, for browsers and devices that hold no credential.

A grant allows creating one upload, and after that only continuing this upload at ``/uploads/{id}``: endpoints declare
that they accept grants, and for which of the two uses (``accounts.access``).
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from windlass.accounts import users
from windlass.accounts.access import GrantUse
from windlass.accounts.models import Grant
from windlass.database.connection import atomic
from windlass.events.api import AuditAction, record_action
from windlass.kernel.clock import now
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import CredentialKind, GrantedUpload, Principal
from windlass.kernel.problem_types import Forbidden, GrantUsed, NotFound, Unauthenticated

GRANT_PREFIX = "wlg_"
#: The URL parameter that carries the token.
GRANT_PARAMETER = "grant"
#: Expired grants are deleted after this time: their uploads have expired long before.
DELETE_AFTER_EXPIRY = timedelta(days=30)


def create_grant(
    owner: str,
    *,
    profile: str,
    expires_in: float,
    max_size: int | None = None,
    reference: str | None = None,
    origin: str = "",
) -> tuple[str, datetime]:
    """Create a grant. Returns its token, which is not stored, and when it expires. ``expires_in`` is seconds."""
    token = GRANT_PREFIX + secrets.token_urlsafe(32)
    with atomic():
        grant = Grant.objects.create(
            digest=_digest(token),
            owner=owner,
            profile=profile,
            max_size=max_size,
            reference=reference,
            origin=origin,
            expires_at=now() + timedelta(seconds=expires_in),
        )
        record_action(AuditAction.GRANT_CREATED, owner=owner, subject=str(grant.id))
    return token, grant.expires_at


def has_grant(scope: Mapping[str, Any]) -> bool:
    """Whether the query of an ASGI request has the grant parameter, also percent-encoded."""
    return GRANT_PARAMETER in parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def authenticate(
    tokens: Sequence[str],
    use: GrantUse | None,
    path: Mapping[str, Any],
    origin: str | None,
    *,
    may_repeat: bool = False,
) -> Principal:
    """The caller that the query's grant authenticates; ``use`` is what the endpoint accepts grants for.

    ``may_repeat``: the request has an idempotency key, so it may repeat the one that used the grant. A used grant is
    then accepted, with its ``upload_id``; whoever creates an upload must refuse it.

    Raises Unauthenticated for an unknown or expired grant and where the endpoint accepts none; Forbidden for a page of
    another origin; GrantUsed; NotFound for any other upload than the grant's. Blocks on the database.
    """
    if len(tokens) != 1:
        raise Unauthenticated("The URL names more than one grant.")
    grant = _find(tokens[0])
    _check_origin(grant.origin, origin)
    match use:
        case GrantUse.CREATE if may_repeat and grant.upload_id is not None:
            pass
        case GrantUse.CREATE:
            _require_unused(grant)
        case GrantUse.CONTINUE:
            _require_own_upload(grant, str(path.get("upload_id", "")))
        case None:
            raise Unauthenticated(
                "A grant is for one upload: POST /files/ and the upload URL that it returns. This endpoint needs "
                "another credential."
            )
    terms = GrantedUpload(grant.id, grant.profile, grant.max_size, grant.reference, grant.upload_id)
    return Principal(grant.owner, user_id=users.user_id_of(grant.owner), grant=terms, credential=CredentialKind.GRANT)


def claim_grant(grant_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """Use the grant for this upload, within the transaction that creates the upload. Raises GrantUsed."""
    claimed = Grant.objects.filter(id=grant_id, upload_id=None, expires_at__gt=now()).update(upload_id=upload_id)
    if not claimed:
        raise GrantUsed("This grant has been used: it is for one upload.")


def release_grant(grant_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """Make the grant usable again: its upload failed and cannot be resumed."""
    Grant.objects.filter(id=grant_id, upload_id=upload_id).update(upload_id=None)


def upload_of_grant(token: str) -> uuid.UUID | None:
    """The upload that was created with this grant, if any. Raises NotFound for an unknown grant."""
    grant = Grant.objects.filter(digest=_digest(token)).first()
    if grant is None:
        raise NotFound("There is no such grant.")
    return grant.upload_id


def prune_grants() -> int:
    """Delete grants that expired more than DELETE_AFTER_EXPIRY ago; returns how many."""
    deleted, _ = Grant.objects.filter(expires_at__lt=now() - DELETE_AFTER_EXPIRY).delete()
    return deleted


def _find(token: str) -> Grant:
    grant = Grant.objects.filter(digest=_digest(token)).first()
    if grant is None:
        raise Unauthenticated("This grant is unknown.")
    if not users.may_sign_in(grant.owner):
        raise Unauthenticated("The user who created this grant may no longer sign in.")
    return grant


def _require_unused(grant: Grant) -> None:
    if grant.upload_id is not None:
        raise GrantUsed("This grant has been used: it is for one upload.")
    if grant.expires_at <= now():
        raise Unauthenticated("This grant has expired.")


def _require_own_upload(grant: Grant, upload_id: str) -> None:
    """Only the upload that the grant created may be continued, also after the grant's expiry. Raises NotFound."""
    if grant.upload_id is None or parse_id(upload_id) != grant.upload_id:
        raise NotFound(f"There is no upload {upload_id[:60]!r}.")


def _check_origin(allowed: str, origin: str | None) -> None:
    """Refuse pages of other origins. Only browsers send a reliable ``Origin``, so a request without one passes."""
    if allowed and origin is not None and origin != allowed:
        raise Forbidden(f"This grant is for pages of {allowed}.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
