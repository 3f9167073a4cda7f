"""Open and decode audio and video files with FFmpeg, restricted to one file, one demuxer and no protocol."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from windlass.kernel.media_types import canonical
from windlass.processing.contract import StepContext, StepResult, Unreadable, damaged
from windlass.processing.formats.recordings import recording_types, wave_chunks

#: Type -> FFmpeg's demuxer. It is never detected by FFmpeg, which would reach playlists that open other files.
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
#: Image types that may contain a track of pictures.
SEQUENCES = dict.fromkeys(("image/avif", "image/heic", "image/heif"), "mov")
#: (demuxer of the type, first bytes of the file) -> demuxer: MPEG video without a container, Wave64.
BY_HEAD = {("mpeg", b"\0\0\1\xb3"): "mpegvideo", ("wav", b"riff"): "w64"}
VIDEO_TYPES = tuple(name for name in DEMUXERS if name.startswith("video/"))
#: Ogg may contain either, and mostly contains audio.
AUDIO_TYPES = tuple(name for name in DEMUXERS if not name.startswith("video/"))

#: Codecs (FFmpeg's names) each of whose packets is an image file.
IMAGE_CODECS = frozenset({"bmp", "gif", "mjpeg", "png", "tiff", "webp"})

#: Damaged packets, in a row and in total, after which decoding ends.
MAX_DAMAGED_IN_A_ROW, MAX_DAMAGED_IN_TOTAL = 200, 2000


@contextmanager
def open_recording(context: StepContext, **options: str) -> Iterator[Any]:
    """Yield PyAV's input container. ``options`` are the demuxer's.

    Errors of FFmpeg are raised as Unreadable, also those inside the block.
    """
    import av
    from av.stream import Disposition

    name = demuxer(context)
    if name == "wav" and wave_chunks.has_data_behind_sound(context.file, context.facts["size"]):
        options["ignore_length"] = "1"  # read a file that is longer than its header claims to its real end
    with (
        damaged(av.FFmpegError, what="recording"),
        av.open(
            _file_from_start(context, name),
            "r",
            format=name,
            options={"protocol_whitelist": "none", **options},
            io_open=refuse_to_open,
            metadata_errors="replace",
        ) as container,
    ):
        if canonical(context.facts["mime_type"]).startswith("audio/"):  # its picture is its cover, marked or not
            for stream in container.streams.video:
                stream.disposition |= Disposition.attached_pic
        yield container


def _file_from_start(context: StepContext, name: str) -> Any:
    """Return the file at its beginning; for MPEG audio behind other bytes or a tag of a wrong length, at its audio."""
    start = recording_types.hidden_start(context.file, context.facts["size"]) if name in ("aac", "mp3") else 0
    context.file.seek(0)
    return _FileTail(context.file, start) if start else context.file


class _FileTail:
    """A file from an offset on."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        self.read = file.read
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._start
        return self._file.seek(offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


def demuxer(context: StepContext) -> str:
    """Return the demuxer by the type, and by the first bytes if one type has several containers."""
    context.file.seek(0)
    head = context.file.read(4)
    name = {**DEMUXERS, **SEQUENCES}[canonical(context.facts["mime_type"])]
    return BY_HEAD.get((name, head), name)


def refuse_to_open(*_: Any) -> Any:
    """Refuse FFmpeg's request to open another file."""
    raise PermissionError("a recording may not open other files")


def playable_streams(container: Any) -> list[Any]:
    """Every video stream (covers excluded) and audio stream."""
    return [*(stream for stream in container.streams.video if not is_cover(stream)), *container.streams.audio]


def main_video_stream(container: Any) -> Any | None:
    return next((stream for stream in container.streams.video if not is_cover(stream)), None)


def main_audio_stream(container: Any) -> Any | None:
    return next(iter(container.streams.audio), None)


def require_decoder(stream: Any) -> Any:
    """Return the stream's decoder. Raises Unreadable if FFmpeg has none for its codec: damaged files name any."""
    if stream.codec_context is None:
        raise Unreadable("The recording cannot be read: its codec is not known here.")
    return stream.codec_context


def is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def cover_image(container: Any) -> bytes | None:
    """Return the cover art as an image file. It is untrusted like the recording."""
    for stream in container.streams.video:
        if is_cover(stream) and stream.codec_context is not None and stream.codec_context.name in IMAGE_CODECS:
            packet = next(container.demux(stream), None)
            return bytes(packet) if packet is not None and packet.size else None
    return None


def header_duration(container: Any, stream: Any) -> float | None:
    """Return the length in seconds as the container states it, else the stream; None if neither does."""
    stated = [container.duration / 1_000_000 if container.duration else 0]
    if stream is not None and stream.duration and stream.time_base:
        stated.append(float(stream.duration * stream.time_base))
    return next((seconds for seconds in stated if math.isfinite(seconds) and seconds > 0), None)


class Frames:
    """Decodes streams in the order of the file and skips damaged packets, within limits.

    ``cut_short`` is afterwards the reason why the end was not reached, or empty. The caller adds streams (by index) to
    ``done`` that need no further decoding.
    """

    def __init__(self, container: Any, *streams: Any) -> None:
        self._container, self._streams = container, streams
        self._damaged_in_a_row = self._damaged = 0
        self.cut_short = ""
        self.done: set[int] = set()

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Yield each frame with its stream. Raises Unreadable if nothing could be decoded."""
        has_frames = False
        for packet in self._packets():
            for frame in self._decoded(packet):
                has_frames = True
                yield packet.stream, frame
        if not has_frames:
            raise Unreadable(f"The recording cannot be read: {self.cut_short or 'nothing in it could be decoded'}.")

    def _packets(self) -> Iterator[Any]:
        import av

        try:
            for packet in self._container.demux(*self._streams):
                if len(self.done) == len(self._streams):
                    return
                yield packet
                if self._damaged_in_a_row > MAX_DAMAGED_IN_A_ROW or self._damaged > MAX_DAMAGED_IN_TOTAL:
                    self.cut_short = f"{self._damaged} packets are damaged"
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
            self._damaged_in_a_row += 1
            self._damaged += 1
            return []
        if frames:
            self._damaged_in_a_row = 0
        return frames


def skip_if_undecodable(file: BinaryIO) -> StepResult | None:
    """Return the result of a step for a RIFX file (big-endian WAV), None for any other file.

    FFmpeg reads the samples of RIFX in the wrong byte order and decodes noise.
    """
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head != b"RIFX":
        return None
    return StepResult(detail="The samples of this WAV file are in big-endian order and are not decoded.", skipped=True)
