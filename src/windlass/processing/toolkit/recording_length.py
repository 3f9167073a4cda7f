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
class StreamPackets:
    """The packets of one stream. Times are in units of its time base (``unit`` seconds); time stamps that restart begin
    a new part. ``rate`` is the codec's frame rate, 0 if unknown.

    The first packets of some audio streams are decoded (``samples_left``), which gives ``decoded_seconds`` of audio.
    """

    is_audio: bool
    unit: float
    max_backward: int
    max_forward: int | None
    rate: float = 0.0
    samples_left: int = 0
    decoded_packets: int = 0
    decoded_seconds: float = 0.0
    packets: int = 0
    size: int = 0
    first: int | None = None
    end: int = 0
    last: int = 0
    previous_parts: int = 0
    parts: int = 1

    def add(self, packet: Any) -> None:
        if self.samples_left and packet.size:
            self._decode(packet)
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None:
            return
        decoded = packet.dts if packet.dts is not None else at
        end = at + (packet.duration or 0)
        self.packets += 1
        self.size += packet.size
        if self.first is None:
            self.first, self.end = at, end
        elif self._is_new_part(at, decoded):
            self.previous_parts += self.end - self.first
            self.first, self.end, self.parts = at, end, self.parts + 1
        else:
            self.first = min(self.first, at)
            self.end = max(self.end, end)
        self.last = decoded

    def _is_new_part(self, at: int, decoded: int) -> bool:
        has_gap = self.max_forward is not None and at > self.end + self.max_forward
        return has_gap or decoded < self.last - self.max_backward

    def _decode(self, packet: Any) -> None:
        import av

        self.samples_left -= 1
        self.decoded_packets += 1
        with suppress(av.FFmpegError, ValueError):
            self.decoded_seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())

    @property
    def seconds(self) -> float:
        return self.unit * (self.previous_parts + (self.end - self.first if self.first is not None else 0))


@dataclass(slots=True)
class PacketCount:
    """The packets of the streams by index. ``complete``: all were read in time; ``damaged``: there were errors."""

    streams: dict[int, StreamPackets] = field(default_factory=dict)
    complete: bool = False
    damaged: bool = False

    @property
    def seconds(self) -> float | None:
        """From the first to the last packet of all streams; if time stamps restart, of the longest stream."""
        timed = [stream for stream in self.streams.values() if stream.first is not None]
        if not timed:
            return None
        if any(stream.parts > 1 for stream in timed):
            return _if_positive(max(stream.seconds for stream in timed))
        begin = min((stream.first or 0) * stream.unit for stream in timed)
        return _if_positive(max(stream.end * stream.unit for stream in timed) - begin)

    def frame_rate(self, index: int, seconds: float) -> float | None:
        """Return the frame rate of a stream in a recording of this length."""
        frames, own_length = self.streams[index].packets, self.streams[index].seconds
        if not self.complete or frames < 2 or own_length <= 0:
            return None
        return frames / (own_length if frames <= MAX_FRAME_RATE * own_length else seconds)


def measure_length(context: StepContext, claimed: float | None) -> tuple[float | None, PacketCount]:
    """Return the seconds of a recording whose header claims ``claimed`` seconds, and its packets. Raises Unreadable.

    If header and packets differ, the packets decide. If the packets contradict themselves, the larger length counts;
    it is unknown if one of them is. If there are too many packets to count, the header is trusted unless a rule of the
    profile needs the length.
    """
    count = _count_packets(context)
    counted = count.seconds
    if demuxer(context) in ESTIMATED_DEMUXERS:
        claimed = None
    if not count.complete or counted is None:
        return (None if is_length_needed(context.profile) else claimed), count
    counted = _largest_length(context, count, counted)
    if claimed is not None and counted is not None:
        if abs(claimed - counted) <= max(ABSOLUTE_TOLERANCE, RELATIVE_TOLERANCE * counted):
            return claimed, count
        if count.damaged:
            return max(counted, claimed), count
    return counted, count


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
        for number, packet in enumerate(_packets(container, streams, count)):
            count.streams[packet.stream_index].add(packet)
            if number % PACKETS_PER_TIME_CHECK == 0 and time.process_time() > until:
                return count
    count.complete = True
    return count


def _add_stream(count: PacketCount, stream: Any, container: str) -> None:
    unit, decoder = float(stream.time_base or 0), stream.codec_context
    ticks = round(1 / unit) if unit > 0 else 0
    forward = FORWARD_SECONDS * ticks if container in BROADCAST_DEMUXERS else None
    added = StreamPackets(stream.type == "audio", unit, BACKWARD_SECONDS * ticks, forward)
    if not added.is_audio:
        added.rate = float(decoder.framerate or 0) if decoder is not None else 0.0
    elif decoder is not None and sum(other.samples_left > 0 for other in count.streams.values()) < MAX_SAMPLED_STREAMS:
        decoder.thread_count = 1
        added.samples_left = SAMPLE_PACKETS
    count.streams[stream.index] = added


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
    measures += [_audio_length(context, index, stream) for index, stream in count.streams.items() if stream.is_audio]
    known = [each for each in measures if each is not None]
    if len(known) < len(measures):
        return None
    video_lengths = [_video_length(stream, max(known)) for stream in count.streams.values() if not stream.is_audio]
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
        packet_bytes = sum(stream.size for stream in count.streams.values())
        return counted if packet_bytes >= context.facts["size"] / 2 else None
    is_wave = wave_chunks.is_wave(context.file)
    return counted if is_wave or not wave_chunks.has_data_behind_sound(context.file, context.facts["size"]) else None


def _video_length(stream: StreamPackets, seconds: float) -> float | None:
    """Return ``seconds``, or the length by the codec's frame rate if the frame rate would be implausible."""
    if stream.packets <= MAX_FRAME_RATE * max(seconds, 0.1):
        return seconds
    return stream.packets / stream.rate if 0 < stream.rate <= MAX_FRAME_RATE else None


def _audio_length(context: StepContext, index: int, stream: StreamPackets) -> float | None:
    """Return the length by decoding the first packets; all of them, if those contradict the time stamps."""
    stamped, sampled = stream.seconds, max(stream.decoded_packets, 1)
    if stream.decoded_seconds / sampled * stream.packets <= _with_tolerance(stamped) * 1.25:
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
