"""What a recording says of itself, by the keys of FFmpeg's containers, in the words of the tags of music."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

LONGEST = 500

#: Key in the container -> our name. Every other key is left out: some say where and by whom a film was made.
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
    said = {key.lower(): value.strip()[:LONGEST] for key, value in metadata.items()}
    return {name: said[key] for key, name in _NAMES.items() if said.get(key)}


def created_at(metadata: Mapping[str, str]) -> str | None:
    """ISO 8601; None where nothing is said, or the epoch of the container, which stands for nothing."""
    said = {key.lower(): value.strip() for key, value in metadata.items()}
    for key in _TIME_KEYS:
        try:
            when = datetime.fromisoformat(said.get(key, ""))
        except ValueError:
            continue
        if when.year > 1970:
            return when.isoformat()
    return None


def location(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    said = {key.lower(): value for key, value in metadata.items()}
    return next((found for key in _LOCATION_KEYS if (found := iso6709(said.get(key, "")))), None)


def iso6709(said: str) -> dict[str, float] | None:
    """Degrees, north and east positive, and metres above the sea; None for what is no place in decimal degrees."""
    found = _ISO6709.fullmatch(said.strip())
    if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
        return None
    place = {"latitude": float(found[1]), "longitude": float(found[2])}
    return place | ({"altitude": float(found[3])} if found[3] else {})
