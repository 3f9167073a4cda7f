"""What a recording says of itself, by the keys of FFmpeg's containers, in the words of the tags of music."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from windlass.processing.formats.recordings.places import iso6709

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
_PLACES = ("location", "com.apple.quicktime.location.iso6709")
_TIMES = ("com.apple.quicktime.creationdate", "creation_time")


def tags(metadata: Mapping[str, str]) -> dict[str, str]:
    said = {key.lower(): value.strip()[:LONGEST] for key, value in metadata.items()}
    return {name: said[key] for key, name in _NAMES.items() if said.get(key)}


def made_at(metadata: Mapping[str, str]) -> str | None:
    """ISO 8601; None where nothing is said, or the epoch of the container, which stands for nothing."""
    said = {key.lower(): value.strip() for key, value in metadata.items()}
    for key in _TIMES:
        try:
            when = datetime.fromisoformat(said.get(key, ""))
        except ValueError:
            continue
        if when.year > 1970:
            return when.isoformat()
    return None


def place(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    said = {key.lower(): value for key, value in metadata.items()}
    return next((found for key in _PLACES if (found := iso6709(said.get(key, "")))), None)
