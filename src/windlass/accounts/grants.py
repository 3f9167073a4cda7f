"""Grants: one-time permission for an upload, as a token in a URL, for browsers and devices that hold no credential.

A grant is good for creating one upload, and from then on for that upload at ``/uploads/{id}`` alone: endpoints
declare that they take grants, and for which of the two (``accounts.access``).
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
from windlass.kernel.clock import now
from windlass.kernel.errors import Forbidden, GrantUsed, NotFound, Unauthenticated
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import CredentialKind, GrantedUpload, Principal

PREFIX = "wlg_"
#: The parameter of the URL that carries the token.
PARAMETER = "grant"
#: A used grant is remembered as long as its upload may be asked for, which mostly is much shorter than this.
KEPT_AFTER_EXPIRY = timedelta(days=30)


def create(
    owner: str,
    *,
    profile: str,
    expires_in: float,
    max_size: int | None = None,
    reference: str | None = None,
    origin: str = "",
) -> tuple[str, datetime]:
    """A new grant's token, which cannot be seen again, and until when an upload may be begun with it."""
    token = PREFIX + secrets.token_urlsafe(32)
    made = Grant.objects.create(
        digest=_digest(token),
        owner=owner,
        profile=profile,
        max_size=max_size,
        reference=reference,
        origin=origin,
        expires_at=now() + timedelta(seconds=expires_in),
    )
    return token, made.expires_at


def is_named(scope: Mapping[str, Any]) -> bool:
    """Whether the query of an ASGI request has the parameter, however its name is encoded."""
    return PARAMETER in parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def prove(given: Sequence[str], use: GrantUse | None, path: Mapping[str, Any], origin: str | None) -> Principal:
    """Who asks by the grant that the query names; ``use`` is what the endpoint takes grants for.

    Raises Unauthenticated for a grant that is unknown or has expired, and where the endpoint takes none; Forbidden for
    the page of another origin, GrantUsed, and NotFound for any upload but its own. Blocks on the database.
    """
    if len(given) != 1:
        raise Unauthenticated("The URL names more than one grant.")
    grant = _find(given[0])
    _check_origin(grant.origin, origin)
    match use:
        case GrantUse.CREATE:
            _must_be_unused(grant)
        case GrantUse.CONTINUE:
            _must_be_its_own(grant, str(path.get("upload_id", "")))
        case None:
            raise Unauthenticated(
                "A grant is for one upload, at POST /files/ and the address that this gives. This call takes another "
                "credential."
            )
    terms = GrantedUpload(grant.id, grant.profile, grant.max_size, grant.reference, grant.upload_id)
    return Principal(grant.owner, grant=terms, credential=CredentialKind.GRANT)


def claim(grant_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """Use the grant up for this upload; inside the transaction that makes the upload. Raises GrantUsed."""
    taken = Grant.objects.filter(id=grant_id, upload_id=None, expires_at__gt=now()).update(upload_id=upload_id)
    if not taken:
        raise GrantUsed("This grant was for one upload, and that has begun.")


def give_back(grant_id: uuid.UUID, upload_id: uuid.UUID) -> None:
    """The upload broke off and cannot be resumed: another may be begun in its place."""
    Grant.objects.filter(id=grant_id, upload_id=upload_id).update(upload_id=None)


def upload_of(token: str) -> uuid.UUID | None:
    """The upload that was begun with this grant, if one was. Raises NotFound for no grant of ours."""
    found = Grant.objects.filter(digest=_digest(token)).first()
    if found is None:
        raise NotFound("There is no such grant.")
    return found.upload_id


def prune() -> int:
    """Delete grants that are long of no use; returns how many."""
    deleted, _ = Grant.objects.filter(expires_at__lt=now() - KEPT_AFTER_EXPIRY).delete()
    return deleted


def _find(token: str) -> Grant:
    found = Grant.objects.filter(digest=_digest(token)).first()
    if found is None:
        raise Unauthenticated("This grant is unknown.")
    if not users.may_act(found.owner):
        raise Unauthenticated("The user who gave this grant may not sign in any more.")
    return found


def _must_be_unused(grant: Grant) -> None:
    if grant.upload_id is not None:
        raise GrantUsed("This grant was for one upload, and that has begun.")
    if grant.expires_at <= now():
        raise Unauthenticated("This grant has expired.")


def _must_be_its_own(grant: Grant, spelled: str) -> None:
    """A grant that has expired still goes on with the upload that it began."""
    if grant.upload_id is None or parse_id(spelled) != grant.upload_id:
        raise NotFound(f"There is no upload {spelled[:60]!r}.")


def _check_origin(allowed: str, origin: str | None) -> None:
    """A browser says which page asks; other clients may say anything, so only what is said is checked."""
    if allowed and origin is not None and origin != allowed:
        raise Forbidden(f"This grant is for pages of {allowed}.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
