"""The form field of a file, and the mixin that tells such fields who submits the form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.forms.widgets import FILE_INPUT_CONTRADICTION

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.attachments import find_attachable, store_attachment
from windlass.django.widgets import UploadWidget
from windlass.files.api import FileAsset

__all__ = ["FileAssetFormField", "FileFormMixin", "UploadWidget"]

#: The attribute of an ``UploadedFile`` that says as which file it was stored: a form may be validated more than once.
_STORED = "windlass_file"
_NOT_GIVEN = object()


class FileAssetFormField(forms.FileField):
    """Takes the id of an uploaded file, or a file that the form brings with it; ``clean`` returns the ``FileAsset``.

    ``user`` is who submits the form (``request.user``): the files of others are refused. ``FileFormMixin`` sets it, and
    ``windlass.django.admin.FileFieldsAdmin`` does in the admin. Without it, a new file raises ImproperlyConfigured.
    """

    widget = UploadWidget

    def __init__(self, *, rules: AttachmentRules | None = None, user: Any = _NOT_GIVEN, **options: Any) -> None:
        self.rules = rules or AttachmentRules()
        self.user = user
        self._accepted: FileAsset | None = None
        super().__init__(**options)
        widget: Any = self.widget  # an instance from here on
        if isinstance(widget, UploadWidget):
            widget.rules = self.rules

    def clean(self, data: Any, initial: Any = None) -> FileAsset | None:
        """Store or find the file. A file that the form was rendered with stays valid, whoever owns it."""
        if data is FILE_INPUT_CONTRADICTION:
            raise ValidationError(self.error_messages["contradiction"], code="contradiction")
        chosen = initial if data is None else data
        if chosen in (False, "", None):
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        if isinstance(chosen, UploadedFile):
            file = self._store(chosen)
        elif str(_key(chosen)) == str(_key(initial)):
            return FileAsset.objects.filter(pk=_key(initial)).first()
        else:
            file = find_attachable(
                str(chosen), self._submitter(), AttachmentRules(self.rules.profile, must_be_ready=False)
            )
            self._accepted = file
        self.rules.check(file)
        self.run_validators(file)
        return file

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What the widget shows again: the submitted file if it is the user's, else the initial one."""
        if isinstance(data, UploadedFile):
            return getattr(data, _STORED, initial)
        if data in (False, ""):
            return None
        is_accepted = self._accepted is not None and str(data) == str(self._accepted.pk)
        return self._accepted if is_accepted else initial

    def has_changed(self, initial: Any, data: Any) -> bool:
        if self.disabled or data is None:
            return False
        return isinstance(data, UploadedFile) or str(_key(initial) or "") != str(data or "")

    def _submitter(self) -> Any:
        if self.user is _NOT_GIVEN:
            raise ImproperlyConfigured(
                "This form has a file field and does not know who submits it. Let the form inherit FileFormMixin and "
                "create it with user=request.user; in the admin let the ModelAdmin inherit FileFieldsAdmin."
            )
        return self.user

    def _store(self, uploaded: UploadedFile[bytes]) -> FileAsset:
        file: FileAsset | None = getattr(uploaded, _STORED, None)
        if file is None:
            if not uploaded.size and not self.allow_empty_file:
                raise ValidationError(self.error_messages["empty"], code="empty")
            file = store_attachment(uploaded, self._submitter(), self.rules)
            setattr(uploaded, _STORED, file)
        file.refresh_from_db()
        return file


def _key(value: Any) -> Any:
    """The id of a file that a form was rendered with, which is an id or the file itself."""
    return value.pk if isinstance(value, FileAsset) else value


class FileFormMixin:
    """Takes ``user=request.user`` and gives it to the form's file fields. Put it before ``Form`` or ``ModelForm``."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for field in self.fields.values():
            if isinstance(field, FileAssetFormField):
                field.user = user
