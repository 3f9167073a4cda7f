"""The name of a colour profile (ICC.1:2022, 7.3 and 9.2.41; before version 4: ICC.1:2001, 6.5.17)."""

from __future__ import annotations

import struct

LONGEST = 200
_MOST_TAGS = 200


def name(profile: bytes) -> str | None:
    """The ``desc`` tag, in its first language; None where the profile is damaged."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for index in range(min(count, _MOST_TAGS)):
            tag, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
            if tag == b"desc":
                return _text(profile[offset : offset + min(length, 65536)])
    except (struct.error, UnicodeDecodeError):
        return None
    return None


def _text(body: bytes) -> str | None:
    if body.startswith(b"desc"):
        (length,) = struct.unpack_from(">I", body, 8)
        text = body[12 : 12 + min(length, LONGEST)].decode("latin-1")
    elif body.startswith(b"mluc"):
        length, offset = struct.unpack_from(">II", body, 20)
        text = body[offset : offset + min(length, 2 * LONGEST)].decode("utf-16-be")
    else:
        return None
    return text.partition("\0")[0].strip()[:LONGEST] or None
