"""Raw photographs have their own type and the size of the sensor's picture, not of the embedded preview."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import raw_photos as made
from tests import samples
from tests.pure.test_pictures import PROFILE, run
from tests.pure.test_recording_types import type_of
from windlass.processing.contract import Unreadable
from windlass.processing.formats.pictures import raw_photos
from windlass.processing.steps.image_facts import ImageFacts
from windlass.processing.steps.thumbnails import Thumbnail

CROP = (50720, made.LONG, (6000, 4000))
NIKON, SONY, PENTAX, OLYMPUS = (made.make(name) for name in ("NIKON CORPORATION", "SONY", "PENTAX", "OLYMPUS CORP."))
CR2 = made.photo(
    [*made.sides(5616, 3744), made.make("Canon"), made.turned(6), made.preview()],
    [(40962, made.SHORT, (5600,)), (40963, made.LONG, (3700,))],
    links=34665,
)
RW2 = made.photo(
    [
        (2, made.SHORT, (4060,)),
        (3, made.SHORT, (3016,)),
        (4, made.SHORT, (4,)),
        (5, made.SHORT, (8,)),
        (6, made.SHORT, (3004,)),
        (7, made.SHORT, (4008,)),
        made.make("Panasonic"),
    ],
    head=b"IIU\0",
)
ORF = made.photo([*made.sides(4608, 3456), OLYMPUS], head=b"IIRO")


@pytest.mark.parametrize(
    ("content", "mime_type", "size"),
    [
        (made.dng(CROP), "image/x-adobe-dng", (6000, 4000)),
        (made.dng(CROP, order=">"), "image/x-adobe-dng", (6000, 4000)),
        (made.dng(CROP, orientation=6), "image/x-adobe-dng", (4000, 6000)),
        (made.dng(CROP, orientation=3), "image/x-adobe-dng", (6000, 4000)),
        (made.dng((50720, made.RATIONAL, (6000, 4000))), "image/x-adobe-dng", (6000, 4000)),
        (made.dng((50720, made.SHORT, (6000, 4000))), "image/x-adobe-dng", (6000, 4000)),
        (made.dng((50829, made.LONG, (10, 20, 4010, 6020))), "image/x-adobe-dng", (6000, 4000)),
        (made.dng(), "image/x-adobe-dng", (6048, 4024)),
        (made.dng((50720, made.LONG, (0, 0))), "image/x-adobe-dng", (6048, 4024)),
        (
            made.photo([made.MAIN, made.LINEAR, made.DNG_VERSION, *made.sides(300, 200)]),
            "image/x-adobe-dng",
            (300, 200),
        ),
        (made.photo([*made.SMALL, NIKON, made.turned(8)], made.SENSOR), "image/x-nikon-nef", (4024, 6048)),
        (made.photo([*made.SMALL, NIKON], [*made.SMALL], made.SENSOR, order=">"), "image/x-nikon-nef", (6048, 4024)),
        (made.photo([*made.SMALL, SONY], made.SENSOR), "image/x-sony-arw", (6048, 4024)),
        (made.photo([made.CFA, *made.sides(3040, 2024), PENTAX], order=">"), "image/x-pentax-pef", (3040, 2024)),
        (CR2, "image/x-canon-cr2", (3700, 5600)),
        (RW2, "image/x-panasonic-rw2", (4000, 3000)),
        (ORF, "image/x-olympus-orf", (4608, 3456)),
    ],
)
def test_the_size_is_the_sensors_as_displayed(content: bytes, mime_type: str, size: tuple[int, int]) -> None:
    assert type_of(content) == mime_type
    facts = run(ImageFacts(), content, mime_type).facts
    assert (facts["width"], facts["height"]) == size


def test_the_preview_is_rotated_as_the_photograph() -> None:
    (shown,) = run(Thumbnail(), made.dng(CROP, orientation=6), "image/x-adobe-dng", PROFILE).renditions
    assert (shown.width, shown.height) == (200, 320)
    assert run(Thumbnail(), RW2, "image/x-panasonic-rw2").detail == "no preview in it"


@pytest.mark.parametrize(
    "content",
    [samples.tiff(), made.photo([*made.sides(64, 48), NIKON]), made.photo([made.CFA, *made.sides(64, 48)]), b"II*\0"],
)
def test_another_tiff_is_no_raw_photo(content: bytes) -> None:
    assert raw_photos.read_raw_photo(io.BytesIO(content), len(content)) is None


def test_a_raw_photo_without_a_size_is_unreadable() -> None:
    content = made.photo([made.DNG_VERSION])
    with pytest.raises(Unreadable, match="does not tell its size"):
        run(ImageFacts(), content, "image/x-adobe-dng")


@given(st.binary(max_size=400), st.sampled_from([b"II*\0", b"MM\0*", b"IIU\0", b"IIRO"]))
def test_any_bytes_are_read_without_an_unexpected_error(body: bytes, head: bytes) -> None:
    order = ">" if head[:1] == b"M" else "<"
    content = head + struct.pack(f"{order}I", 8) + body
    raw_photos.read_raw_photo(io.BytesIO(content), len(content))


def test_cyclic_directories_end() -> None:
    content = made.photo(
        [*made.SMALL, made.DNG_VERSION, (34665, made.LONG, (16,))], [*made.SENSOR, (330, made.LONG, (16,))]
    )
    found = raw_photos.read_raw_photo(io.BytesIO(content), len(content))
    assert found is not None
    assert found.width == 6048
