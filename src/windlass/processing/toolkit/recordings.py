"""Videos and sounds, opened so that their bytes can do the least: one file, one demuxer, no protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from windlass.kernel.media_types import canonical
from windlass.processing.contract import StepContext, Unreadable, damaged

#: Type -> FFmpeg's demuxer. It is named, never guessed: guessing would reach playlists that open other files.
DEMUXERS = {
    "application/ogg": "ogg",
    "audio/3gpp": "mov",
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
VIDEO_TYPES = tuple(name for name in DEMUXERS if name.startswith("video/"))
#: Ogg may hold either, and mostly holds sound.
AUDIO_TYPES = tuple(name for name in DEMUXERS if not name.startswith("video/"))

#: Packets in a row that may be damaged before the rest is given up, and in all.
DAMAGED_IN_A_ROW, DAMAGED_IN_ALL = 200, 2000


@contextmanager
def opened(context: StepContext) -> Iterator[Any]:
    """The file as PyAV's input container. Raises Unreadable where FFmpeg cannot, inside the block too."""
    import av

    context.file.seek(0)
    with (
        damaged(av.FFmpegError, what="recording"),
        av.open(
            context.file,
            "r",
            format=DEMUXERS[canonical(context.facts["mime_type"])],
            options={"protocol_whitelist": "none"},
            io_open=refuse,
            metadata_errors="replace",
        ) as container,
    ):
        yield container


def refuse(*_: Any) -> Any:
    """For FFmpeg's wish to open anything else."""
    raise PermissionError("a recording may not open other files")


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


def cover(container: Any) -> bytes | None:
    """The picture on the sleeve, as the file that it is; hostile like everything else in here."""
    stream = next((stream for stream in container.streams.video if is_cover(stream)), None)
    packet = next(container.demux(stream), None) if stream is not None else None
    return bytes(packet) if packet is not None and packet.size else None


def seconds_of(container: Any, stream: Any) -> float | None:
    """How long: the container's own word (microseconds), else the stream's."""
    if container.duration:
        seconds = container.duration / 1_000_000
    elif stream is not None and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


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
