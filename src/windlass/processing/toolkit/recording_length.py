"""Measure the length of a recording by its packets. The header is compared with them and never decides alone."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.formats.recordings import wave_chunks
from windlass.processing.toolkit.recordings import Frames, demuxer, open_recording, playable_streams, require_decoder

#: Seconds of processor time for reading all packets, and for decoding audio that contradicts its time stamps.
COUNT_SECONDS = 30.0
#: Packets between two checks of the time limit.
PACKETS_PER_TIME_CHECK = 512

#: Two lengths agree if they differ by less than this fraction, or this many seconds.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 0.01, 0.1

#: A new part of a recording begins where time stamps go back this far, or, in broadcast containers, forward this far.
BACKWARD_SECONDS, FORWARD_SECONDS = 1, 10
BROADCAST_DEMUXERS = frozenset({"mpeg", "mpegts"})
#: Formats without a header: FFmpeg estimates their length from some of the packets.
ESTIMATED_DEMUXERS = frozenset({"aac", "amr", "mpeg", "mpegvideo"})

#: Above this frame rate the time stamps are not trusted.
MAX_FRAME_RATE = 250
#: Packets of a stream that are decoded to learn the audio of a packet, and the number of streams.
SAMPLE_PACKETS, MAX_SAMPLED_STREAMS = 24, 4
#: Demuxer errors after which reading ends.
MAX_ERRORS = 20


@dataclass(slots=True)
class Extent:
    """The packets of one stream, in units of its time base. Time stamps that restart begin a new part."""

    max_backward: int
    max_forward: int | None
    packets: int = 0
    size: int = 0
    first: int | None = None
    end: int = 0
    last: int = 0
    previous_parts: int = 0
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
        elif decoded < self.last - self.max_backward or (
            self.max_forward is not None and at > self.end + self.max_forward
        ):
            self.previous_parts += self.end - self.first
            self.first, self.end, self.parts = at, end, self.parts + 1
        else:
            self.first = min(self.first, at)
            self.end = max(self.end, end)
        self.last = decoded

    def _is_new_part(self, at: int, decoded: int) -> bool:
        has_gap = self.max_forward is not None and at > self.end + self.max_forward
        return has_gap or decoded < self.last - self.max_backward

    @property
    def length(self) -> int:
        return self.previous_parts + (self.end - self.first if self.first is not None else 0)


@dataclass(slots=True)
class AudioSample:
    """Seconds of decoded audio in the first packets of a stream."""

    seconds: float = 0.0
    packets: int = 0

    def add(self, packet: Any) -> None:
        import av

        self.packets += 1
        with suppress(av.FFmpegError, ValueError):
            self.seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())


@dataclass(slots=True)
class PacketCount:
    """All packets of video and audio. ``complete``: the end was reached in time; ``damaged``: there were errors."""

    extents: dict[int, Extent] = field(default_factory=dict)
    bases: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    samples: dict[int, AudioSample] = field(default_factory=dict)
    audio_streams: list[int] = field(default_factory=list)
    complete: bool = False
    damaged: bool = False

    def stream_length(self, index: int) -> float:
        return self.extents[index].length * self.bases[index]

    @property
    def seconds(self) -> float | None:
        """From the first to the last packet of all streams; if time stamps restart, of the longest stream."""
        timed = {index: extent for index, extent in self.extents.items() if extent.first is not None}
        if not timed:
            return None
        if any(extent.parts > 1 for extent in timed.values()):
            return _if_positive(max(self.stream_length(index) for index in timed))
        begin = min((extent.first or 0) * self.bases[index] for index, extent in timed.items())
        return _if_positive(max(extent.end * self.bases[index] for index, extent in timed.items()) - begin)

    def frame_rate(self, index: int, seconds: float) -> float | None:
        """Return the frame rate of a stream in a recording of this length."""
        frames, own_length = self.extents[index].packets, self.stream_length(index)
        if not self.complete or frames < 2 or own_length <= 0:
            return None
        return frames / (own_length if frames <= MAX_FRAME_RATE * own_length else seconds)


@dataclass(frozen=True, slots=True)
class Length:
    """``seconds`` is None if the length is unknown."""

    seconds: float | None
    count: PacketCount


def measure_length(context: StepContext, claimed: float | None) -> Length:
    """Return the length of a recording whose header claims ``claimed`` seconds. Raises Unreadable.

    If header and packets differ, the packets decide. If the packets contradict themselves, the larger length counts;
    it is unknown if one of them is. If there are too many packets to count, the header is trusted unless a rule of the
    profile needs the length.
    """
    count = _count_packets(context)
    counted = count.seconds
    if demuxer(context) in ESTIMATED_DEMUXERS:
        claimed = None
    if not count.complete or counted is None:
        return Length(None if is_length_needed(context.profile) else claimed, count)
    counted = _largest_length(context, count, counted)
    if claimed is not None and counted is not None:
        if abs(claimed - counted) <= max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * counted):
            return Length(claimed, count)
        if count.damaged:
            return Length(max(counted, claimed), count)
    return Length(counted, count)


def is_length_needed(profile: Mapping[str, Any]) -> bool:
    """Whether a rule of the profile depends on the length."""
    rules = [profile, *(profile.get("media_types") or ())]
    return any(each.get(name) for each in rules for name in ("min_duration", "max_duration"))


def _if_positive(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _count_packets(context: StepContext, **options: str) -> PacketCount:
    count, until, name = PacketCount(), time.process_time() + COUNT_SECONDS, demuxer(context)
    with open_recording(context, **options) as container:
        streams = playable_streams(container)
        for stream in streams:
            _add_stream(count, stream, name)
        extents, samples = count.extents, count.samples
        missing_samples = SAMPLE_PACKETS * len(samples)
        for number, packet in enumerate(_packets(container, streams, count)):
            index = packet.stream_index
            extents[index].add(packet)
            if missing_samples and packet.size and index in samples and samples[index].packets < SAMPLE_PACKETS:
                samples[index].add(packet)
                missing_samples -= 1
            if number % PACKETS_PER_TIME_CHECK == 0 and time.process_time() > until:
                return count
    count.complete = True
    return count


def _add_stream(count: PacketCount, stream: Any, container: str) -> None:
    base = float(stream.time_base or 0)
    ticks = round(1 / base) if base > 0 else 0
    forward = FORWARD_SECONDS * ticks if container in BROADCAST_DEMUXERS else None
    count.extents[stream.index] = Extent(BACKWARD_SECONDS * ticks, forward)
    count.bases[stream.index] = base
    if stream.type == "audio":
        count.audio_streams.append(stream.index)
        if stream.codec_context is not None and len(count.samples) < MAX_SAMPLED_STREAMS:
            stream.codec_context.thread_count = 1
            count.samples[stream.index] = AudioSample()
    elif stream.codec_context is not None and stream.codec_context.framerate:
        count.rates[stream.index] = float(stream.codec_context.framerate)


def _packets(container: Any, streams: list[Any], count: PacketCount) -> Iterator[Any]:
    """Yield the packets; continue after errors, up to ``MAX_ERRORS``."""
    import av

    for _ in range(MAX_ERRORS):
        try:
            yield from container.demux(*streams)
        except av.EOFError:
            return
        except av.FFmpegError:
            count.damaged = True
        else:
            return


def _largest_length(context: StepContext, count: PacketCount, counted: float) -> float | None:
    """Return the largest of several measures of the length; None if one contradicts the packets."""
    measures: list[float | None] = [counted, _length_if_all_bytes_read(context, count, counted)]
    if demuxer(context) == "mov":
        measures.append(_length_without_edit_list(context, counted))
    measures += [_audio_length(context, count, index) for index in count.samples]
    known = [each for each in measures if each is not None]
    if len(known) < len(measures):
        return None
    video_lengths = [
        _video_length(count, index, max(known)) for index in count.extents if index not in count.audio_streams
    ]
    return None if None in video_lengths else max(known + [each for each in video_lengths if each is not None])


def _length_without_edit_list(context: StepContext, counted: float) -> float | None:
    """An edit list may hide samples that many players show nevertheless."""
    with open_recording(context, ignore_editlist="1") as container:
        lengths = [_sample_table_length(stream) for stream in playable_streams(container)]
    if max(lengths, default=0) <= _with_tolerance(counted):
        return counted
    return _count_packets(context, ignore_editlist="1").seconds


def _sample_table_length(stream: Any) -> float:
    """Return the length by the sample table alone."""
    entries = stream.index_entries
    if len(entries) < 2 or not stream.time_base:
        return 0.0
    return float((entries[-1].timestamp - entries[0].timestamp) * stream.time_base)


def _length_if_all_bytes_read(context: StepContext, count: PacketCount, counted: float) -> float | None:
    """Return None if there is audio behind the end that the header claims; only of WAV can it be read.

    A Wave64 file must consist mostly of audio packets.
    """
    if demuxer(context) == "w64":
        packet_bytes = sum(extent.size for extent in count.extents.values())
        return counted if packet_bytes >= context.facts["size"] / 2 else None
    is_wave = wave_chunks.is_wave(context.file)
    return counted if is_wave or not wave_chunks.has_data_behind_sound(context.file, context.facts["size"]) else None


def _video_length(count: PacketCount, index: int, seconds: float) -> float | None:
    """Return ``seconds``, or the length by the codec's frame rate if the frame rate would be implausible."""
    frames = count.extents[index].packets
    if frames <= MAX_FRAME_RATE * max(seconds, 0.1):
        return seconds
    rate = count.rates.get(index, 0)
    return frames / rate if 0 < rate <= MAX_FRAME_RATE else None


def _audio_length(context: StepContext, count: PacketCount, index: int) -> float | None:
    """Return the length by decoding the first packets; all of them, if those contradict the time stamps."""
    packets, stamped, sample = count.extents[index].packets, count.stream_length(index), count.samples[index]
    if not sample.packets or sample.seconds / sample.packets * packets <= _with_tolerance(stamped) * 1.25:
        return stamped
    decoded = _decoded_length(context, index)
    return max(decoded, stamped) if decoded is not None else None


def _decoded_length(context: StepContext, index: int) -> float | None:
    """Return the seconds of audio in a stream; None if it cannot be decoded to its end in time."""
    seconds, until = 0.0, time.process_time() + COUNT_SECONDS
    with open_recording(context) as container:
        stream = container.streams[index]
        require_decoder(stream).thread_count = 1
        try:
            for _, frame in Frames(container, stream):
                seconds += frame.samples / frame.sample_rate
                if time.process_time() > until:
                    return None
        except Unreadable:
            return None
    return seconds


def _with_tolerance(seconds: float) -> float:
    """Return the longest length that agrees with ``seconds``."""
    return seconds + max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * seconds)
