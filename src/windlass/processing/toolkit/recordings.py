"""Videos and sounds, opened so that their bytes can do the least: one file, one demuxer, no protocol."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from windlass.kernel.media_types import canonical
from windlass.processing.contract import StepContext, StepResult, Unreadable, damaged
from windlass.processing.formats.recordings import recording_types, wave_chunks

#: Type -> FFmpeg's demuxer. It is named, never guessed: guessing would reach playlists that open other files.
DEMUXERS = {
    "application/ogg": "ogg",
    "audio/3gpp": "mov",
    "audio/3gpp2": "mov",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/mp4": "mov",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "audio/wav": "wav",
    "audio/webm": "matroska",
    "audio/x-matroska": "matroska",
    "audio/x-ms-wma": "asf",
    "video/3gpp": "mov",
    "video/3gpp2": "mov",
    "video/mp2t": "mpegts",
    "video/mp4": "mov",
    "video/mpeg": "mpeg",
    "video/ogg": "ogg",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-flv": "flv",
    "video/x-matroska": "matroska",
    "video/x-ms-asf": "asf",
    "video/x-msvideo": "avi",
}
#: Pictures that may be a track of many.
SEQUENCES = dict.fromkeys(("image/avif", "image/heic", "image/heif"), "mov")
#: Demuxer of the type, first bytes of the file -> its demuxer: MPEG video without a container around it, Wave64.
BY_HEAD = {("mpeg", b"\0\0\1\xb3"): "mpegvideo", ("wav", b"riff"): "w64"}
VIDEO_TYPES = tuple(name for name in DEMUXERS if name.startswith("video/"))
#: Ogg may hold either, and mostly holds sound.
AUDIO_TYPES = tuple(name for name in DEMUXERS if not name.startswith("video/"))

#: Codecs (FFmpeg's names) whose packets are files.
STILLS = frozenset({"bmp", "gif", "mjpeg", "png", "tiff", "webp"})

#: Packets in a row that may be damaged before the rest is given up, and in all.
DAMAGED_IN_A_ROW, DAMAGED_IN_ALL = 200, 2000


@contextmanager
def opened(context: StepContext, **options: str) -> Iterator[Any]:
    """The file as PyAV's input container. ``options`` are the demuxer's. Raises Unreadable where FFmpeg cannot, inside
    the block too."""
    import av
    from av.stream import Disposition

    name = demuxer(context)
    needed = _needed(context, name)
    with (
        damaged(av.FFmpegError, what="recording"),
        av.open(
            _whole(context, name),
            "r",
            format=name,
            options={"protocol_whitelist": "none", **needed, **options},
            io_open=refuse,
            metadata_errors="replace",
        ) as container,
    ):
        if is_sound(context):
            for stream in container.streams.video:
                stream.disposition |= Disposition.attached_pic
        yield container


def _needed(context: StepContext, name: str) -> dict[str, str]:
    """A WAV file that goes on behind the end that its header claims is read to its real end."""
    lies = name == "wav" and wave_chunks.has_data_behind_sound(context.file, context.facts["size"])
    return {"ignore_length": "1"} if lies else {}


def _whole(context: StepContext, name: str) -> Any:
    """The file at its beginning; of MPEG audio behind other bytes, or behind a tag of a wrong length, its audio."""
    begins = recording_types.hidden_start(context.file, context.facts["size"]) if name in ("aac", "mp3") else 0
    context.file.seek(0)
    return _Tail(context.file, begins) if begins else context.file


class _Tail:
    """A file from some place on."""

    def __init__(self, file: BinaryIO, begins: int) -> None:
        self._file, self._begins = file, begins
        self.read = file.read
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._begins
        return self._file.seek(offset, whence) - self._begins

    def tell(self) -> int:
        return self._file.tell() - self._begins


def is_sound(context: StepContext) -> bool:
    """Whether the type was decided to be sound: then a stream of pictures in it is its cover, marked as one or not."""
    return canonical(context.facts["mime_type"]).startswith("audio/")


def demuxer(context: StepContext) -> str:
    """By the type, and by the first bytes where one type has several containers."""
    context.file.seek(0)
    head = context.file.read(4)
    named = {**DEMUXERS, **SEQUENCES}[canonical(context.facts["mime_type"])]
    return BY_HEAD.get((named, head), named)


def refuse(*_: Any) -> Any:
    """For FFmpeg's wish to open anything else."""
    raise PermissionError("a recording may not open other files")


