"""Type of a recording by its tracks: whether a container has video, or sound only."""

from __future__ import annotations

import struct
from typing import BinaryIO

from windlass.processing.formats.recordings import matroska_tracks, mp4_tracks, mpeg_audio

#: Type of a container with video -> with sound only.
_SOUND_ONLY = {
    "video/3gpp": "audio/3gpp",
    "video/3gpp2": "audio/3gpp2",
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
    "video/x-ms-asf": "audio/x-ms-wma",
}
_WITH_PICTURES = {"audio/3gpp": "video/3gpp", "audio/3gpp2": "video/3gpp2", "audio/mp4": "video/mp4"}
_MP4 = frozenset({*_WITH_PICTURES, *_WITH_PICTURES.values(), "video/quicktime", "application/mp4"})
_UNKNOWN = "application/octet-stream"

#: Codecs of still pictures in MP4: a cover, or one for each chapter.
_STILL_CODECS = frozenset({"jpeg", "mjpa", "png ", "gif ", "tiff"})

#: First bytes, bytes at offset 8, and the type, where libmagic detects nothing or another type.
_TYPE_BY_HEAD = (
    (b"RIFX", b"WAVE", "audio/wav"),
    (b"RF64", b"WAVE", "audio/wav"),
    (b"BW64", b"WAVE", "audio/wav"),
    (b"riff\x2e\x91\xcf\x11", b"", "audio/wav"),
    (b"FORM", b"AIFF", "audio/aiff"),
    (b"FORM", b"AIFC", "audio/aiff"),
    (b"\0\0\1\xb3", b"", "video/mpeg"),
)

_OGG_PICTURES = (b"\x80theora", b"BBCD\0", b"OVP80", b"\1video", b"\x80daala")
_OGG_SOUND = (b"OpusHead", b"\1vorbis", b"\x7fFLAC", b"fLaC", b"Speex   ", b"CELT    ", b"PCM     ", b"\1audio")
_MOST_PAGES = 64

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_ASF_SOUND = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_ASF_PICTURES = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")


def recording_type(file: BinaryIO, head: bytes, size: int, detected: str) -> str:
    """Return the type of a recording by its tracks; ``detected`` for other files and unreadable tracks.

    ``head``: the file's first bytes; ``detected``: its type by other means.
    """
    for first, later, named in _TYPE_BY_HEAD:
        if head.startswith(first) and head[8:].startswith(later):
            return named
    if detected in _MP4 or (detected == _UNKNOWN and head[4:8] in mp4_tracks.FIRST):
        return _mp4_type(file, size, detected)
    if head.startswith(matroska_tracks.SIGNATURE):
        return _matroska_type(file, size, detected)
    if head.startswith(b"OggS"):
        return _ogg_type(head, detected)
    if head.startswith(_ASF):
        return _asf_type(head, detected)
    if head.startswith(b"ID3") and _is_flac(file, size):
        return "audio/flac"
    if head.startswith(b"ID3") or detected == _UNKNOWN:
        frames = first_frame(file, size)
        return frames[1] if frames is not None else detected
    return detected


def first_frame(file: BinaryIO, size: int) -> tuple[int, str] | None:
    """Return start and type of MPEG audio frames. The length of the tags before them may be wrong."""
    tags_end = mpeg_audio.end_of_tags(file, size)
    if not tags_end:
        return mpeg_audio.find_frames(file, 0, mpeg_audio.WITHOUT_TAG)
    frames = mpeg_audio.find_frames(file, tags_end, mpeg_audio.WITHOUT_TAG)
    return frames or mpeg_audio.find_frames(file, 10, mpeg_audio.WITH_TAG)


def hidden_start(file: BinaryIO, size: int) -> int:
    """Return the start of MPEG audio frames where it differs from the end of the tags; else 0."""
    frames = first_frame(file, size)
    return frames[0] if frames is not None and frames[0] != mpeg_audio.end_of_tags(file, size) else 0


def _mp4_type(file: BinaryIO, size: int, detected: str) -> str:
    movie = mp4_tracks.read_movie(file, size)
    if movie is None:
        return detected
    sound = any(track.handler == "soun" for track in movie.tracks)
    pictures = [track for track in movie.tracks if track.handler == "vide"]
    if not sound and not pictures:
        return detected
    if detected in (_UNKNOWN, "application/mp4"):
        detected = "video/quicktime" if movie.brand.strip() in ("", "qt") else "video/mp4"
    if sound and all(_is_still(track) and not movie.fragmented for track in pictures):
        return _SOUND_ONLY.get(detected, detected)
    return _WITH_PICTURES.get(detected, detected)


def _is_still(track: mp4_tracks.Track) -> bool:
    """Whether a track is a cover, or pictures of chapters: fewer than one a second."""
    return track.samples <= 1 or (track.codec in _STILL_CODECS and track.samples < track.seconds)


def _matroska_type(file: BinaryIO, size: int, detected: str) -> str:
    tracks = matroska_tracks.read_tracks(file, size)
    if tracks is None:
        return detected
    mime_type = "video/webm" if tracks.doc_type == "webm" else "video/x-matroska"
    only_sound = tracks.sound and (not tracks.pictures or tracks.stills)
    return _SOUND_ONLY[mime_type] if only_sound else mime_type


def _ogg_type(head: bytes, detected: str) -> str:
    """By the first page of each stream; all are at the start (RFC 3533, 4)."""
    offset, bodies = 0, list[bytes]()
    while head[offset : offset + 4] == b"OggS" and len(head) > offset + 27 and len(bodies) < _MOST_PAGES:
        table = head[offset + 27 : offset + 27 + head[offset + 26]]
        body = offset + 27 + len(table)
        if not head[offset + 5] & 2:
            break
        bodies.append(head[body : body + sum(table)])
        offset = body + sum(table)
    if any(body.startswith(_OGG_PICTURES) for body in bodies):
        return "video/ogg"
    return "audio/ogg" if any(body.startswith(_OGG_SOUND) for body in bodies) else detected


def _asf_type(head: bytes, detected: str) -> str:
    """By the stream properties in the header, and in the extension of the header (ASF specification, 3.3, 4.1)."""
    kinds = _asf_streams(head, 30, min(len(head), struct.unpack_from("<Q", head.ljust(24, b"\0"), 16)[0]))
    if _ASF_PICTURES in kinds:
        return "video/x-ms-asf"
    return "audio/x-ms-wma" if _ASF_SOUND in kinds else detected


def _asf_streams(head: bytes, at: int, end: int) -> set[bytes]:
    kinds: set[bytes] = set()
    while at + 24 <= end:
        name, (length,) = head[at : at + 16], struct.unpack_from("<Q", head, at + 16)
        if length < 24:
            break
        if name == _ASF_STREAM:
            kinds.add(head[at + 24 : at + 40])
        elif name == _ASF_EXTENSION:
            inside, place = head[at + 46 : min(at + length, end)], 0
            while (place := inside.find(_ASF_STREAM, place)) >= 0:
                kinds.add(inside[place + 24 : place + 40])
                place += 16
        at += length
    return kinds


def _is_flac(file: BinaryIO, size: int) -> bool:
    """Whether FLAC follows the ID3 tags."""
    file.seek(mpeg_audio.end_of_tags(file, size))
    return file.read(4) == b"fLaC"
