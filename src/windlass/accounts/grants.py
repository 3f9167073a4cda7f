"""Grants: one-time permission for an upload, as a token in a URL, for browsers and devices that hold no credential.

A grant is good for creating one upload at ``/files``, and from then on for that upload at ``/uploads/{id}`` alone.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from windlass.accounts.models import Grant
from windlass.kernel.clock import now
from windlass.kernel.errors import Forbidden, GrantUsed, NotFound, Unauthenticated
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import GrantedUpload, Principal

PREFIX = "wlg_"
#: The parameter of the URL that carries the token.
PARAMETER = "grant"
#: A used grant is remembered as long as its upload may be asked for, which mostly is much shorter than this.
KEPT_AFTER_EXPIRY = timedelta(days=30)

_CREATION = re.compile(r"/files(?:/[^/]+)?")
_UPLOAD = re.compile(r"/uploads/([^/]+)")


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
    return token_of(scope) is not None


def token_of(scope: Mapping[str, Any]) -> str | None:
    """The token in the query of an ASGI request."""
    query = scope.get("query_string", b"")
    if PARAMETER.encode() not in query:
        return None
    found = parse_qs(query.decode("latin-1")).get(PARAMETER)
    return found[-1] if found else None


def of_scope(scope: Mapping[str, Any]) -> Principal | None:
    """Who asks by a grant; None where none is named, or the request is one that no grant is for.

    Raises Unauthenticated, Forbidden, GrantUsed, NotFound. Blocks on the database.
    """
    token = token_of(scope)
    if token is None:
        return None
    path = _path(scope)
    creates = scope["method"] in ("POST", "PUT") and _CREATION.fullmatch(path) is not None
    upload = _UPLOAD.fullmatch(path)
    if not creates and upload is None:
        return None
    grant = _living(token)
    _must_come_from(grant.origin, scope)
    if upload is not None:
        _must_be_its_own(grant, upload[1])
    elif grant.upload_id is not None:
        raise GrantUsed("This grant was for one upload, and that has begun.")
    elif grant.expires_at <= now():
        raise Unauthenticated("This grant has expired.")
    terms = GrantedUpload(grant.id, grant.profile, grant.max_size, grant.reference, grant.upload_id)
    return Principal(grant.owner, grant=terms)


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


def _living(token: str) -> Grant:
    """An expired grant still goes on with what it began."""
    found = Grant.objects.filter(digest=_digest(token)).first()
    if found is None:
        raise Unauthenticated("This grant is unknown.")
    return found


def _must_be_its_own(grant: Grant, spelled: str) -> None:
    if grant.upload_id is None or parse_id(spelled) != grant.upload_id:
        raise NotFound(f"There is no upload {spelled[:60]!r}.")


def _must_come_from(origin: str, scope: Mapping[str, Any]) -> None:
    """A browser says which page asks; whoever is no browser may say anything, so only what is said is checked."""
    said = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
    if origin and said is not None and said != origin:
        raise Forbidden(f"This grant is for pages of {origin}.")


def _path(scope: Mapping[str, Any]) -> str:
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