def played(container: Any) -> list[Any]:
    """Every stream of moving pictures or of sound."""
    return [*(stream for stream in container.streams.video if not is_cover(stream)), *container.streams.audio]


def main_video(container: Any) -> Any | None:
    """The first stream of moving pictures."""
    return next((stream for stream in container.streams.video if not is_cover(stream)), None)


def main_audio(container: Any) -> Any | None:
    return next(iter(container.streams.audio), None)


def decoder(stream: Any) -> Any:
    """What decodes the stream. Raises Unreadable where there is nothing for its codec: damaged files name any."""
    if stream.codec_context is None:
        raise Unreadable("The recording cannot be read: its codec is not known here.")
    return stream.codec_context


def is_cover(stream: Any) -> bool:
    """A picture on the record's sleeve is no video."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def is_still(stream: Any) -> bool:
    """Whether each packet of it is a file of a picture."""
    return stream.codec_context is not None and stream.codec_context.name in STILLS


def cover(container: Any) -> bytes | None:
    """The picture on the sleeve, as the file that it is; hostile like everything else in here."""
    stream = next((stream for stream in container.streams.video if is_cover(stream) and is_still(stream)), None)
    packet = next(container.demux(stream), None) if stream is not None else None
    return bytes(packet) if packet is not None and packet.size else None


def seconds_of(container: Any, stream: Any) -> float | None:
    """How long: the container's own word (microseconds), else the stream's."""
    said = [container.duration / 1_000_000 if container.duration else 0]
    if stream is not None and stream.duration and stream.time_base:
        said.append(float(stream.duration * stream.time_base))
    return next((seconds for seconds in said if math.isfinite(seconds) and seconds > 0), None)


class Frames:
    """Decodes streams in the order of the file and passes over what is damaged, within bounds.

    ``cut_short`` says afterwards why the end was not reached, where it was not. Streams (by index) that the caller puts
    into ``done`` are decoded no further.
    """

    def __init__(self, container: Any, *streams: Any) -> None:
        self._container, self._streams = container, streams
        self._row = self._all = 0
        self.cut_short = ""
        self.done: set[int] = set()

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Each stream with a frame of it. Raises Unreadable where nothing could be decoded at all."""
        found = False
        for packet in self._packets():
            for frame in self._decoded(packet):
                found = True
                yield packet.stream, frame
        if not found:
            raise Unreadable(f"The recording cannot be read: {self.cut_short or 'nothing in it could be decoded'}.")

    def _packets(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._container.demux(*self._streams):
                if len(self.done) == len(self._streams):
                    return
                yield packet
                if self._row > DAMAGED_IN_A_ROW or self._all > DAMAGED_IN_ALL:
                    self.cut_short = f"{self._all} packets are damaged"
                    return
        except av.FFmpegError as error:
            self.cut_short = (error.strerror or "it is damaged").rstrip(".").lower()

    def _decoded(self, packet: Any) -> list[Any]:
        import av

        if packet.stream.index in self.done:
            return []
        try:
            frames: list[Any] = packet.decode()
        except (av.FFmpegError, ValueError):
            self._row += 1
            self._all += 1
            return []
        if frames:
            self._row = 0
        return frames


def undecodable(file: BinaryIO) -> StepResult | None:
    """How a step ends for a recording that FFmpeg opens and decodes to noise: it reads the samples of RIFX, the WAV of
    big-endian machines, in the wrong byte order. None for any other."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head != b"RIFX":
        return None
    return StepResult(detail="The samples of this WAV file are in big-endian order and are not decoded.", skipped=True)
