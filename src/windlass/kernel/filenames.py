"""Client file names: cleaned on the way in, quoted on the way out. Never used as a path on our side."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

MAX_BYTES = 255
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean(name: str | None) -> str:
    """The client's name without directories and control characters, at most 255 bytes of UTF-8; else ``unnamed``.

    Both separators count, because a Windows browser may send ``C:\\\\dir\\\\a.txt``. Format characters go too:
    a right-to-left override makes ``gpj.exe`` look like ``exe.jpg``.
    """
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(c for c in last if unicodedata.category(c) not in _UNSEEN)
    trimmed = unicodedata.normalize("NFC", visible).strip(" ")
    if trimmed.strip(".") == "":
        return "unnamed"
    return _shorten(trimmed)


def extension(name: str) -> str:
    """The lower-case extension without its dot, or an empty string: ``Report.PDF`` gives ``pdf``."""
    stem, dot, ext = name.rpartition(".")
    return ext.lower() if dot and stem else ""


def content_disposition(kind: str, name: str) -> str:
    """RFC 6266 with an ASCII fallback and ``filename*`` (RFC 8187). ``kind`` is ``inline`` or ``attachment``."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, ext = name.rpartition(".")
    tail = f".{ext}" if dot and stem and len(ext.encode()) <= 16 else ""
    head = name[: len(name) - len(tail)].encode()[: MAX_BYTES - len(tail.encode())]
    return head.decode("utf-8", "ignore").rstrip(" ") + tail
