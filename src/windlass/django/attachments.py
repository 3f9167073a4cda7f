"""Decide whether a user may attach a file to a record of the project, and store files that a form brings with it.

Fields of models, forms and serializers all ask here, so that none of them can be passed around.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from windlass.accounts.api import principal_of_user
from windlass.files.api import FileAsset, FileStatus, get_file
from windlass.kernel import filenames
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound, Problem
from windlass.protocols import media_types
from windlass.protocols.intents import Description
from windlass.receiving.local_file import store_local_file

_IN_PROCESS = (FileStatus.PENDING, FileStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class AttachmentRules:
    """Which files a field accepts: those of one profile, and only READY ones unless ``must_be_ready`` is false.

    Without it, files that are still being processed are accepted as well; those that were refused never are.
    """

    profile: str = "default"
    must_be_ready: bool = True

    def check(self, file: FileAsset) -> None:
        """Raises ValidationError with what is wrong and what can be done."""
        if file.profile != self.profile:
            raise ValidationError(
                f"“{file}” was uploaded for the profile {file.profile!r}; this field takes files of {self.profile!r}.",
                code="wrong_profile",
            )
        if file.trashed_at is not None:
            raise ValidationError(f"“{file}” is in the trash. Restore it, or choose another file.", code="trashed")
        if file.status == FileStatus.READY or (file.status in _IN_PROCESS and not self.must_be_ready):
            return
        raise ValidationError(_why_not_ready(file), code=file.status.lower())


def _why_not_ready(file: FileAsset) -> str:
    match file.status:
        case FileStatus.PENDING | FileStatus.PROCESSING:
            return f"“{file}” is stored and still being checked. Send the form again in a few seconds."
        case FileStatus.REJECTED:
            return f"“{file}” was refused: {(file.rejection or {}).get('detail') or file.message}"
        case FileStatus.QUARANTINED:
            return f"“{file}” was refused because it contains malware."
        case FileStatus.RELEASED:
            return f"The bytes of “{file}” were deleted. Choose another file."
    return f"“{file}” could not be processed: {file.message} Choose another file, or try again later."


def find_attachable(file_id: uuid.UUID | str, user: Any, rules: AttachmentRules) -> FileAsset:
    """The file, if ``user`` may change it (its owner, staff, or by PERMISSION_RULE) and it fits the rules.

    Raises ValidationError; a file of somebody else is reported like one that does not exist.
    """
    known = file_id if isinstance(file_id, uuid.UUID) else parse_id(file_id)
    try:
        if known is None:
            raise NotFound(f"There is no file {file_id}.")
        file = get_file(known, _require_principal(user))
    except NotFound as problem:
        raise ValidationError(f"{problem.detail} Choose the file again.", code="not_found") from problem
    rules.check(file)
    return file


def store_attachment(uploaded: UploadedFile[bytes], user: Any, rules: AttachmentRules) -> FileAsset:
    """Store a file that Django received as a file of ``user`` and of the rules' profile; its processing starts.

    Blocks until its bytes are stored. Raises ValidationError with the reason of a refusal.
    """
    principal = _require_principal(user)
    description = Description(
        filename=filenames.clean(uploaded.name),
        declared_type=media_types.declared(uploaded.content_type),
        profile=rules.profile,
    )
    try:
        uploaded.seek(0)
        return store_local_file(cast(BinaryIO, uploaded), uploaded.size or 0, description, principal)
    except Problem as problem:
        raise ValidationError(problem.detail, code=problem.slug) from problem


def _require_principal(user: Any) -> Principal:
    principal = principal_of_user(user)
    if principal is None:
        raise ValidationError("Sign in to attach a file.", code="not_signed_in")
    return principal
