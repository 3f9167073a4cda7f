"""The upload widget: a file input that works without a script, and with one sends large files resumably."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms.widgets import Script

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.links import download_url, thumbnail_url
from windlass.files.api import FileAsset, profiles
from windlass.kernel import urls
from windlass.kernel.ids import parse_id
from windlass.kernel.sizes import human_size


class UploadWidget(forms.ClearableFileInput):
    """Renders a hidden input with the file's id under the field's name, and a file input (``file_name``) beside it.

    The script uploads a chosen file by tus, waits until it may be attached, writes its id into the hidden input and
    empties the file input. Without the script the form brings the file with it.
    """

    template_name = "windlass/django/upload_widget.html"
    needs_multipart_form = True
    rules = AttachmentRules()

    class Media:
        js = (Script("windlass/django/upload-widget.js", type="module"),)
        css = {"all": ("windlass/django/upload-widget.css",)}

    def file_name(self, name: str) -> str:
        """The name of the file input: browsers send an empty one too, which would hide an id of the same name."""
        return f"{name}-upload"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        """The file of the form; else False to remove the file, its id, or None where nothing was submitted.

        A program may send the file under the field's name too.
        """
        sent: Any = {name: files.get(self.file_name(name)) or files.get(name)}
        chosen = super().value_from_datadict(data, sent, name)
        return data.get(name) if chosen is None else chosen

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        is_omitted = super().value_omitted_from_data(data, files, name)
        return bool(is_omitted) and name not in data and self.file_name(name) not in files

    def is_initial(self, value: Any) -> bool:
        return bool(value)

    def format_value(self, value: Any) -> FileAsset | None:  # type: ignore[override]  # the template shows the record
        """The file to show. Callers pass ids only of files that whoever sees the form may know of."""
        if value is None or isinstance(value, FileAsset):
            return value
        file_id = parse_id(str(value))
        return FileAsset.objects.prefetch_related("renditions").filter(pk=file_id).first() if file_id else None

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        file = self.format_value(value)
        context = super().get_context(name, file, attrs)
        profile = profiles()[self.rules.profile]
        input_attributes = context["widget"]["attrs"]
        input_attributes.setdefault(
            "accept", ",".join(_accepted(profile.allowed_mime_types, profile.allowed_extensions))
        )
        if not input_attributes["accept"]:
            del input_attributes["accept"]
        if file is not None:
            input_attributes.pop("required", None)  # the hidden input has a file already
        context["widget"] |= {
            "file": file,
            "file_name": self.file_name(name),
            "download_url": download_url(file) if file is not None else "",
            "thumbnail_url": thumbnail_url(file) if file is not None else None,
            "size": human_size(file.size) if file is not None else "",
            "endpoint": urls.path("/files/"),
            "profile": profile.name,
            "must_be_ready": self.rules.must_be_ready,
            "max_size": profile.max_size,
            "max_size_text": human_size(profile.max_size),
        }
        return context


def _accepted(types: tuple[str, ...], extensions: tuple[str, ...]) -> list[str]:
    """The value of ``accept``. A type that browsers do not know would hide files, so extensions are named as well."""
    return [*types, *(f".{extension.lstrip('.')}" for extension in extensions)]
