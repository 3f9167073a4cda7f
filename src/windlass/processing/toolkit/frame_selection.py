"""Select the frame that represents a video: one that is not black, white or of a single colour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.toolkit.frame_filters import FrameFormats, FrameNormalizer, fit_size
from windlass.processing.toolkit.pixels import packed_plane, srgb_image
from windlass.processing.toolkit.recordings import header_duration, main_video_stream, open_recording, require_decoder

#: Positions in the video that are tried in this order, as fractions of its length.
POSITIONS = (0.1, 0.25, 0.5, 0.75, 0.0)
#: Keyframes decoded at each position; without a known length, at the beginning.
KEYFRAMES_PER_POSITION, KEYFRAMES_AT_START = 2, 20
#: If no keyframe is good enough: every ``FRAME_STEP``-th of the first frames.
MAX_FIRST_FRAMES, FRAME_STEP = 900, 10
MAX_DAMAGED_PACKETS = 100
#: Seconds after which the best frame so far is taken.
TIME_LIMIT_SECONDS = 20.0

#: Side of the grey picture that scores a frame, and the levels (of 255) of a good one.
SCORE_SIDE = 32
DARK, BRIGHT, FLAT = 24, 235, 14


def select_frame(context: StepContext, width: int) -> tuple[Any, float]:
    """Return the first good frame, else the best, as a pyvips image, and its time in seconds. Raises Unreadable."""
    with open_recording(context) as container:
        return select_frame_of(context, container, width)


def select_frame_of(context: StepContext, container: Any, width: int) -> tuple[Any, float]:
    """The same of a recording that has just been opened.

    Seeking may land behind the only keyframe. If it finds no frame, the recording is opened again and decoded from its
    beginning.
    """
    import av

    try:
        return _select(container, width, seeking=True)
    except (av.FFmpegError, Unreadable):
        with open_recording(context) as reopened:
            return _select(reopened, width, seeking=False)


def _select(container: Any, width: int, *, seeking: bool) -> tuple[Any, float]:
    frame, formats = _best_frame(container, main_video_stream(container), seeking=seeking)
    pixels, size = _rgb_pixels(frame, formats, width)
    return srgb_image(pixels, *size).copy_memory(), max(0.0, float(frame.time or 0))


def warm_up(container: Any, stream: Any) -> None:
    """Run the selection without libvips, which would start threads."""
    _rgb_pixels(*_best_frame(container, stream, seeking=True), SCORE_SIDE)


def _best_frame(container: Any, stream: Any, *, seeking: bool) -> tuple[Any, FrameFormats]:
    best: tuple[float, Any] | None = None
    formats, deadline = FrameFormats(stream), time.monotonic() + TIME_LIMIT_SECONDS
    require_decoder(stream).thread_count = 1  # for so few frames, starting threads costs more than they save
    for frame in _candidates(container, stream) if seeking else _first_frames(container, stream):
        score = _score(frame, formats)
        if best is None or score > best[0]:
            best = (score, frame)
        if score >= 1 or time.monotonic() > deadline:
            break
    if best is None:
        raise Unreadable("The recording cannot be read: none of its pictures could be decoded.")
    return best[1], formats


def _candidates(container: Any, stream: Any) -> Iterator[Any]:
    """Keyframes at several positions; then, for videos with few of them, the first frames in sequence."""
    import av

    seconds = header_duration(container, stream)
    stream.codec_context.skip_frame = "NONKEY"
    for position in POSITIONS if seconds else (0.0,):
        try:
            _seek(container, stream, position * (seconds or 0))
            yield from islice(_decode(container, stream), KEYFRAMES_PER_POSITION if seconds else KEYFRAMES_AT_START)
        except av.FFmpegError:
            continue  # seeking is impossible, or the recording is damaged there
    stream.codec_context.skip_frame = "DEFAULT"
    with suppress(av.FFmpegError):
        _seek(container, stream, 0)
        yield from _first_frames(container, stream)


def _first_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Every ``FRAME_STEP``-th frame from the container's position on."""
    import av

    with suppress(av.FFmpegError):
        yield from islice(_decode(container, stream), 0, MAX_FIRST_FRAMES, FRAME_STEP)


def _seek(container: Any, stream: Any, seconds: float) -> None:
    start = (container.start_time or 0) / 1_000_000
    container.seek(int((start + seconds) / stream.time_base), stream=stream)


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Decode the frames from the container's position on, and skip damaged packets."""
    import av

    failures = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except (av.InvalidDataError, ValueError):
            failures += 1
            if failures > MAX_DAMAGED_PACKETS:
                return
            continue
        yield from frames


def _score(frame: Any, formats: FrameFormats) -> float:
    """1 for a good frame; less for a frame that is nearly one colour, black or white."""
    (small,) = FrameNormalizer((SCORE_SIDE, SCORE_SIDE), "gray").normalize(frame, formats.of(frame)) or (None,)
    if small is None:
        return 0.0
    levels = packed_plane(small, 1)
    mean: float = sum(levels) / len(levels)
    deviation: float = (sum((level - mean) ** 2 for level in levels) / len(levels)) ** 0.5
    return min(1.0, deviation / FLAT) * min(1.0, mean / DARK) * min(1.0, (255 - mean) / (255 - BRIGHT))


def _rgb_pixels(frame: Any, formats: FrameFormats, width: int) -> tuple[bytes, tuple[int, int]]:
    """Return the frame as packed RGB, shrunk to fit ``width``, and its size."""
    frame_format = formats.of(frame)
    size = fit_size(frame_format.displayed_size(), width, width)
    normalizer = FrameNormalizer(size, "rgb24")
    (normalized, *_) = normalizer.normalize(frame, frame_format) or normalizer.flush()
    return packed_plane(normalized, 3), size
