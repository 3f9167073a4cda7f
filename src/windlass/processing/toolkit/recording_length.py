"""How long a recording is, by its packets. What a header says is compared with them, and never decides alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.formats.recordings import wave_chunks
from windlass.processing.toolkit.recordings import Frames, decoder, demuxer, opened, played

#: Seconds of processor time for going through all packets; and for decoding sound that contradicts its time stamps.
COUNT_SECONDS = 30.0
#: Packets between two looks at the clock.
BETWEEN_CLOCKS = 512

#: A header and the packets agree within this share, or so many seconds.
SHARE, SLACK = 0.01, 0.1

#: Seconds by which time stamps go back where a further part begins, and forward in containers of broadcasts.
BACK, FORWARD = 1, 10
BROADCAST = frozenset({"mpeg", "mpegts"})
#: Without a header: their length is FFmpeg's guess by some of the packets.
GUESSED = frozenset({"aac", "amr", "mpeg", "mpegvideo"})

#: More pictures a second than anybody is shown: the time stamps are not believed.
FASTEST_SHOWN = 250
#: Packets of sound that are decoded to learn how much of it a packet holds, and how many streams are looked at.
SAMPLED, MOST_SOUNDS = 24, 4
#: Errors of a demuxer after which the rest is given up.
MOST_ERRORS = 20


@dataclass(slots=True)
class Extent:
    """The packets of one stream, in units of its time base. Time stamps that begin anew under way begin a new part."""

    back: int
    forward: int | None
    packets: int = 0
    size: int = 0
    first: int | None = None
    end: int = 0
    last: int = 0
    before: int = 0
    parts: int = 1

    def add(self, packet: Any) -> None:
        at = packet.pts
        decoded = packet.dts
        if at is None:
            at = decoded
        if at is None:
            return
        if decoded is None:
            decoded = at
        end = at + (packet.duration or 0)
        self.packets += 1
        self.size += packet.size
        if self.first is None:
            self.first, self.end = at, end
        elif decoded < self.last - self.back or (self.forward is not None and at > self.end + self.forward):
            self.before += self.end - self.first
            self.first, self.end, self.parts = at, end, self.parts + 1
        else:
            self.first = min(self.first, at)
            self.end = max(self.end, end)
        self.last = decoded

    @property
    def length(self) -> int:
        return self.before + (self.end - self.first if self.first is not None else 0)


@dataclass(slots=True)
class Heard:
    """Seconds of sound that are in the first packets of a stream, as decoded."""

    seconds: float = 0.0
    packets: int = 0

    def add(self, packet: Any) -> None:
        import av

        self.packets += 1
        with suppress(av.FFmpegError, ValueError):
            self.seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())


@dataclass(slots=True)
class Count:
    """All packets of the pictures and the sound. ``whole``: their end was reached in time; ``damaged``: not without
    errors."""

    extents: dict[int, Extent] = field(default_factory=dict)
    bases: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    heard: dict[int, Heard] = field(default_factory=dict)
    sounds: list[int] = field(default_factory=list)
    whole: bool = False
    damaged: bool = False

    def length_of(self, index: int) -> float:
        return self.extents[index].length * self.bases[index]

    @property
    def seconds(self) -> float | None:
        """From the first to the last of all streams; of the longest, where time stamps begin anew under way."""
        timed = {index: extent for index, extent in self.extents.items() if extent.first is not None}
        if not timed:
            return None
        if any(extent.parts > 1 for extent in timed.values()):
            return _known(max(self.length_of(index) for index in timed))
        begin = min((extent.first or 0) * self.bases[index] for index, extent in timed.items())
        return _known(max(extent.end * self.bases[index] for index, extent in timed.items()) - begin)

    def rate(self, index: int, seconds: float) -> float | None:
        """Pictures a second, of a recording that has turned out to last so long."""
        pictures, own = self.extents[index].packets, self.length_of(index)
        if not self.whole or pictures < 2 or own <= 0:
            return None
        return pictures / (own if pictures <= FASTEST_SHOWN * own else seconds)


@dataclass(frozen=True, slots=True)
class Length:
    """``seconds`` is None where nobody can tell. ``count`` has the packets."""

    seconds: float | None
    count: Count


def measured(context: StepContext, claimed: float | None) -> Length:
    """The length of a recording whose header claims so many seconds. Raises Unreadable.

    Where they differ, the packets are right. Where the packets contradict themselves, the larger length counts; it is
    not known where one of them cannot be told. Where there are too many to count, the header is believed if no rule of
    the profile needs the length.
    """
    count = _count(context)
    counted = count.seconds
    if demuxer(context) in GUESSED:
        claimed = None
    if not count.whole or counted is None:
        return Length(None if is_needed(context.profile) else claimed, count)
    counted = _larger(context, count, counted)
    if claimed is not None and counted is not None:
        if abs(claimed - counted) <= max(SLACK, SHARE * counted):
            return Length(claimed, count)
        if count.damaged:
            return Length(max(counted, claimed), count)
    return Length(counted, count)


def is_needed(profile: Mapping[str, Any]) -> bool:
    """Whether a rule of the profile depends on the length."""
    rules = [profile, *(profile.get("media_types") or ())]
    return any(each.get(name) for each in rules for name in ("min_duration", "max_duration"))


def _known(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _count(context: StepContext, **options: str) -> Count:
    count, until, name = Count(), time.process_time() + COUNT_SECONDS, demuxer(context)
    with opened(context, **options) as container:
        streams = played(container)
        for stream in streams:
            _begin(count, stream, name)
        extents, heard = count.extents, count.heard
        wanted = SAMPLED * len(heard)
        for number, packet in enumerate(_packets(container, streams, count)):
            index = packet.stream_index
            extents[index].add(packet)
            if wanted and packet.size and index in heard and heard[index].packets < SAMPLED:
                heard[index].add(packet)
                wanted -= 1
            if number % BETWEEN_CLOCKS == 0 and time.process_time() > until:
                return count
    count.whole = True
    return count


def _begin(count: Count, stream: Any, container: str) -> None:
    base = float(stream.time_base or 0)
    ticks = round(1 / base) if base > 0 else 0
    forward = FORWARD * ticks if container in BROADCAST else None
    count.extents[stream.index] = Extent(BACK * ticks, forward)
    count.bases[stream.index] = base
    if stream.type == "audio":
        count.sounds.append(stream.index)
        if stream.codec_context is not None and len(count.heard) < MOST_SOUNDS:
            stream.codec_context.thread_count = 1
            count.heard[stream.index] = Heard()
    elif stream.codec_context is not None and stream.codec_context.framerate:
        count.rates[stream.index] = float(stream.codec_context.framerate)


def _packets(container: Any, streams: list[Any], count: Count) -> Iterator[Any]:
    """Past what is damaged, while there is more behind it."""
    import av

    for _ in range(MOST_ERRORS):
        try:
            yield from container.demux(*streams)
        except av.EOFError:
            return
        except av.FFmpegError:
            count.damaged = True
        else:
            return


def _larger(context: StepContext, count: Count, counted: float) -> float | None:
    """The largest of what the recording says of its length in other ways; None where it is not to be believed."""
    said: list[float | None] = [counted, _with_all_bytes(context, count, counted)]
    if demuxer(context) == "mov":
        said.append(_with_all_samples(context, counted))
    said += [_of_sound(context, count, index) for index in count.heard]
    known = [each for each in said if each is not None]
    if len(known) < len(said):
        return None
    shown = [_of_pictures(count, index, max(known)) for index in count.extents if index not in count.sounds]
    return None if None in shown else max(known + [each for each in shown if each is not None])


def _with_all_samples(context: StepContext, counted: float) -> float | None:
    """An edit list may hide samples, which many programs show all the same."""
    with opened(context, ignore_editlist="1") as container:
        lengths = [_indexed(stream) for stream in played(container)]
    if max(lengths, default=0) <= _at_most(counted):
        return counted
    return _count(context, ignore_editlist="1").seconds


def _indexed(stream: Any) -> float:
    """By the sample table alone."""
    entries = stream.index_entries
    if len(entries) < 2 or not stream.time_base:
        return 0.0
    return float((entries[-1].timestamp - entries[0].timestamp) * stream.time_base)


def _with_all_bytes(context: StepContext, count: Count, counted: float) -> float | None:
    """Not known where there is sound behind the end that the header claims: of WAV alone can that be read. A Wave64
    file is mostly sound."""
    if demuxer(context) == "w64":
        heard = sum(extent.size for extent in count.extents.values())
        return counted if heard >= context.facts["size"] / 2 else None
    is_wave = wave_chunks.is_wave(context.file)
    return counted if is_wave or not wave_chunks.has_data_behind_sound(context.file, context.facts["size"]) else None


def _of_pictures(count: Count, index: int, seconds: float) -> float | None:
    """By the rate that the codec itself says, where there are more pictures than anybody could see in so many
    seconds."""
    pictures = count.extents[index].packets
    if pictures <= FASTEST_SHOWN * max(seconds, 0.1):
        return seconds
    rate = count.rates.get(index, 0)
    return pictures / rate if 0 < rate <= FASTEST_SHOWN else None


def _of_sound(context: StepContext, count: Count, index: int) -> float | None:
    """By what the packets hold: the first ones; all, where that contradicts the time stamps."""
    packets, stamped, sample = count.extents[index].packets, count.length_of(index), count.heard[index]
    if not sample.packets or sample.seconds / sample.packets * packets <= _at_most(stamped) * 1.25:
        return stamped
    heard = _decoded(context, index)
    return max(heard, stamped) if heard is not None else None


def _decoded(context: StepContext, index: int) -> float | None:
    """Seconds of sound in a stream; None where it cannot be decoded to its end in time."""
    heard, until = 0.0, time.process_time() + COUNT_SECONDS
    with opened(context) as container:
        stream = container.streams[index]
        decoder(stream).thread_count = 1
        try:
            for _, frame in Frames(container, stream):
                heard += frame.samples / frame.sample_rate
                if time.process_time() > until:
                    return None
        except Unreadable:
            return None
    return heard


def _at_most(seconds: float) -> float:
    """The longest that agrees with so many seconds."""
    return seconds + max(SLACK, SHARE * seconds)
