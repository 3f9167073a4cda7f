"""Byte ranges: the examples of RFC 9110 section 14, and any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.byte_ranges import ByteRange, UnsatisfiableRange, parse_range

sizes = st.integers(1, 10**13)
positions = st.integers(0, 10**14)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        # The examples of RFC 9110 14.1.2, for 10000 bytes
        ("bytes=0-499", 0, 500),
        ("bytes=500-999", 500, 1000),
        ("bytes=-500", 9500, 10_000),
        ("bytes=9500-", 9500, 10_000),
        ("bytes=0-0", 0, 1),
        ("bytes=-1", 9999, 10_000),
        ("bytes=0-99999", 0, 10_000),
        ("bytes=-99999", 0, 10_000),
        ("bytes=007-0000009", 7, 10),
        ("Bytes = 1 - 2 ", 1, 3),
        (f"bytes=5-{'9' * 100}", 5, 10_000),
    ],
)
def test_a_range_is_parsed(header: str, start: int, stop: int) -> None:
    parsed = parse_range(header, 10_000)
    assert parsed == ByteRange(start, stop)
    assert parsed.length == stop - start
    assert parsed.content_range(10_000) == f"bytes {start}-{stop - 1}/10000"


NO_SINGLE_RANGES = [
    *(None, "", "bytes", "bytes=", "bytes=-", "bytes=2-1", "bytes=a-b", "bytes=1-2,4-5", "bytes=0-0,", "bytes=1"),
    *("items=0-1", "bytes=--1", "bytes=1--2", "bytes=+1-2", "bytes=1_0-20", "bytes=0x1-2", "bytes=1.0-2", "bytes=²-"),
    *("bytes=\u0661-\u0662", f"bytes={'9' * 5000}-", f"bytes=0-{'1' * 5000}", f"bytes=-{'0' * 5000}"),
]


@pytest.mark.parametrize("header", NO_SINGLE_RANGES)
def test_anything_but_a_single_range_is_ignored(header: str | None) -> None:
    assert parse_range(header, 10_000) is None


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0", f"bytes={'9' * 100}-"])
def test_a_range_outside_the_representation_is_unsatisfiable(header: str) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, 10_000)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=-0", "bytes=5-6"])
def test_a_range_of_an_empty_representation_is_ignored(header: str) -> None:
    assert parse_range(header, 0) is None


@given(size=sizes, first=positions, length=st.integers(0, 10**14))
def test_any_first_and_last_position_is_clamped_to_the_size(size: int, first: int, length: int) -> None:
    header = f"bytes={first}-{first + length}"
    if first >= size:
        with pytest.raises(UnsatisfiableRange):
            parse_range(header, size)
    else:
        assert parse_range(header, size) == ByteRange(first, min(size, first + length + 1))


@given(size=sizes, length=st.integers(1, 10**14))
def test_any_suffix_length_is_clamped_to_the_size(size: int, length: int) -> None:
    assert parse_range(f"bytes=-{length}", size) == ByteRange(max(0, size - length), size)


@given(
    header=st.one_of(st.text(), st.text("bytes=0123456789-, ").map(lambda text: f"bytes={text}")),
    size=st.integers(0, 100),
)
def test_any_text_gives_a_valid_range_or_none_or_an_error(header: str, size: int) -> None:
    try:
        parsed = parse_range(header, size)
    except UnsatisfiableRange:
        return
    assert parsed is None or 0 <= parsed.start < parsed.stop <= size
