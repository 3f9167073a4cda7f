"""Decide whether an upload may start: the limits and rules of its profile against what its head declares.

Declarations are claims: the intake stage checks the bytes again. Refusing here spares the client the transfer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial as partial_of

from windlass.accounts import api as accounts
from windlass.events.api import service_level
from windlass.files import api as files
from windlass.kernel.acting_caller import acting_caller
from windlass.kernel.filenames import extension, is_placeholder
from windlass.kernel.media_types import is_text, matches
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import FileTooLarge, Forbidden, InvalidField, UnsupportedMediaType, UploadsPaused
from windlass.protocols.intents import Description
from windlass.resilience.pacing import Pace, shared_pace
from windlass.resilience.service_level import ServiceLevel, causes_of

#: ``concat`` of a session that is a partial upload.
PARTIAL = "partial"


def admit(
    description: Description,
    size: int | None,
    principal: Principal,
    dialect: str,
    *,
    partial: bool = False,
    max_size: int | None = None,
    of_admitted: bool = False,
) -> files.NewUpload:
    """Return the upload session to create. Raises Forbidden for a caller who may not write uploads of their own,
    UploadsPaused, InvalidField, FileTooLarge, UnsupportedMediaType.

    A ``partial`` upload is not a file: it may be smaller than one, and media rules do not apply to it.
    ``max_size`` is a limit besides the profile's. ``of_admitted``: it is made of uploads that were admitted before.
    """
    if not principal.may_access(principal.owner):
        raise Forbidden("This account may not upload: the permission rule of this server does not allow it.")
    if not of_admitted:
        require_open()
    grant = principal.grant
    if grant is not None:
        description = replace(description, profile=grant.profile, reference=grant.reference or description.reference)
        max_size = min((limit for limit in (max_size, grant.max_size) if limit is not None), default=None)
    profile = files.profile(description.profile)
    if max_size is not None:
        profile = with_max_size(profile, max_size)
    if profile.media_types and not partial:
        profile = _apply_media_rules(profile, description)
    if size is not None:
        check_size(replace(profile, min_size=0) if partial else profile, size)
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
        address_key=files.address_key(acting_caller().address),
        grant=grant,
        on_create=partial_of(accounts.claim_grant, grant.id) if grant is not None else None,
    )


def require_open() -> None:
    """Raises UploadsPaused while the service level is maintenance. Does not block.

    While the disk is short of space, the attempt itself is refused, which knows the store and the figures.
    """
    status = service_level()
    if status.level is not ServiceLevel.MAINTENANCE:
        return
    if status.automatic and "disk" in causes_of(status.level, status.components):
        return
    raise UploadsPaused(
        f"The service level is maintenance: new uploads are refused, uploads under way may finish, and downloads go on."
        f" {status.reason}",
        service_level=status.level,
    )


def profile_of(session: files.UploadSession) -> files.Profile:
    """Return the session's profile with the size limits that hold for this session."""
    profile = files.profile(session.profile)
    if session.max_size is not None:
        profile = with_max_size(profile, session.max_size)
    return replace(profile, min_size=0) if session.is_partial else profile


def pace_of(session: files.UploadSession) -> Pace | None:
    """Return the pace that the session's profile sets for its owner; None for none."""
    profile = files.profiles().get(session.profile)  # None: it was removed from the settings since
    return shared_pace(session.owner, session.profile, profile.max_bytes_per_second) if profile else None


def with_max_size(profile: files.Profile, max_size: int) -> files.Profile:
    """Return the profile with its size limit lowered to ``max_size``, if it is not lower already."""
    return replace(profile, max_size=min(profile.max_size, max_size))


def check_size(profile: files.Profile, size: int) -> None:
    """Raises FileTooLarge, or InvalidField for a file that is too small."""
    if size > profile.max_size:
        raise FileTooLarge(profile.max_size, size)
    if size < profile.min_size:
        raise InvalidField(
            f"The file has {size} bytes; profile {profile.name!r} takes files from {profile.min_size} bytes.",
            limit=profile.min_size,
            received=size,
        )


def check_declared_type(profile: files.Profile, description: Description) -> None:
    """Apply the profile's type rules to the file's name and declared type. Raises UnsupportedMediaType.

    For bytes that do not pass through this server. A declared type that claims nothing is accepted.
    """
    if not _has_only_a_declared_type(description):
        extensions = [name.lower().lstrip(".") for name in profile.allowed_extensions]
        ending = extension(description.filename)
        if extensions and ending not in extensions:
            raise _extension_refused(ending, extensions)
    declared = description.declared_type
    if declared is None:
        return
    if matches(declared, profile.blocked_mime_types):
        raise UnsupportedMediaType(
            f"Files of type {declared} are refused.", limit=list(profile.blocked_mime_types), actual=declared
        )
    allowed = profile.allowed_mime_types
    if not allowed or matches(declared, allowed) or (is_text(declared) and any(map(is_text, allowed))):
        return
    raise UnsupportedMediaType(
        f"The file is declared as {declared}; allowed are {', '.join(allowed)}.", limit=list(allowed), actual=declared
    )


def _apply_media_rules(profile: files.Profile, description: Description) -> files.Profile:
    """Return the profile, limited to the size of the declared kind of media (http-api section 4).

    Raises UnsupportedMediaType, and InvalidField where name, type and ``media_type`` name different kinds.
    """
    by_type = _rules_of_type(profile, description.declared_type)
    by_name = _rules_of_name(profile, description)
    claimed = description.metadata.get("media_type")
    kinds = {rules.kind for rules in (by_type, by_name) if rules is not None} | ({claimed} if claimed else set())
    if len(kinds) > 1:
        raise InvalidField(
            f"The file is called {description.filename!r}, declared as {description.declared_type or 'nothing'}"
            f"{f' and given as {claimed}' if claimed else ''}: these are different kinds of media.",
            field="media_type",
        )
    rules = by_type or by_name
    return profile if rules is None or rules.max_size is None else with_max_size(profile, rules.max_size)


def _rules_of_type(profile: files.Profile, declared: str | None) -> files.MediaRules | None:
    """Return None for a type that claims nothing. Raises UnsupportedMediaType."""
    if declared is None:
        return None
    rules = next((rules for rules in profile.media_types if matches(declared, rules.content_types)), None)
    if rules is None:
        allowed = [name for rules in profile.media_types for name in rules.content_types]
        raise UnsupportedMediaType(
            f"The file is declared as {declared}; allowed are {', '.join(allowed)}.", limit=allowed, actual=declared
        )
    return rules


def _rules_of_name(profile: files.Profile, description: Description) -> files.MediaRules | None:
    """Return None where the name says nothing. Raises UnsupportedMediaType."""
    if _has_only_a_declared_type(description):
        return None
    ending = extension(description.filename)
    rules = next((rules for rules in profile.media_types if ending in rules.extensions), None)
    allowed = [name for rules in profile.media_types for name in rules.extensions]
    if rules is None and allowed:
        raise _extension_refused(ending, allowed)
    return rules


def _has_only_a_declared_type(description: Description) -> bool:
    """Whether there is no file name, but a declared type that can be checked instead."""
    return is_placeholder(description.filename) and description.declared_type is not None


def _extension_refused(ending: str, allowed: list[str]) -> UnsupportedMediaType:
    stated = f"ends in .{ending}" if ending else "has no extension"
    return UnsupportedMediaType(f"The name {stated}; allowed are {', '.join(allowed)}.", limit=allowed, actual=ending)
