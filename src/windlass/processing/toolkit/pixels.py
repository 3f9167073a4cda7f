"""Raw pixels from FFmpeg and PDFium as pictures of libvips."""

from __future__ import annotations

from typing import Any


def packed_rows(data: bytes, row_bytes: int, row_stride: int, rows: int) -> bytes:
    """Return the rows without the padding at their ends."""
    if row_bytes == row_stride:
        return data[: row_bytes * rows]
    return b"".join(data[start : start + row_bytes] for start in range(0, row_stride * rows, row_stride))


def packed_plane(frame: Any, bytes_per_pixel: int) -> bytes:
    """Return the first plane of an FFmpeg frame without padding."""
    plane = frame.planes[0]
    return packed_rows(bytes(plane), frame.width * bytes_per_pixel, plane.line_size, frame.height)


def srgb_image(pixels: bytes, width: int, height: int, bands: int = 3) -> Any:
    """Return a pyvips image of 8-bit samples: red, green, blue, and alpha for four bands."""
    import pyvips

    return pyvips.Image.new_from_memory(pixels, width, height, bands, "uchar").copy(interpretation="srgb")
