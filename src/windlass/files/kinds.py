"""Kinds of files, for people: groups of detected types, such as all spreadsheets.

The page has the same table (``static/windlass/js/format.js``), for files that have no record yet.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Literal, get_args

from django.db.models import Q

Kind = Literal[
    "pdf",
    "email",
    "spreadsheet",
    "presentation",
    "document",
    "archive",
    "code",
    "image",
    "video",
    "audio",
    "font",
    "model",
    "text",
    "other",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Kind -> its types; ``*`` at the end stands for any rest. A type is of the first kind that has it, so that
#: ``text/csv`` is a spreadsheet, and of ``other`` if none has it.
TYPES: dict[Kind, tuple[str, ...]] = {
    "pdf": ("application/pdf",),
    "email": ("message/*", "application/mbox", "application/vnd.ms-outlook*"),
    "spreadsheet": (
        "text/csv",
        "text/tab-separated-values",
        "application/vnd.ms-excel*",
        "application/vnd.oasis.opendocument.spreadsheet*",
        "application/vnd.openxmlformats-officedocument.spreadsheetml*",
        "application/vnd.sun.xml.calc*",
    ),
    "presentation": (
        "application/vnd.ms-powerpoint*",
        "application/vnd.oasis.opendocument.presentation*",
        "application/vnd.openxmlformats-officedocument.presentationml*",
        "application/vnd.sun.xml.impress*",
    ),
    "document": (
        "application/msword",
        "application/rtf",
        "text/rtf",
        "application/vnd.ms-word*",
        "application/vnd.oasis.opendocument.text*",
        "application/vnd.openxmlformats-officedocument.wordprocessingml*",
        "application/vnd.sun.xml.writer*",
        "application/epub+zip",
        "application/vnd.comicbook*",
        "application/postscript",
        "application/x-hwp",
        "image/vnd.djvu*",
    ),
    "archive": (
        "application/zip",
        "application/gzip",
        "application/zstd",
        "application/java-archive",
        "application/vnd.android.package-archive",
        "application/vnd.debian.binary-package",
        "application/vnd.ms-cab-compressed",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-archive",
        "application/x-bzip2",
        "application/x-cpio",
        "application/x-iso9660-image",
        "application/x-lz4",
        "application/x-lzma",
        "application/x-rpm",
        "application/x-tar",
        "application/x-xpinstall",
        "application/x-xz",
    ),
    "code": (
        "application/geo+json",
        "application/json*",
        "application/ld+json",
        "application/manifest+json",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-ipynb+json",
        "application/x-ndjson",
        "application/x-sh",
        "application/xhtml+xml",
        "application/xml*",
        "application/xslt+xml",
        "application/yaml",
        "text/css",
        "text/html",
        "text/javascript",
        "text/rust",
        "text/x-*",
        "text/xml",
    ),
    "image": ("image/*",),
    "video": ("video/*",),
    "audio": ("audio/*",),
    "font": ("font/*", "application/vnd.ms-fontobject"),
    "model": ("model/*",),
    "text": ("text/*", "application/x-subrip"),
}


def kind_of(mime_type: str | None) -> Kind:
    """The kind of a detected type; ``other`` before a type is detected."""
    return next((kind for kind, types in TYPES.items() if _has(types, mime_type or "")), "other")


def is_of_kind(kind: Kind) -> Q:
    """Condition of the files of a kind."""
    # Files that have no type yet are of no kind but ``other``. ``mime_type`` is compared as it is stored: lower-case.
    before = [_condition(TYPES[other]) for other in KINDS[: KINDS.index(kind)]]
    without = ~reduce(or_, before) if before else Q()
    if kind == "other":
        return Q(mime_type=None) | without
    return _condition(TYPES[kind]) & without


def _has(types: tuple[str, ...], mime_type: str) -> bool:
    return any(mime_type.startswith(each[:-1]) if each.endswith("*") else mime_type == each for each in types)


def _condition(types: tuple[str, ...]) -> Q:
    exact = [each for each in types if not each.endswith("*")]
    beginnings = [Q(mime_type__startswith=each[:-1]) for each in types if each.endswith("*")]
    return reduce(or_, beginnings, Q(mime_type__in=exact) if exact else Q(pk__in=[]))
