"""Facts of a camera's picture, from the strings that libvips makes of EXIF entries.

They have the form ``value (formatted value, TYPE, n components, n bytes)``. Values that violate the standard are left
out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

LONGEST = 200

#: Fact -> EXIF entries, of which the first present one counts; the unit is in the fact's description.
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "make": ("ifd0-Make",),
    "model": ("ifd0-Model",),
    "lens": ("ifd2-LensModel",),
    "software": ("ifd0-Software",),
    "artist": ("ifd0-Artist",),
    "copyright": ("ifd0-Copyright",),
    "description": ("ifd0-ImageDescription",),
}
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "exposure_seconds": ("ifd2-ExposureTime",),
    "aperture": ("ifd2-FNumber",),
    "iso": ("ifd2-ISOSpeedRatings", "ifd2-PhotographicSensitivity"),
    "focal_length_mm": ("ifd2-FocalLength",),
    "focal_length_35mm": ("ifd2-FocalLengthIn35mmFilm",),
}
_WHOLE = frozenset({"iso", "focal_length_35mm"})
_TAIL = re.compile(r", (\w+), \d+ components, \d+ bytes\)\Z")

Get = Callable[[str], str | None]


def camera(get: Get) -> dict[str, Any]:
    """Return the camera's facts. ``get`` returns libvips' string of an entry such as ``ifd0-Make``, or None."""
    facts: dict[str, Any] = {}
    for key, names in _TEXTS.items():
        text = (_first(get, names) or "").strip(" \0")[:LONGEST].strip()
        if text and text != "[None]":
            facts[key] = text
    for key, names in _NUMBERS.items():
        number = _number(_first(get, names))
        if number is not None and number > 0:
            facts[key] = int(number) if key in _WHOLE else round(number, 6)
    stamp, offset = _first(get, ("ifd2-DateTimeOriginal", "ifd0-DateTime")), _value(get("ifd2-OffsetTimeOriginal"))
    taken_at = _taken_at(stamp, offset)
    return facts | ({"taken_at": taken_at} if taken_at else {})


def location(get: Get) -> dict[str, float] | None:
    """Return degrees, north and east positive, and metres above the sea; None without a valid position."""
    latitude = _degrees(get, "Latitude", 90)
    longitude = _degrees(get, "Longitude", 180)
    if latitude is None or longitude is None:
        return None
    position = {"latitude": latitude, "longitude": longitude}
    altitude = _number(_value(get("ifd3-GPSAltitude")))
    if altitude is not None:
        below = (_value(get("ifd3-GPSAltitudeRef")) or "").startswith(("1", "Sea level reference"))
        position["altitude"] = round(-altitude if below else altitude, 2)
    return position


def _first(get: Get, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := _value(get(name)))), None)


def _value(text: str | None) -> str | None:
    """Return the first of the two spellings. Texts may contain brackets: they are split in half instead."""
    if text is None:
        return None
    tail = _TAIL.search(text)
    if tail is None or tail[1] != "ASCII":
        return text.partition(" (")[0]
    body = text[: tail.start()]
    half = body[: (len(body) - 2) // 2]
    return half if body == f"{half} ({half}" else body.partition(" (")[0]


def _number(value: str | None) -> float | None:
    try:
        above, _, below = (value or "").partition("/")
        number = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < 1e9 else None


def _degrees(get: Get, axis: str, most: int) -> float | None:
    parts = [_number(part) for part in (_value(get(f"ifd3-GPS{axis}")) or "").split()]
    if len(parts) != 3 or any(part is None for part in parts):
        return None
    degrees: float = sum(float(part / 60**power) for power, part in enumerate(parts) if part is not None)
    if not 0 <= degrees <= most:
        return None
    turned = (_value(get(f"ifd3-GPS{axis}Ref")) or "").strip().upper() in ("S", "W")
    return round(-degrees if turned else degrees, 6)


def _taken_at(stamp: str | None, offset: str | None) -> str | None:
    """Return ISO 8601, with the offset from UTC where the camera recorded it."""
    try:
        moment = datetime.strptime((stamp or "").strip(" \0"), "%Y:%m:%d %H:%M:%S")
        if offset:
            zone = datetime.strptime(offset.strip(" \0"), "%z").tzinfo
            return moment.replace(tzinfo=zone).isoformat()
    except ValueError:
        if offset:
            return _taken_at(stamp, None)
        return None
    return moment.isoformat()
