"""Recordings of five seconds whose headers, tables or time stamps claim another length."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests import rendition_samples, samples

SECONDS = 5
THIRTIETH = 30


@dataclass(frozen=True, slots=True)
class FalseRecording:
    name: str
    mime_type: str
    make: Callable[[], bytes]


@cache
def film() -> bytes:
    return rendition_samples.film(seconds=SECONDS)


@cache
def silent_film() -> bytes:
    return rendition_samples.film(seconds=SECONDS, sound=None)


@cache
def webm() -> bytes:
    return rendition_samples.film(container="webm", codec="libvpx", seconds=SECONDS)


def changed(content: bytes, name: bytes, offset: int, change: Callable[[int], int], form: str = ">I") -> bytes:
    """The number so many bytes behind each ``name``, changed."""
    out, at = bytearray(content), 0
    while (at := content.find(name, at + 1)) > 0:
        (value,) = struct.unpack_from(form, content, at + offset)
        struct.pack_into(form, out, at + offset, change(value))
    return bytes(out)


def shorter(value: int) -> int:
    return value // THIRTIETH


def faster(value: int) -> int:
    return value * THIRTIETH


def nothing(_: int) -> int:
    return 0


def mp4(name: bytes, offset: int, change: Callable[[int], int]) -> Callable[[], bytes]:
    return lambda: changed(film(), name, offset, change)


def m4a(name: bytes, offset: int, change: Callable[[int], int]) -> Callable[[], bytes]:
    return lambda: changed(samples.sound("ipod", "aac", SECONDS), name, offset, change)


@cache
def fragmented(sound: str | None = "stereo") -> bytes:
    return _written("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}, sound)


def _written(container: str, options: dict[str, str], sound: str | None = "stereo") -> bytes:
    """The film's packets in another container."""
    import av

    out = io.BytesIO()
    source = rendition_samples.film(seconds=SECONDS, sound=sound, keyframes=25)
    with av.open(io.BytesIO(source)) as read, av.open(out, "w", format=container, options=options) as made:
        tracks = {stream.index: made.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                made.mux(packet)
    return out.getvalue()


def _trun(content: bytes) -> bytes:
    """Every fragment's samples last a thirtieth, and the fragments follow each other accordingly."""
    content = changed(content, b"mdhd", 16, faster)
    return changed(content, b"mvhd", 20, nothing)


def webm_duration(seconds: float) -> bytes:
    content = webm()
    at = content.index(b"\x44\x89\x88") + 3
    return content[:at] + struct.pack(">d", seconds * 1000) + content[at + 8 :]


def webm_scale() -> bytes:
    content = webm()
    at = content.index(b"\x2a\xd7\xb1\x83") + 4
    return content[:at] + (1_000_000 // THIRTIETH).to_bytes(3, "big") + content[at + 3 :]


def mp3(frames: int | None, name: bytes = b"") -> bytes:
    """``frames``: what the first frame says; None: no such frame, in a file of a changing rate."""
    content = samples.mp3(SECONDS)
    at = content.find(b"Info")
    at = at if at > 0 else content.find(b"Xing")
    if frames is None:
        begins = content.rindex(b"\xff\xfb", 0, at)
        return content[content.index(b"\xff\xfb", begins + 2) :]
    out = bytearray(content)
    out[at : at + 4] = name or out[at : at + 4]
    struct.pack_into(">I", out, at + 8, frames)
    return bytes(out)


def mp3_of_changing_rate() -> bytes:
    """Loud in its second half only, where a guess by the first frames is wrong, and without a table."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as made:
        stream: Any = made.add_stream("libmp3lame", rate=48000, layout="stereo", options={"compression_level": "7"})
        stream.codec_context.qscale = True
        stream.codec_context.global_quality = 4 * 118
        for frame in rendition_samples.sine(SECONDS, "stereo"):
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return out.getvalue()


def mp3_vbri(frames: int) -> bytes:
    """As Fraunhofer's encoder tells the length: 32 bytes behind the first frame's head."""
    content = mp3(None)
    frame = bytearray(content[: content.index(b"\xff\xfb", 2)])
    frame[36:62] = b"VBRI" + struct.pack(">HHHIIHHHHI", 1, 0, 75, 1000, frames, 0, 1, 2, 1, 0)[:22]
    return bytes(frame) + content


def flac(samples_said: int) -> bytes:
    content = bytearray(samples.sound("flac", "flac", SECONDS))
    content[21] &= 0xF0
    struct.pack_into(">I", content, 22, samples_said)
    return bytes(content)


def ogg(change: Callable[[int], int]) -> bytes:
    """Every page's position is another."""
    out = bytearray(samples.sound("ogg", "libopus", SECONDS))
    at = 0
    while (at := out.find(b"OggS", at)) >= 0:
        (position,) = struct.unpack_from("<q", out, at + 6)
        struct.pack_into("<q", out, at + 6, change(position))
        table = out[at + 27 : at + 27 + out[at + 26]]
        end = at + 27 + len(table) + sum(table)
        struct.pack_into("<I", out, at + 22, 0)
        struct.pack_into("<I", out, at + 22, _ogg_crc(bytes(out[at:end])))
        at = end
    return bytes(out)


def _ogg_crc(data: bytes) -> int:
    """CRC-32 by the same polynomial as zlib's, but from the other end and from 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def wav(offset: int, change: Callable[[int], int], name: bytes = b"data") -> bytes:
    """Sound that is no silence: silence looks like empty chunks."""
    content = rendition_samples.tone("wav", "pcm_s16le", 2 * SECONDS)
    half = (len(content) - 44) // 2 // 4 * 4
    head = content[: content.index(b"data") + 4]
    return changed(head + struct.pack("<I", half) + content[-half:], name, offset, change, "<I")


def rf64() -> bytes:
    content = wav(4, int)
    at = content.index(b"data")
    (length,) = struct.unpack_from("<I", content, at + 4)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, len(content), length // THIRTIETH, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + sizes + content[12:at] + b"data\xff\xff\xff\xff" + content[at + 8 :]


def w64() -> bytes:
    content = rendition_samples.tone("w64", "pcm_s16le", SECONDS)
    return changed(content, b"data\xf3\xac\xd3\x11", 16, lambda length: length // THIRTIETH // 8 * 8, "<Q")


def aiff() -> bytes:
    content = rendition_samples.tone("aiff", "pcm_s16be", SECONDS)
    return changed(content, b"SSND", 4, lambda length: length // THIRTIETH // 4 * 4)


def aiff_frames() -> bytes:
    return changed(samples.sound("aiff", "pcm_s16be", SECONDS), b"COMM", 10, shorter)


def avi(rate: Callable[[int], int]) -> bytes:
    return changed(samples.video("avi", "mpeg4", seconds=SECONDS), b"strh", 32, rate, "<I")


def avi_frames() -> bytes:
    return changed(samples.video("avi", "mpeg4", seconds=SECONDS), b"avih", 24, shorter, "<I")


@cache
def broadcast(parts: int = 1, seconds: float = SECONDS) -> bytes:
    return rendition_samples.film(container="mpegts", seconds=seconds) * parts


def broadcast_in_parts() -> bytes:
    """Two and a half seconds twice, with time stamps that begin anew."""
    return broadcast(2, 2.5)


def broadcast_faster() -> bytes:
    """Each PES packet's time is a thirtieth."""
    out = bytearray(broadcast())
    for packet in range(0, len(out), 188):
        if not out[packet + 1] & 0x40 or not out[packet + 3] & 0x10:
            continue
        start = packet + 4 + (1 + out[packet + 4] if out[packet + 3] & 0x20 else 0)
        if out[start : start + 3] == b"\0\0\1" and out[start + 7] & 0x80:
            for stamp in range(2 if out[start + 7] & 0x40 else 1):
                _slow_down(out, start + 9 + 5 * stamp)
    return bytes(out)


def _slow_down(out: bytearray, at: int) -> None:
    a, b, c, d, e = out[at : at + 5]
    value = ((a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1) // THIRTIETH
    out[at : at + 5] = (
        (a & 0xF1) | (value >> 30 & 7) << 1,
        value >> 22 & 0xFF,
        (value >> 15 & 0x7F) << 1 | 1,
        value >> 7 & 0xFF,
        (value & 0x7F) << 1 | 1,
    )


def asf() -> bytes:
    """The file properties' play duration, in tenths of microseconds."""
    name = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
    return changed(samples.sound("asf", "wmav2", SECONDS), name, 64, shorter, "<Q")


SHORTER = [
    FalseRecording("mp4 mdhd", "video/mp4", mp4(b"mdhd", 20, shorter)),
    FalseRecording("mp4 mdhd of nothing", "video/mp4", mp4(b"mdhd", 20, nothing)),
    FalseRecording("mp4 mdhd time scale", "video/mp4", mp4(b"mdhd", 16, faster)),
    FalseRecording("mp4 mvhd", "video/mp4", mp4(b"mvhd", 20, shorter)),
    FalseRecording("mp4 mvhd of nothing", "video/mp4", mp4(b"mvhd", 20, nothing)),
    FalseRecording("mp4 mvhd time scale", "video/mp4", mp4(b"mvhd", 16, faster)),
    FalseRecording("mp4 tkhd", "video/mp4", mp4(b"tkhd", 24, shorter)),
    FalseRecording("mp4 elst", "video/mp4", mp4(b"elst", 12, shorter)),
    FalseRecording("silent mp4 time scale", "video/mp4", lambda: changed(silent_film(), b"mdhd", 16, faster)),
    FalseRecording("m4a mdhd", "audio/mp4", m4a(b"mdhd", 20, shorter)),
    FalseRecording("m4a mdhd time scale", "audio/mp4", m4a(b"mdhd", 16, faster)),
    FalseRecording("m4a elst", "audio/mp4", m4a(b"elst", 12, shorter)),
    FalseRecording("fragmented mp4 time scale", "video/mp4", lambda: _trun(fragmented())),
    FalseRecording("webm duration", "video/webm", lambda: webm_duration(0.1)),
    FalseRecording("webm duration of nothing", "video/webm", lambda: webm_duration(0)),
    FalseRecording("webm duration that is no number", "video/webm", lambda: webm_duration(float("nan"))),
    FalseRecording("webm duration below nothing", "video/webm", lambda: webm_duration(-5)),
    FalseRecording("webm time scale", "video/webm", webm_scale),
    FalseRecording("mp3 Xing", "audio/mpeg", lambda: mp3(10, b"Xing")),
    FalseRecording("mp3 Info", "audio/mpeg", lambda: mp3(10, b"Info")),
    FalseRecording("mp3 VBRI", "audio/mpeg", lambda: mp3_vbri(10)),
    FalseRecording("mp3 without a table", "audio/mpeg", lambda: mp3(None)),
    FalseRecording("mp3 of a changing rate", "audio/mpeg", mp3_of_changing_rate),
    FalseRecording("flac", "audio/flac", lambda: flac(1000)),
    FalseRecording("flac of nothing", "audio/flac", lambda: flac(0)),
    FalseRecording("ogg", "audio/ogg", lambda: ogg(shorter)),
    FalseRecording("wav data", "audio/wav", lambda: wav(4, shorter)),
    FalseRecording("wav data of nothing", "audio/wav", lambda: wav(4, nothing)),
    FalseRecording("wav byte rate", "audio/wav", lambda: wav(16, faster, b"fmt ")),
    FalseRecording("rf64", "audio/wav", rf64),
    FalseRecording("aiff frames", "audio/aiff", aiff_frames),
    FalseRecording("avi rate", "video/x-msvideo", lambda: avi(faster)),
    FalseRecording("avi frames", "video/x-msvideo", avi_frames),
    FalseRecording("broadcast time stamps", "video/mp2t", broadcast_faster),
    FalseRecording("asf", "audio/x-ms-wma", asf),
]
LONGER = [
    FalseRecording("mp4 mvhd", "video/mp4", mp4(b"mvhd", 20, faster)),
    FalseRecording("mp4 mdhd", "video/mp4", mp4(b"mdhd", 20, faster)),
    FalseRecording("webm", "video/webm", lambda: webm_duration(1000)),
    FalseRecording("mp3", "audio/mpeg", lambda: mp3(100_000)),
    FalseRecording("flac", "audio/flac", lambda: flac(2**31)),
    FalseRecording("wav", "audio/wav", lambda: wav(4, faster)),
    FalseRecording("wav without end", "audio/wav", lambda: wav(4, lambda _: 2**32 - 1)),
]
UNTOLD = [
    FalseRecording("w64 data", "audio/wav", w64),
    FalseRecording("aiff sound", "audio/aiff", aiff),
    FalseRecording(
        "pictures of a codec without a rate",
        "video/webm",
        lambda: _fast_live_webm(),
    ),
]


def _fast_live_webm() -> bytes:
    content = samples.live_webm(SECONDS)
    at = content.index(b"\x2a\xd7\xb1\x83") + 4
    return content[:at] + (1_000_000 // THIRTIETH).to_bytes(3, "big") + content[at + 3 :]
