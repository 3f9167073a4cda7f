"""The small format readers: what they read, and that no bytes cause an unexpected error."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import minimal_files, samples
from tests.hostile.files.archives import zip64_of_absurd_size
from windlass.processing.contract import Unreadable
from windlass.processing.formats import type_refinement
from windlass.processing.formats.archives import inspect_archive
from windlass.processing.formats.archives.unpacking import UnpackMeter
from windlass.processing.formats.documents import compound_file, email_message, pdf, zip_types
from windlass.processing.formats.pictures import exif, icc, picture_headers
from windlass.processing.formats.read_limits import MB, Deadline
from windlass.processing.formats.recordings import recording_tags
from windlass.processing.formats.recordings.recording_tags import iso6709
from windlass.processing.formats.text import xml_events


def entry(value: str, kind: str = "ASCII", people: str | None = None) -> str:
    return f"{value} ({people or value}, {kind}, 1 components, 1 bytes)"


@pytest.mark.parametrize(
    ("name", "said", "key", "value"),
    [
        ("ifd0-Model", entry("EOS (R5), x"), "model", "EOS (R5), x"),
        ("ifd0-Make", entry("  Canon \0"), "make", "Canon"),
        ("ifd0-Artist", entry("a" * 900), "artist", "a" * 200),
        ("ifd2-ExposureTime", entry("1/250", "Rational", "1/250 sec."), "exposure_seconds", 0.004),
        ("ifd2-FNumber", entry("28/10", "Rational", "f/2.8"), "aperture", 2.8),
        ("ifd2-ISOSpeedRatings", entry("400", "Short"), "iso", 400),
        ("ifd2-DateTimeOriginal", entry("2024:05:06 07:08:09"), "taken_at", "2024-05-06T07:08:09"),
        ("ifd0-Make", entry(" "), None, None),
        ("ifd2-FNumber", entry("1/0", "Rational"), None, None),
        ("ifd2-FNumber", entry("nan", "Rational"), None, None),
        ("ifd2-FNumber", "what", None, None),
        ("ifd2-DateTimeOriginal", entry("0000:00:00 00:00:00"), None, None),
    ],
)
def test_exif_fields_become_camera_facts(name: str, said: str, key: str | None, value: object) -> None:
    assert exif.camera({name: said}.get) == ({key: value} if key else {})


@pytest.mark.parametrize(
    ("said", "transfer"),
    [
        ("Rec2100PQ", 16),
        ("Rec. 2100 PQ", 16),
        ("BT.2100 HLG", 18),
        ("SMPTE ST 2084", 16),
        ("sRGB", 0),
        ("Display P3", 0),
    ],
)
def test_a_hdr_colour_profile_has_its_name_and_transfer_function(said: str, transfer: int) -> None:
    body = b"mluc" + bytes(16) + struct.pack(">II", 2 * len(said), 28) + said.encode("utf-16-be")
    profile = bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(body)) + body
    assert (icc.profile_name(profile), icc.transfer_function(profile)) == (said, transfer)


def test_an_invalid_time_offset_is_ignored() -> None:
    said = {"ifd2-DateTimeOriginal": entry("2024:05:06 07:08:09"), "ifd2-OffsetTimeOriginal": entry("soon")}
    assert exif.camera(said.get) == {"taken_at": "2024-05-06T07:08:09"}


@pytest.mark.parametrize("latitude", ["91/1 0/1 0/1", "1/1 0/1", "-5/1 0/1 0/1", "1/0 0/1 0/1", "x y z"])
def test_an_impossible_gps_position_is_ignored(latitude: str) -> None:
    said = {"ifd3-GPSLatitude": entry(latitude, "Rational"), "ifd3-GPSLongitude": entry("1/1 2/1 3/1", "Rational")}
    assert exif.location(said.get) is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("D:20240506070809+02'00'", "2024-05-06T07:08:09+02:00"),
        ("D:20240506070809Z", "2024-05-06T07:08:09+00:00"),
        ("D:20240506070809-05'30", "2024-05-06T07:08:09-05:30"),
        ("D:2024", "2024-01-01T00:00:00"),
        ("20240506", "2024-05-06T00:00:00"),
        ("D:20241399", None),
        ("D:20240506070809+99'00'", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_pdf_dates_become_iso_dates(said: str, found: str | None) -> None:
    assert pdf.iso_date(said) == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("+59.3293+018.0686/", {"latitude": 59.3293, "longitude": 18.0686}),
        ("-33.8+151.2+058.5/", {"latitude": -33.8, "longitude": 151.2, "altitude": 58.5}),
        ("+59.3293+018.0686+010.000CRSWGS_84/", {"latitude": 59.3293, "longitude": 18.0686, "altitude": 10}),
        ("+95.0+018.0/", None),
        ("here", None),
    ],
)
def test_iso_6709_locations_are_parsed(said: str, found: object) -> None:
    assert iso6709(said) == found


def test_recording_tags_and_creation_dates_are_cleaned() -> None:
    said = {"TITLE": " Hauling ", "creation_time": "1904-01-01T00:00:00Z", "com.apple.quicktime.make": "Anchor"}
    assert recording_tags.tags(said) == {"title": "Hauling"}
    assert recording_tags.created_at(said) is None
    assert recording_tags.created_at({"creation_time": "2024-05-06T07:08:09.000000Z"}) == "2024-05-06T07:08:09+00:00"


def test_colour_profiles_of_both_versions_have_names() -> None:
    import pyvips

    picture = pyvips.Image.new_from_buffer(samples.camera_jpeg(), "")
    assert icc.profile_name(picture.get("icc-profile-data"))
    old = bytes(128) + (1).to_bytes(4) + b"desc" + (144).to_bytes(4) + (30).to_bytes(4)
    assert icc.profile_name(old + b"desc" + bytes(4) + (9).to_bytes(4) + b"Display\0\0") == "Display"
    assert icc.profile_name(old) is None
    assert icc.profile_name(b"") is None


def test_bmp_and_ico_headers_are_read() -> None:
    assert picture_headers.bmp(minimal_files.bmp()) == {"width": 2, "height": 3, "bits": 24}
    assert picture_headers.ico(minimal_files.ico()) == {"width": 256, "height": 256}
    assert picture_headers.bmp(b"BM" + bytes(10)) is None
    assert picture_headers.bmp(minimal_files.bmp()[:18] + b"\0\0\0\x80" + minimal_files.bmp()[22:]) is None


def test_an_archive_that_claims_exabytes_is_measured() -> None:
    seen = inspect_archive.inspect_archive(
        io.BytesIO(zip64_of_absurd_size()), "application/zip", UnpackMeter(MB, True, Deadline())
    )
    assert (seen.entries, seen.overlapping, seen.unpacked) == (3, 3, 3 * (2**63 - 1))


@pytest.mark.parametrize("name", ["UTF-0", "UTF-nan", "utf-7", "rot13", "zlib", "x" * 500])
def test_xml_with_an_unknown_encoding_is_unreadable(name: str) -> None:
    with pytest.raises(Unreadable, match="encoding"):
        list(xml_events.events([f"<?xml version='1.0' encoding='{name}'?><a>+AGE-</a>".encode()]))


@pytest.mark.parametrize("said", ["=?utf-8?b?A?=", "=?utf-8?b?AAAAA?=", "=?nocharset?q?=C3=A9?=", "=?utf-8?b?\udc80?="])
def test_wrongly_encoded_words_are_decoded_to_text(said: str) -> None:
    assert isinstance(email_message.decode_header(said), str)


BEGINNINGS = st.sampled_from(
    [
        b"",
        b"PK\x03\x04",
        b"BM",
        b"\0\0\1\0",
        minimal_files.cfb("Workbook")[:600],
        b"\x1a\x45\xdf\xa3\x16\x54\xae\x6b",
        b"OggS",
    ]
)
ENDS = st.sampled_from(
    [b"", b"PK\x05\x06", b"PK\x05\x06" + bytes(18), b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18)]
)


@given(BEGINNINGS, st.binary(max_size=300), ENDS)
def test_any_bytes_are_read_without_an_unexpected_error(beginning: bytes, middle: bytes, end: bytes) -> None:
    data = beginning + middle + end
    file = io.BytesIO(data)
    picture_headers.bmp(data)
    picture_headers.ico(data)
    icc.profile_name(data)
    for found in ("application/octet-stream", "text/plain", "audio/ogg", "video/webm"):
        assert "/" in type_refinement.refine_by_signature(found, data, len(data))
    compound_file.read_root(file)
    assert all("/" in kind for kind in zip_types.kinds(file))


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_document_with_one_wrong_byte_has_a_type(place: int, value: int) -> None:
    data = bytearray(minimal_files.KINDS["a.odt"].make())
    data[place % len(data)] = value
    assert all("/" in kind for kind in zip_types.kinds(io.BytesIO(data)))


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read_without_an_unexpected_error(one: str, other: str) -> None:
    exif.camera(lambda _: one)
    exif.location(lambda name: one if name.endswith("Ref") else other)
    pdf.iso_date(one)
    recording_tags.created_at({"creation_time": one})
    recording_tags.location({"location": one})
