"""``FileAssetField`` for serializers of Django REST framework, which is imported only here."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.files.uploadedfile import UploadedFile
from rest_framework.exceptions import ValidationError as RestValidationError
from rest_framework.fields import Field

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.attachments import find_attachable, store_attachment
from windlass.files.api import FileAsset
from windlass.http.file_records import file_record


class FileAssetField(Field):
    """Takes the id of a file, or the file itself in multipart; shows the record as `GET /files/{id}/` does.

    The user is that of the serializer's ``request``: pass ``context={"request": request}``, as views do. ``as_id``
    shows the id only. Lists show each file without further queries after ``prefetch_related("photo__renditions",
    "photo__steps")`` and ``select_related("photo__blob", "photo__duplicate_of")``.
    """

    def __init__(
        self, *, profile: str = "default", must_be_ready: bool = True, as_id: bool = False, **options: Any
    ) -> None:
        self.rules = AttachmentRules(profile, must_be_ready)
        self.as_id = as_id
        super().__init__(**options)  # type: ignore[no-untyped-call]  # rest_framework has no types

    def to_internal_value(self, data: Any) -> FileAsset:
        request = self.context.get("request")
        assert request is not None, "a serializer with a file field needs context={'request': request}"
        try:
            if isinstance(data, UploadedFile):
                file = store_attachment(data, request.user, self.rules)
                self.rules.check(file)
                return file
            return self._unchanged(data) or find_attachable(str(data), request.user, self.rules)
        except DjangoValidationError as error:
            raise RestValidationError(error.messages, error.code) from error  # type: ignore[no-untyped-call]

    def to_representation(self, value: FileAsset) -> Any:
        return str(value.pk) if self.as_id else file_record(value)

    def _unchanged(self, data: Any) -> FileAsset | None:
        """The file that the record has already, if the request names that one: it stays valid, whoever owns it."""
        instance = getattr(self.parent, "instance", None)
        if instance is None or self.source == "*" or not hasattr(instance, self.source):
            return None
        file: FileAsset | None = getattr(instance, self.source)
        return file if file is not None and str(file.pk) == str(data) else None
