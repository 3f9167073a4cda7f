"""Schemas and a function for Django Ninja: show a file in a reply, and attach one that a request names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from ninja.errors import ValidationError as NinjaValidationError
from pydantic import BeforeValidator

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.attachments import find_attachable
from windlass.files.api import FileAsset
from windlass.http.file_records import FileRecord, file_record


def _as_record(value: Any) -> Any:
    return file_record(value) if isinstance(value, FileAsset) else value


#: A file in a reply, as `GET /files/{id}/` shows it: ``photo: FileOut | None`` in a schema of a model.
FileOut = Annotated[FileRecord, BeforeValidator(_as_record)]


def attachable_file(
    request: HttpRequest,
    file_id: UUID,
    *,
    field: str,
    profile: str = "default",
    must_be_ready: bool = True,
) -> FileAsset:
    """The file of this id, if the request's user may attach it. Raises Ninja's ValidationError (422) for ``field``.

    Ninja sets ``request.auth``, not ``request.user``, for other credentials than a session: it is used if it is a user.
    """
    user = getattr(request, "auth", None)
    submitter = user if hasattr(user, "pk") else request.user
    try:
        return find_attachable(file_id, submitter, AttachmentRules(profile, must_be_ready))
    except ValidationError as error:
        problem: Mapping[str, Any] = {"type": error.code, "loc": ["body", field], "msg": " ".join(error.messages)}
        raise NinjaValidationError([dict(problem)]) from error
