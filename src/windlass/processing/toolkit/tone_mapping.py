"""Map pictures of high dynamic range to sRGB."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, BinaryIO

from windlass.processing.formats.pictures import icc, picture_headers
from windlass.processing.formats.recordings import mp4_tracks
from windlass.processing.toolkit.frame_filters import HDR, build_graph
from windlass.processing.toolkit.pixels import packed_plane, srgb_image

#: The colour primaries that go with the transfer functions of high dynamic range: BT.2020.
_PRIMARIES = 9


def transfer_function(file: BinaryIO, header: Any) -> int:
    """Return the HDR transfer function of a picture, else 0.

    PNG, HEIF, AVIF and ICC profiles can name one. ``header`` is the libvips image before anything is decoded.
    """
    size = file.seek(0, os.SEEK_END)
    transfer = picture_headers.read_png_chunks(file).transfer or mp4_tracks.transfer_function(file, size)
    if not transfer and header.get_typeof("icc-profile-data"):
        transfer = icc.transfer_function(header.get("icc-profile-data"))
    return transfer if transfer in HDR else 0


def map_to_srgb(image: Any, transfer: int) -> Any:
    """Return a small pyvips image (8 or 16 bits) with this transfer function as sRGB. Transparency is kept."""
    alpha = image[image.bands - 1] if image.hasalpha() else None
    colours = image[0 : image.bands - 1] if alpha is not None else image
    colours = (colours if colours.format == "ushort" else colours * 257).cast("ushort")
    if colours.bands < 3:
        colours = colours[0].bandjoin([colours[0], colours[0]])
    mapped = _map_colours(colours, transfer)
    if alpha is not None:
        mapped = mapped.bandjoin((alpha / 257 if alpha.format == "ushort" else alpha).cast("uchar"))
    return mapped.copy(interpretation="srgb")


def _map_colours(colours: Any, transfer: int) -> Any:
    """Map by libswscale, as for video frames."""
    from av import VideoFrame

    width, height = colours.width, colours.height
    frame = VideoFrame(width, height, "rgb48le")
    data, row, stride = bytes(colours.write_to_memory()), 6 * width, frame.planes[0].line_size
    frame.planes[0].update(b"".join(data[at : at + row].ljust(stride, b"\0") for at in range(0, len(data), row)))
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, _PRIMARIES, 0, 2
    return srgb_image(packed_plane(_filter(frame), 3), width, height)


def _filter(frame: Any) -> Any:
    size = f"{frame.width}x{frame.height}"
    source = {"video_size": size, "pix_fmt": "rgb48le", "time_base": "1/25", "pixel_aspect": "1/1"}
    scale = f"w={frame.width}:h={frame.height}:out_transfer=bt709:out_primaries=bt709:intent=perceptual"
    graph = build_graph("buffer", source, [("scale", scale), ("format", "pix_fmts=rgb24")])
    graph.push(frame)
    graph.push(None)
    return graph.pull()
