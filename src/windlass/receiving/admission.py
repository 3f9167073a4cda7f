"""Whether an upload may begin: its profile's limits against what its head says. The bytes are checked again later."""

from __future__ import annotations

import uuid
from dataclasses import replace
from functools import partial as partial_of

from windlass.accounts import api as accounts
from windlass.files import api as files
from windlass.kernel.errors import FileTooLarge, InvalidField
from windlass.kernel.principals import Principal
from windlass.protocols.intents import Description
from windlass.receiving import media_claims

#: What a session says of itself that is a part of another.
PARTIAL = "partial"


def admit(
    description: Description,
    size: int | None,
    principal: Principal,
    dialect: str,
    *,
    partial: bool = False,
    max_size: int | None = None,
) -> files.NewUpload:
    """The session to begin. Raises InvalidField for an unknown profile or too small a file, FileTooLarge.

    A ``partial`` upload is no file, and may be smaller than one. ``max_size``: a limit besides the profile's. Of media
    it also raises UnsupportedMediaType, by what the client says; what is true is found out later.
    """
    grant = principal.grant
    if grant is not None:
        description = replace(description, profile=grant.profile, reference=grant.reference or description.reference)
        max_size = min((limit for limit in (max_size, grant.max_size) if limit is not None), default=None)
    profile = files.profile(description.profile)
    if max_size is not None:
        profile = narrowed(profile, max_size)
    if profile.media_types and not partial:
        profile = media_claims.admitted(profile, description)
    if size is not None:
        check_size(_of_parts(profile) if partial else profile, size)
    return files.NewUpload(
        owner=principal.owner,
        dialect=dialect,
        profile=profile,
        filename=description.filename,
        declared_type=description.declared_type,
        reference=description.reference,
        metadata=dict(description.metadata),
        client_metadata=description.client_metadata,
        expected_sha256=description.sha256,
        expected_sha512=description.sha512,
        concat=PARTIAL if partial else None,
        size=size,
        max_size=profile.max_size if profile.max_size < files.profile(profile.name).max_size else None,
        store=profile.store,
        grant=grant,
        on_create=partial_of(accounts.claim_grant, grant.id) if grant is not None else None,
    )


def profile_of(session: files.UploadSession) -> files.Profile:
    """What a session's size is held against."""
    profile = files.profile(session.profile)
    if session.max_size is not None:
        profile = narrowed(profile, session.max_size)
    return _of_parts(profile) if session.is_partial else profile


def narrowed(profile: files.Profile, max_size: int) -> files.Profile:
    """The profile, for what may not become larger than this either."""
    return replace(profile, max_size=min(profile.max_size, max_size))


def _of_parts(profile: files.Profile) -> files.Profile:
    return replace(profile, min_size=0)


def check_size(profile: files.Profile, size: int) -> None:
    if size > profile.max_size:
        raise FileTooLarge(profile.max_size, size)
    if size < profile.min_size:
        raise InvalidField(
            f"The file has {size} bytes; profile {profile.name!r} takes files from {profile.min_size} bytes.",
            limit=profile.min_size,
            received=size,
        )


def object_key(upload_id: uuid.UUID) -> str:
    """Where the bytes of an upload live, for good. Never anything that a client chose."""
    return f"objects/{upload_id.hex[:2]}/{upload_id}"
