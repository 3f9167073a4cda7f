"""Type of a recording by its tracks: whether a container has video, or sound only; and where the frames of MPEG audio
(MP3 and its older layers; AAC in ADTS) start, behind tags and other bytes."""

from __future__ import annotations

import re
import struct
from itertools import islice
from typing import BinaryIO

from windlass.processing.formats.recordings import matroska_tracks, mp4_tracks

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

#: Bytes that are searched for the first frame: without an ID3 tag, and with one.
_WITHOUT_TAG, _WITH_TAG = 1024 * 1024, 16 * 1024 * 1024
#: Bytes of a search window, and bytes behind it that a run of frames may need.
_WINDOW, _BEHIND = 1024 * 1024, 16 * 1024
#: Consecutive frames that prove the format.
_IN_A_ROW = 6
_MOST_TAGS = 8
#: False syncs in a window after which it is skipped.
_MOST_TRIES = 20_000

_SYNC = re.compile(rb"(?=(\xff[\xe2-\xef\xf0-\xff]))", re.DOTALL)
#: Kilobits a second by version (1, or 2 and 2.5) and layer (ISO/IEC 11172-3, 2.4.2.3; 13818-3).
_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


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
    tags_end = _end_of_tags(file, size)
    if not tags_end:
        return _find_frames(file, 0, _WITHOUT_TAG)
    frames = _find_frames(file, tags_end, _WITHOUT_TAG)
    return frames or _find_frames(file, 10, _WITH_TAG)


def hidden_start(file: BinaryIO, size: int) -> int:
    """Return the start of MPEG audio frames where it differs from the end of the tags; else 0."""
    frames = first_frame(file, size)
    return frames[0] if frames is not None and frames[0] != _end_of_tags(file, size) else 0


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
            inside, offset = head[at + 46 : min(at + length, end)], 0
            while (offset := inside.find(_ASF_STREAM, offset)) >= 0:
                kinds.add(inside[offset + 24 : offset + 40])
                offset += 16
        at += length
    return kinds


def _is_flac(file: BinaryIO, size: int) -> bool:
    """Whether FLAC follows the ID3 tags."""
    file.seek(_end_of_tags(file, size))
    return file.read(4) == b"fLaC"


def _end_of_tags(file: BinaryIO, size: int) -> int:
    """Return where the ID3v2 tags at the start end by their lengths; 0 without tags."""
    at = 0
    for _ in range(_MOST_TAGS):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at += 10 + length + (10 if head[5] & 0x10 else 0)
    return at if at <= size else 0


def _find_frames(file: BinaryIO, start: int, within: int) -> tuple[int, str] | None:
    """Return offset and type (``audio/mpeg`` or ``audio/aac``) of frames within ``within`` bytes from ``start``."""
    for offset in range(start, start + within, _WINDOW):
        file.seek(offset)
        data = file.read(_WINDOW + _BEHIND)
        for match in islice(_SYNC.finditer(data, 0, _WINDOW), _MOST_TRIES):
            frame = _read_frame(data, match.start())
            if frame is not None and _frames_follow(data, match.start(), frame[0]):
                return offset + match.start(), "audio/aac" if frame[0][0] == "adts" else "audio/mpeg"
        if len(data) < _WINDOW:
            return None
    return None


def _frames_follow(data: bytes, offset: int, kind: tuple[object, ...]) -> bool:
    """Whether enough frames of one kind follow from here, or frames up to the end of the file."""
    for number in range(_IN_A_ROW):
        frame = _read_frame(data, offset)
        if frame is None or frame[0] != kind:
            return number >= 2 and offset == len(data)
        offset += frame[1]
    return True


def _read_frame(data: bytes, at: int) -> tuple[tuple[object, ...], int] | None:
    """Return the fields that all frames share, and the frame's length in bytes."""
    head = data[at : at + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        rate = head[2] >> 2 & 15
        return (("adts", head[1] & 8, rate), length) if length > 7 and rate < 13 else None
    version, layer, rate, samples = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate in (0, 15) or samples == 3:
        return None
    bits = _RATES[1 if version == 3 else 2, layer][rate - 1] * 1000
    per_second = _SAMPLE_RATES[version][samples]
    padding = head[2] >> 1 & 1
    if layer == 1:
        length = (12 * bits // per_second + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bits // per_second + padding
    return (version, layer, samples), length
