"""Tags, time and location of a recording, from FFmpeg's container metadata, named like music tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

LONGEST = 500

#: Key in the container -> fact. Every other key is left out: some are personal data.
_NAMES = {
    "album": "album",
    "album_artist": "albumartist",
    "artist": "artist",
    "comment": "comment",
    "composer": "composer",
    "copyright": "copyright",
    "date": "date",
    "description": "description",
    "disc": "discnumber",
    "genre": "genre",
    "title": "title",
    "track": "tracknumber",
}
_LOCATION_KEYS = ("location", "com.apple.quicktime.location.iso6709")
_ISO6709 = re.compile(
    r"([+-]\d{1,2}(?:\.\d{1,8})?)([+-]\d{1,3}(?:\.\d{1,8})?)([+-]\d{1,6}(?:\.\d{1,6})?)?(?:CRS\w+)?/?", re.ASCII
)
_TIME_KEYS = ("com.apple.quicktime.creationdate", "creation_time")


def tags(metadata: Mapping[str, str]) -> dict[str, str]:
    values = {key.lower(): value.strip()[:LONGEST] for key, value in metadata.items()}
    return {name: values[key] for key, name in _NAMES.items() if values.get(key)}


def created_at(metadata: Mapping[str, str]) -> str | None:
    """Return ISO 8601; None without a time, or for the epoch of the container, which means no time."""
    values = {key.lower(): value.strip() for key, value in metadata.items()}
    for key in _TIME_KEYS:
        try:
            moment = datetime.fromisoformat(values.get(key, ""))
        except ValueError:
            continue
        if moment.year > 1970:
            return moment.isoformat()
    return None


def location(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    values = {key.lower(): value for key, value in metadata.items()}
    return next((position for key in _LOCATION_KEYS if (position := iso6709(values.get(key, "")))), None)


def iso6709(text: str) -> dict[str, float] | None:
    """Parse ISO 6709 (``+33.8583-151.2000+058.5/``) in decimal degrees: north and east positive, metres above the sea.

    Returns None for any other text.
    """
    match = _ISO6709.fullmatch(text.strip())
    if match is None or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:
        return None
    position = {"latitude": float(match[1]), "longitude": float(match[2])}
    return position | ({"altitude": float(match[3])} if match[3] else {})
