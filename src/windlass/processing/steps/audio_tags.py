"""Read the tags of an audio file: title, artist, album."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, BinaryIO

from windlass.processing.contract import About, StepContext, StepResult, damaged

#: mutagen's "easy" names, the same for every format.
TAGS = ("title", "artist", "album", "albumartist", "composer", "date", "genre", "tracknumber", "discnumber")
MAX_VALUE_LENGTH = 500

#: Module -> class of the format. mutagen has many more; each is code that hostile bytes could reach.
FORMATS = {
    "mutagen.aiff": "AIFF",
    "mutagen.asf": "ASF",
    "mutagen.easymp4": "EasyMP4",
    "mutagen.flac": "FLAC",
    "mutagen.mp3": "EasyMP3",
    "mutagen.oggflac": "OggFLAC",
    "mutagen.oggopus": "OggOpus",
    "mutagen.oggvorbis": "OggVorbis",
    "mutagen.wave": "WAVE",
}


class AudioTags:
    """Adds to the tags of the container. Formats whose tags are not text keep those."""

    about = About(
        name="audio_tags",
        stage="describe",
        title="Reading the tags",
        order=20,
        isolated=True,
        mime_types=("audio/*", "application/ogg"),
        gives={
            "tags": "tags by name: title, artist, album, albumartist, composer, date, genre, tracknumber, discnumber …",
        },
        libraries=tuple(FORMATS),
    )

    def run(self, context: StepContext) -> StepResult:
        import mutagen

        with damaged(mutagen.MutagenError, what="tags"):
            tagged_file = mutagen.File(_BoundedFile(context.file), options=_formats(), easy=True)
        tags = {} if tagged_file is None or tagged_file.tags is None else _known_tags(tagged_file.tags)
        tags = {**(context.facts.get("tags") or {}), **tags}
        return StepResult({"tags": tags} if tags else {}, detail=f"{len(tags)} tags")


class _BoundedFile:
    """Limits reads to the file's size: mutagen requests as many bytes as the file claims, and Python allocates them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._end = file, file.seek(0, os.SEEK_END)
        self.seek, self.tell = file.seek, file.tell
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        remaining = max(0, self._end - self._file.tell())
        return self._file.read(remaining if size < 0 else min(size, remaining))


def _formats() -> list[Any]:
    return [getattr(import_module(module), name) for module, name in FORMATS.items()]


def _known_tags(tags: Any) -> dict[str, str]:
    """Formats without easy names (WAV, AIFF) have frames under other keys, which are ignored."""
    known = {}
    for name in TAGS:
        try:
            values = tags.get(name)
        except ValueError:  # a Vorbis comment's key may be anything but this
            continue
        if isinstance(values, list) and values:
            known[name] = "; ".join(str(value) for value in values)[:MAX_VALUE_LENGTH]
    return known
