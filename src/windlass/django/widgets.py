"""The upload widget: a file input that works without a script, and with one sends large files resumably."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms.widgets import Script

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.links import download_url, thumbnail_url
from windlass.files.api import FileAsset, Profile, profiles
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

    def __init__(self, attrs: Any = None, *, multiple: bool = False) -> None:
        """``multiple``: of any number of files, whose values are lists; the form has an id for each of them."""
        super().__init__(attrs)
        self.multiple = multiple

    def file_name(self, name: str) -> str:
        """The name of the file input: browsers send an empty one too, which would hide an id of the same name."""
        return f"{name}-upload"

    def remove_name(self, name: str) -> str:
        """The name of the boxes that remove one of several files; their values are ids."""
        return f"{name}-remove"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        """The file of the form; else False to remove the file, its id, or None where nothing was submitted.

        A program may send the file under the field's name too. Of several files: a list of ids and files.
        """
        if self.multiple:
            removed = set(_all(data, self.remove_name(name)))
            ids = [each for each in _all(data, name) if each and each not in removed]
            return [*ids, *_all(files, self.file_name(name)), *_all(files, name)]
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
        given = (value or []) if self.multiple else [value]
        files = [file for each in given if (file := self.format_value(each)) is not None]
        context = super().get_context(name, files[0] if files else None, attrs)
        profile = profiles()[self.rules.profile]
        self._set_input_attributes(context["widget"]["attrs"], profile, has_files=bool(files))
        shown = [_shown(file) for file in files]
        context["widget"] |= {
            "multiple": self.multiple,
            "files": shown,
            **(shown[0] if shown else {"file": None, "download_url": "", "thumbnail_url": None, "size": ""}),
            "file_name": self.file_name(name),
            "remove_name": self.remove_name(name),
            "endpoint": urls.path("/files/"),
            "profile": profile.name,
            "must_be_ready": self.rules.must_be_ready,
            "max_size": profile.max_size,
            "max_size_text": human_size(profile.max_size),
        }
        return context

    def _set_input_attributes(self, attributes: dict[str, Any], profile: Profile, *, has_files: bool) -> None:
        attributes.setdefault("accept", ",".join(_accepted(profile.allowed_mime_types, profile.allowed_extensions)))
        if not attributes["accept"]:
            del attributes["accept"]
        if has_files:
            attributes.pop("required", None)  # the hidden input has a file already
        if self.multiple:
            attributes["multiple"] = True


def _shown(file: FileAsset) -> dict[str, Any]:
    """What a template shows of a file."""
    return {
        "file": file,
        "download_url": download_url(file),
        "thumbnail_url": thumbnail_url(file),
        "size": human_size(file.size),
    }


def _all(values: Any, name: str) -> list[Any]:
    """Every value of a name; of a plain dictionary its one value."""
    if hasattr(values, "getlist"):
        found: list[Any] = values.getlist(name)
        return found
    return [values[name]] if values.get(name) is not None else []


def _accepted(types: tuple[str, ...], extensions: tuple[str, ...]) -> list[str]:
    """The value of ``accept``. A type that browsers do not know would hide files, so extensions are named as well."""
    return [*types, *(f".{extension.lstrip('.')}" for extension in extensions)]
