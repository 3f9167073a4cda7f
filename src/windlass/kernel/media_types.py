"""What a media type claims, which spellings mean the same, and which claims a content contradicts.

A client's claim is compared with what libmagic found. A false alarm turns an honest file away, so a claim counts as
contradicted only where both sides are certain: two formats that have signatures of their own, and are not a container
and what it may contain.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

#: Types that claim nothing about the content.
NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-empty", "inode/x-empty"})

#: Other spelling -> the one used here.
ALIASES = {
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "application/ecmascript": "text/javascript",
    "application/x-bzip": "application/x-bzip2",
    "application/x-gzip": "application/gzip",
    "application/x-pdf": "application/pdf",
    "application/x-rar": "application/vnd.rar",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-zip": "application/zip",
    "application/x-zip-compressed": "application/zip",
    "application/xml": "text/xml",
    "audio/aacp": "audio/aac",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-hx-aac-adts": "audio/aac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/tif": "image/tiff",
    "image/x-bmp": "image/bmp",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
    "text/rtf": "application/rtf",
    "video/avi": "video/x-msvideo",
    "video/msvideo": "video/x-msvideo",
    "video/x-m4v": "video/mp4",
}

#: Formats that begin with a signature of their own: content that libmagic does not recognise is none of them.
SIGNED = frozenset(
    {
        "application/gzip",
        "application/pdf",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-xz",
        "application/zip",
        "audio/flac",
        "audio/wav",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "image/webp",
        "video/webm",
        "video/x-matroska",
        "video/x-msvideo",
    }
)

#: Formats that share one container or one look, so that neither a name nor a quick look tells them apart.
FAMILIES = (
    frozenset(
        {
            "application/mp4",
            "audio/3gpp",
            "audio/3gpp2",
            "audio/mp4",
            "video/3gpp",
            "video/3gpp2",
            "video/mp4",
            "video/quicktime",
        }
    ),
    frozenset({"application/ogg", "audio/ogg", "audio/opus", "audio/vorbis", "audio/x-vorbis+ogg", "video/ogg"}),
    frozenset({"audio/webm", "audio/x-matroska", "video/webm", "video/x-matroska"}),
    frozenset({"application/vnd.ms-asf", "audio/x-ms-wma", "video/x-ms-asf", "video/x-ms-wmv"}),
    frozenset({"audio/aac", "audio/mpeg", "video/mp2t", "video/mpeg"}),
    frozenset({"image/avif", "image/heic", "image/heic-sequence", "image/heif", "image/heif-sequence"}),
    frozenset({"application/vnd.ms-excel", "text/csv", "text/plain", "text/tab-separated-values"}),
)

#: Type of a container -> what it may turn out to hold, as ``fnmatch`` patterns.
CONTAINERS = {
    "application/zip": (
        "application/*+zip",
        "application/java-archive",
        "application/vnd.android.package-archive",
        "application/vnd.apple.*",
        "application/vnd.google-earth.kmz",
        "application/vnd.ms-*",
        "application/vnd.oasis.opendocument.*",
        "application/vnd.openxmlformats-officedocument.*",
        "application/x-xpinstall",
        "model/*",
    ),
    "application/x-ole-storage": ("application/msword", "application/vnd.ms-*", "application/x-msi"),
    "application/gzip": ("application/x-compressed-tar", "application/x-gtar", "application/x-tar", "image/svg+xml"),
    "image/tiff": ("image/x-*",),
}
CONTAINERS["application/cdfv2"] = CONTAINERS["application/x-ole-storage"]

_TEXT = frozenset(
    {
        "application/graphql",
        "application/json",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-subrip",
        "application/x-yaml",
        "application/yaml",
        "message/rfc822",
    }
)

#: Pictures made of pixels, in the formats of browsers and cameras. libvips reads each with a loader that is meant for
#: untrusted files.
RASTER_IMAGES = (
    "image/avif",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
)

#: What the end of a file's name claims. An ending that is not here claims nothing.
EXTENSIONS = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "apk": "application/vnd.android.package-archive",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "bz2": "application/x-bzip2",
    "css": "text/css",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gz": "application/gzip",
    "heic": "image/heic",
    "heif": "image/heif",
    "htm": "text/html",
    "html": "text/html",
    "jar": "application/java-archive",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "md": "text/markdown",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/opus",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rar": "application/vnd.rar",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "wma": "audio/x-ms-wma",
    "wmv": "video/x-ms-wmv",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "text/xml",
    "xz": "application/x-xz",
    "zip": "application/zip",
}


def canonical(media_type: str | None) -> str:
    """The type alone, in lower case, without parameters, in the spelling used here; empty where there is none."""
    bare = (media_type or "").partition(";")[0].strip().lower()
    return ALIASES.get(bare, bare)


def extension(filename: str) -> str:
    """The end of the name after its last dot, in lower case; empty where there is none (``.profile`` has none)."""
    stem, dot, end = filename.rpartition(".")
    return end.lower() if dot and stem else ""


def of_filename(filename: str) -> str | None:
    """The type that the name's ending claims, if it is known to claim one."""
    return EXTENSIONS.get(extension(filename))


def matches(media_type: str, patterns: Iterable[str]) -> bool:
    """Whether the type is one of these (``image/*`` works), in any of its spellings."""
    bare = media_type.partition(";")[0].strip().lower()
    names = {bare, canonical(bare)}
    return any(fnmatchcase(name, wanted) for pattern in patterns for wanted in _spellings(pattern) for name in names)


def contradicts(claimed: str, found: str) -> bool:
    """Whether content of type ``found`` proves that it is not of type ``claimed``."""
    claim, content = canonical(claimed), canonical(found)
    if claim in NOTHING or claim == content or content in ("application/x-empty", "inode/x-empty"):
        return False
    if content in NOTHING:
        return claim in SIGNED
    if _akin(claim, content):
        return False
    if not _known(claim):
        return False
    return _known(content) or claim in SIGNED


def is_text(media_type: str) -> bool:
    name = canonical(media_type)
    return name.startswith("text/") or name in _TEXT or name.endswith(("+xml", "+json"))


def _spellings(pattern: str) -> set[str]:
    return {pattern.strip().lower(), canonical(pattern)}


def _akin(one: str, other: str) -> bool:
    if is_text(one) and is_text(other):
        return True
    if any(one in family and other in family for family in FAMILIES):
        return True
    return _holds(one, other) or _holds(other, one)


def _holds(container: str, content: str) -> bool:
    return any(fnmatchcase(content, pattern) for pattern in CONTAINERS.get(container, ()))


def _known(name: str) -> bool:
    return (
        name in SIGNED
        or is_text(name)
        or any(name in family for family in FAMILIES)
        or name in CONTAINERS
        or any(_holds(container, name) for container in CONTAINERS)
    )
