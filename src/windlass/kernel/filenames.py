"""Client file names: cleaned on the way in, cut wherever they grow, quoted on the way out. Never a path on our side."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

#: The longest name in bytes of UTF-8: what ext4, XFS, APFS and NTFS hold, and our column.
MAX_BYTES = 255
#: An extension longer than this is part of the name, and may be cut with it.
MAX_EXTENSION_BYTES = 16
UNNAMED = "unnamed"

#: Unicode's Bidi_Control (UAX #9). They make ``gpj.exe`` look like ``exe.jpg``.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: C0 and C1 controls, the two separators that break a line, and surrogates, which UTF-8 cannot encode.
_REMOVED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Categories that show nothing by themselves: separators, format characters, controls.
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Cc", "Cs", "Zs", "Zl", "Zp"})
_ZERO_WIDTH_JOINER = "\u200d"


def clean(name: str | None) -> str:
    """The client's name without directories and control characters, at most 255 bytes of UTF-8; else ``unnamed``.

    Both separators count, because a Windows browser may send ``C:\\\\dir\\\\a.txt``. Joiners, private characters and
    those that this Python does not know yet stay: Persian, emoji and flags are spelled with them.
    """
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if not _is_removed(c))
    trimmed = unicodedata.normalize("NFC", kept).strip(" ")
    return fit(trimmed) if _shows_something(trimmed) else UNNAMED


def fit(name: str) -> str:
    """``name`` cut to 255 bytes of UTF-8, with its extension kept."""
    stem, ending = split(name)
    return grow(stem, "", ending)


def grow(stem: str, suffix: str, ending: str) -> str:
    """``stem + suffix + ending``; the stem is cut so that all of it has at most 255 bytes of UTF-8.

    The cut falls between characters, and leaves neither a space nor a joiner at its end.
    """
    room = MAX_BYTES - len((suffix + ending).encode())
    encoded = stem.encode()
    if len(encoded) > room:
        stem = encoded[: max(room, 0)].decode("utf-8", "ignore").rstrip(" " + _ZERO_WIDTH_JOINER)
    return stem + suffix + ending


def split(name: str) -> tuple[str, str]:
    """The name in front of its extension, and the extension with its dot; ``.htaccess`` and ``none`` have none."""
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
    """Whether it stands for a name where there is none: ours, or the one that browsers give a Blob in a form."""
    return name in (UNNAMED, "blob")


def comparable(text: str) -> str:
    """The form in which names are compared and searched: without regard to case and to how letters are composed, and
    without the characters that ``clean`` removes."""
    kept = "".join(c for c in text if not _is_removed(c))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", kept).casefold())


def content_disposition(kind: str, name: str) -> str:
    """RFC 6266 with an ASCII fallback and ``filename*`` (RFC 8187). ``kind`` is ``inline`` or ``attachment``."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _is_removed(character: str) -> bool:
    return character in _BIDI_CONTROLS or unicodedata.category(character) in _REMOVED_CATEGORIES


def _shows_something(name: str) -> bool:
    return any(c != "." and unicodedata.category(c) not in _INVISIBLE_CATEGORIES for c in name)
