"""The form field of a file, and the mixin that tells such fields who submits the form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
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
    ``profile`` and ``must_be_ready``: as FileAssetField has them.
    ``multiple``: takes any number of files; ``clean`` returns a list, and ``initial`` is one.
    """

    widget = UploadWidget

    def __init__(
        self,
        *,
        profile: str = "default",
        must_be_ready: bool = True,
        user: Any = _NOT_GIVEN,
        multiple: bool = False,
        **options: Any,
    ) -> None:
        self.rules = AttachmentRules(profile, must_be_ready)
        self.user = user
        self.multiple = multiple
        #: By their ids, the files that the submitter may attach.
        self._accepted: dict[str, FileAsset] = {}
        super().__init__(**options)
        widget: Any = self.widget  # an instance from here on
        if isinstance(widget, UploadWidget):
            widget.rules, widget.multiple = self.rules, multiple

    def clean(self, data: Any, initial: Any = None) -> FileAsset | list[FileAsset] | None:
        """Store or find the file or files. One that the form was rendered with stays valid, whoever owns it."""
        self._accepted = {}
        if data is FILE_INPUT_CONTRADICTION:
            raise ValidationError(self.error_messages["contradiction"], code="contradiction")
        chosen = initial if data is None else data
        if chosen in (False, "", None, []):
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return [] if self.multiple else None
        known = {str(_key(each)) for each in _listed(initial)}
        return self._clean_all(_listed(chosen), known) if self.multiple else self._clean_one(chosen, known)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What the widget shows again: submitted files if they are the user's, else the initial ones."""
        if not self.multiple:
            return self._shown_again(data, initial)
        known = {str(_key(each)): each for each in _listed(initial)}
        shown = (self._shown_again(each, known.get(str(each))) for each in _listed(data))
        return [each for each in shown if each is not None]

    def has_changed(self, initial: Any, data: Any) -> bool:
        if self.disabled or data is None:
            return False
        if self.multiple:
            given = _listed(data)
            is_new = any(isinstance(each, UploadedFile) for each in given)
            return is_new or {str(each) for each in given} != {str(_key(each)) for each in _listed(initial)}
        return isinstance(data, UploadedFile) or str(_key(initial) or "") != str(data or "")

    def _clean_all(self, chosen: list[Any], known: set[str]) -> list[FileAsset]:
        """Raises ValidationError with the reasons of all that are refused. A file that is named twice counts once."""
        files: dict[Any, FileAsset] = {}
        refused: list[ValidationError] = []
        for each in chosen:
            try:
                file = self._clean_one(each, known)
            except ValidationError as error:
                refused.append(error)
            else:
                files |= {} if file is None else {file.pk: file}
        if refused:
            raise ValidationError(refused)
        return list(files.values())

    def _clean_one(self, chosen: Any, known: set[str]) -> FileAsset | None:
        """``known``: the ids that the form was rendered with."""
        if isinstance(chosen, UploadedFile):
            file = self._store(chosen)
        elif str(_key(chosen)) in known:
            return FileAsset.objects.filter(pk=_key(chosen)).first()
        else:
            rules = AttachmentRules(self.rules.profile, must_be_ready=False)
            file = find_attachable(str(chosen), self._submitter(), rules)
            self._accepted[str(file.pk)] = file
        self.rules.check(file)
        self.run_validators(file)
        return file

    def _shown_again(self, data: Any, initial: Any) -> Any:
        if isinstance(data, UploadedFile):
            return getattr(data, _STORED, initial)
        if data in (False, ""):
            return None
        return self._accepted.get(str(data), initial)

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


def _listed(value: Any) -> list[Any]:
    if value in (None, False, ""):
        return []
    return list(value) if isinstance(value, list | tuple | QuerySet) else [value]


class FileFormMixin:
    """Takes ``user=request.user`` and gives it to the form's file fields. Put it before ``Form`` or ``ModelForm``."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for field in self.fields.values():
            if isinstance(field, FileAssetFormField):
                field.user = user
