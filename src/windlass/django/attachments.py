"""Decide whether a user may attach a file to a record of the project, and store files that a form brings with it.

Fields of models, forms and serializers all ask here, so that none of them can be passed around.
"""

from __future__ import annotations

import uuid
from typing import Any, BinaryIO, cast

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from windlass.accounts.api import principal_of_user
from windlass.django.attachment_rules import AttachmentRules
from windlass.files.api import FileAsset, get_file
from windlass.kernel import filenames
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound, Problem
from windlass.protocols import media_types
from windlass.protocols.intents import Description
from windlass.receiving.local_file import store_local_file


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
