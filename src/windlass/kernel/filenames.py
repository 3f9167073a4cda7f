"""Names that clients give files: clean, truncate, compare and quote them. They are never paths of the server."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

#: The longest name in bytes of UTF-8: the limit of ext4, XFS, APFS and NTFS, and of our column.
MAX_BYTES = 255
#: A longer extension counts as part of the stem, and may be truncated with it.
MAX_EXTENSION_BYTES = 16
UNNAMED = "unnamed"

#: Unicode's Bidi_Control (UAX #9). They make ``gpj.exe`` look like ``exe.jpg``.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: C0 and C1 controls, the two separators that break a line, and surrogates, which UTF-8 cannot encode.
_REMOVED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Categories that are invisible by themselves: separators, format characters, controls.
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Cc", "Cs", "Zs", "Zl", "Zp"})
_ZERO_WIDTH_JOINER = "\u200d"


def clean(name: str | None) -> str:
    """The client's name without directories and control characters, at most 255 bytes of UTF-8; ``unnamed`` if empty.

    Both separators count, because a Windows browser may send ``C:\\\\dir\\\\a.txt``. Joiners, private characters and
    those that this Python does not know yet stay: Persian, emoji and flags are spelled with them.
    """
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    remaining = "".join(c for c in last if not _is_removed(c))
    trimmed = unicodedata.normalize("NFC", remaining).strip(" ")
    return truncate(trimmed) if _is_visible(trimmed) else UNNAMED


def truncate(name: str) -> str:
    """``name`` truncated to 255 bytes of UTF-8, with its extension kept."""
    stem, ending = split_extension(name)
    return add_suffix(stem, "", ending)


def add_suffix(stem: str, suffix: str, ending: str) -> str:
    """``stem + suffix + ending``, with the stem truncated so that the name has at most 255 bytes of UTF-8.

    The stem is cut between characters, and does not end with a space or a joiner.
    """
    limit = MAX_BYTES - len((suffix + ending).encode())
    encoded = stem.encode()
    if len(encoded) > limit:
        stem = encoded[: max(limit, 0)].decode("utf-8", "ignore").rstrip(" " + _ZERO_WIDTH_JOINER)
    return stem + suffix + ending


def split_extension(name: str) -> tuple[str, str]:
    """The stem, and the extension with its dot; ``.htaccess`` and ``none`` have no extension."""
    stem, dot, ending = name.rpartition(".")
    if not dot or not stem or len(ending.encode()) > MAX_EXTENSION_BYTES:
        return name, ""
    return stem, f".{ending}"


def extension(name: str) -> str:
    """The lower-case extension without its dot, or an empty string: ``Report.PDF`` gives ``pdf``.

    Invisible characters do not count, nor do dots and spaces at the end, which Windows drops: ``a.exe .`` is an exe.
    """
    visible = "".join(c for c in name if unicodedata.category(c) != "Cf").rstrip(". ")
    stem, dot, ending = visible.rpartition(".")
    return ending.lower() if dot and stem else ""


def is_placeholder(name: str) -> bool:
    """Whether the file had no name: ``name`` is ours for such files, or the one that browsers give a Blob in a form."""
    return name in (UNNAMED, "blob")


def comparable(text: str) -> str:
    """``text`` for comparing and searching names: case-folded, composed, and without the characters that ``clean``
    removes."""
    remaining = "".join(c for c in text if not _is_removed(c))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", remaining).casefold())


def content_disposition(kind: str, name: str) -> str:
    """RFC 6266 with an ASCII fallback and ``filename*`` (RFC 8187). ``kind`` is ``inline`` or ``attachment``."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _is_removed(character: str) -> bool:
    return character in _BIDI_CONTROLS or unicodedata.category(character) in _REMOVED_CATEGORIES


def _is_visible(name: str) -> bool:
    return any(c != "." and unicodedata.category(c) not in _INVISIBLE_CATEGORIES for c in name)
