"""The name of a colour profile (ICC.1:2022, 7.3 and 9.2.41; before version 4: ICC.1:2001, 6.5.17)."""

from __future__ import annotations

import re
import struct

LONGEST = 200
_MOST_TAGS = 200
#: Parts of profile names that mean a high dynamic range: perceptual quantizer, hybrid log-gamma.
_HIGH_RANGE = re.compile(r"PQ\b|HLG\b|ST ?2084", re.IGNORECASE)


def profile_name(profile: bytes) -> str | None:
    """Return the ``desc`` tag in its first language; None where the profile is damaged."""
    try:
        return _text(_tag(profile, b"desc"))
    except (struct.error, UnicodeDecodeError):
        return None


def transfer_function(profile: bytes) -> int:
    """Return the transfer function (ITU-T H.273) by the ``cicp`` tag (ICC.1:2022, 9.2.17), else by the profile's name;
    0 where neither names one of a high dynamic range."""
    try:
        tag = _tag(profile, b"cicp")
    except struct.error:
        return 0
    if len(tag) >= 10 and tag.startswith(b"cicp"):
        return tag[9]
    match = _HIGH_RANGE.search(profile_name(profile) or "")
    return 0 if match is None else (18 if match[0].upper() == "HLG" else 16)


def _tag(profile: bytes, wanted: bytes) -> bytes:
    """Return a tag's body, empty where it is missing. Raises struct.error."""
    (count,) = struct.unpack_from(">I", profile, 128)
    for index in range(min(count, _MOST_TAGS)):
        tag, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if tag == wanted:
            return profile[offset : offset + min(length, 65536)]
    return b""


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
