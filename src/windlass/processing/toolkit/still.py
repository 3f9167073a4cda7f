"""The frame of a video that stands for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.toolkit.recordings import decoder, main_video, opened, seconds_of
from windlass.processing.toolkit.upright import Looks, Upright, within

#: Where in the video a frame is looked for, in this order: its share of the whole.
PLACES = (0.1, 0.25, 0.5, 0.75, 0.0)
#: Keyframes looked at from each place on.
AT_EACH = 2
#: Where keyframes show nothing: every so many of the first frames.
OF_ALL, EVERY = 900, 10
#: Seconds after which the best so far is taken.
PATIENCE = 20.0

#: Side of the small grey picture that a frame is judged by, and what makes it good (of 255).
JUDGED = 32
DARK, BRIGHT, FLAT = 24, 235, 14


def best_frame(context: StepContext, width: int) -> tuple[Any, float]:
    """A picture (pyvips) of the first good frame, else of the best, and its time in seconds. Raises Unreadable.

    Where seeking led to none (it may land behind the only keyframe), the recording is opened anew and decoded from its
    beginning.
    """
    try:
        return _shown(context, width, seeking=True)
    except Unreadable:
        return _shown(context, width, seeking=False)


def _shown(context: StepContext, width: int, *, seeking: bool) -> tuple[Any, float]:
    import pyvips

    with opened(context) as container:
        frame, looks = _best(container, main_video(container), seeking=seeking)
        pixels, size = _drawn(frame, looks, width)
    image = pyvips.Image.new_from_memory(pixels, *size, 3, "uchar").copy(interpretation="srgb")
    return image.copy_memory(), _time(frame)


def rehearse(container: Any, stream: Any) -> None:
    """All of it that libvips has no part in: that would start threads."""
    _drawn(*_best(container, stream, seeking=True), JUDGED)


def _best(container: Any, stream: Any, *, seeking: bool) -> tuple[Any, Looks]:
    best: tuple[float, Any] | None = None
    looks, end = Looks(stream), time.monotonic() + PATIENCE
    decoder(stream).thread_count = 1  # starting more takes longer than they save on so few frames
    for frame in _sought(container, stream) if seeking else _first(container, stream):
        score = _score(frame, looks)
        if best is None or score > best[0]:
            best = (score, frame)
        if score >= 1 or time.monotonic() > end:
            break
    if best is None:
        raise Unreadable("The recording cannot be read: none of its pictures could be decoded.")
    return best[1], looks


def _sought(container: Any, stream: Any) -> Iterator[Any]:
    """Keyframes here and there; then, for what has few of them, the first frames one after the other."""
    import av

    seconds = seconds_of(container, stream)
    stream.codec_context.skip_frame = "NONKEY"
    for place in PLACES if seconds else (0.0,):
        try:
            _go_to(container, stream, place * (seconds or 0))
            yield from _decoded(container, stream, AT_EACH if seconds else 20)
        except av.FFmpegError:
            continue  # it cannot be sought there, or is damaged there
    stream.codec_context.skip_frame = "DEFAULT"
    try:
        _go_to(container, stream, 0)
    except av.FFmpegError:
        return
    yield from _first(container, stream)


def _first(container: Any, stream: Any) -> Iterator[Any]:
    """The first frames from where the container stands, one in so many."""
    import av

    try:
        for number, frame in enumerate(_decoded(container, stream, OF_ALL)):
            if number % EVERY == 0:
                yield frame
    except av.FFmpegError:
        return


def _go_to(container: Any, stream: Any, seconds: float) -> None:
    start = (container.start_time or 0) / 1_000_000
    container.seek(int((start + seconds) / stream.time_base), stream=stream)


def _decoded(container: Any, stream: Any, most: int) -> Iterator[Any]:
    """At most so many frames; a damaged packet is passed over, a hundred of them are enough."""
    import av

    failures = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except (av.InvalidDataError, ValueError):
            failures += 1
            if failures > 100:
                return
            continue
        for frame in frames:
            yield frame
            most -= 1
            if most <= 0:
                return


def _score(frame: Any, looks: Looks) -> float:
    """1 for a frame that shows something; less, the more it is of one colour, black or white."""
    (small,) = Upright((JUDGED, JUDGED), "gray").show(frame, looks.of(frame)) or (None,)
    if small is None:
        return 0.0
    plane = small.planes[0]
    data = b"".join(bytes(plane)[row * plane.line_size :][:JUDGED] for row in range(JUDGED))
    mean: float = sum(data) / len(data)
    deviation: float = (sum((value - mean) ** 2 for value in data) / len(data)) ** 0.5
    return min(1.0, deviation / FLAT) * min(1.0, mean / DARK) * min(1.0, (255 - mean) / (255 - BRIGHT))


def _drawn(frame: Any, looks: Looks, width: int) -> tuple[bytes, tuple[int, int]]:
    """Red, green and blue of each pixel; and how many there are, across and down."""
    look = looks.of(frame)
    size = within(look.shown(), width, width)
    upright = Upright(size, "rgb24")
    (shown, *_) = upright.show(frame, look) or upright.rest()
    plane = shown.planes[0]
    data, row = bytes(plane), 3 * size[0]
    packed = b"".join(data[start : start + row] for start in range(0, plane.line_size * size[1], plane.line_size))
    return packed, size


def _time(frame: Any) -> float:
    return max(0.0, float(frame.time or 0))
