"""``{% load windlass %}``: links to files, thumbnails, sizes, and the upload widget.

The module has the name that templates load, which is also the package's: imports here are absolute.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from windlass.django.attachment_rules import AttachmentRules
from windlass.django.links import download_url, thumbnail_url
from windlass.django.widgets import UploadWidget
from windlass.files.api import FileAsset
from windlass.kernel.sizes import human_size

register = template.Library()


@register.simple_tag
def windlass_url(file: FileAsset | None, expires_in: int | None = None) -> str:
    """The address of the file's bytes; with ``expires_in`` (seconds) it needs no other credential. Empty for None."""
    return download_url(file, expires_in=expires_in) if file else ""


@register.simple_tag
def windlass_thumbnail(file: FileAsset | None, alt: str = "", **attributes: Any) -> SafeString:
    """An ``<img>`` of the file's thumbnail, or nothing where there is none. Underscores in names become hyphens."""
    url = thumbnail_url(file) if file else None
    if url is None:
        return mark_safe("")
    shown = {"src": url, "alt": alt, "loading": "lazy"} | {
        key.replace("_", "-"): value for key, value in attributes.items()
    }
    parts = [format_html(' {}="{}"', name, value) for name, value in shown.items()]
    return format_html("<img{}>", mark_safe("".join(parts)))  # noqa: S308  each part was escaped


@register.simple_tag
def windlass_upload(
    name: str,
    file: FileAsset | list[FileAsset] | None = None,
    profile: str = "default",
    multiple: bool = False,
    **attributes: Any,
) -> SafeString:
    """The upload widget, for a form that is written by hand; ``windlass_upload_media`` loads its script.

    ``multiple``: of several files; ``file`` is then a list.
    """
    widget = UploadWidget(multiple=multiple)
    widget.rules = AttachmentRules(profile)
    return widget.render(name, file, attributes)


@register.simple_tag
def windlass_upload_media() -> SafeString:
    """The script and the styles of the upload widget, where no form's ``media`` has them."""
    return mark_safe(str(UploadWidget().media))  # noqa: S308  of Django


@register.filter
def windlass_size(value: FileAsset | int | None) -> str:
    """A size in words, such as ``1.5 MB``, of a file or a number of bytes."""
    return human_size(value.size if isinstance(value, FileAsset) else value)
