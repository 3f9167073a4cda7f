"""Pictures of a high dynamic range, brought to what an ordinary screen shows."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, BinaryIO

from windlass.processing.formats.pictures import icc, png_chunks
from windlass.processing.formats.recordings import mp4_tracks

#: Transfer functions of a high dynamic range (ITU-T H.273) by their names.
HDR = {16: "pq", 18: "hlg"}
#: BT.2020, whose colours go with them.
_PRIMARIES = 9


def transfer_of(file: BinaryIO, header: Any) -> int:
    """The transfer function of a picture, if it is one of a high dynamic range; else 0. PNG, HEIF and AVIF may tell it
    themselves, and any colour profile. ``header`` is libvips' image before anything is decoded."""
    size = file.seek(0, os.SEEK_END)
    found = png_chunks.read_chunks(file).transfer or mp4_tracks.transfer_function(file, size)
    if not found and header.get_typeof("icc-profile-data"):
        found = icc.transfer_function(header.get("icc-profile-data"))
    return found if found in HDR else 0


def mapped(image: Any, transfer: int) -> Any:
    """A small picture (pyvips, 8 or 16 bits) whose numbers mean what the transfer function says, as sRGB. What is
    transparent stays so."""
    alpha = image[image.bands - 1] if image.hasalpha() else None
    colours = image[0 : image.bands - 1] if alpha is not None else image
    deep = colours.format == "ushort"
    colours = (colours if deep else colours * 257).cast("ushort")
    if colours.bands < 3:
        colours = colours[0].bandjoin([colours[0], colours[0]])
    shown = _shown(colours, transfer)
    if alpha is not None:
        shown = shown.bandjoin((alpha / 257 if alpha.format == "ushort" else alpha).cast("uchar"))
    return shown.copy(interpretation="srgb")


def _shown(colours: Any, transfer: int) -> Any:
    """By libswscale, as the frames of films."""
    import pyvips
    from av import VideoFrame

    width, height = colours.width, colours.height
    frame = VideoFrame(width, height, "rgb48le")
    data, row, line = bytes(colours.write_to_memory()), 6 * width, frame.planes[0].line_size
    frame.planes[0].update(b"".join(data[at : at + row].ljust(line, b"\0") for at in range(0, len(data), row)))
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, _PRIMARIES, 0, 2
    plane = _filtered(frame).planes[0]
    pixels, row = bytes(plane), 3 * width
    packed = b"".join(pixels[at : at + row] for at in range(0, plane.line_size * height, plane.line_size))
    return pyvips.Image.new_from_memory(packed, width, height, 3, "uchar")


def _filtered(frame: Any) -> Any:
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    size = f"{frame.width}x{frame.height}"
    scale = f"w={frame.width}:h={frame.height}:out_transfer=bt709:out_primaries=bt709:intent=perceptual"
    nodes = [graph.add("buffer", video_size=size, pix_fmt="rgb48le", time_base="1/25", pixel_aspect="1/1")]
    nodes += [graph.add("scale", scale), graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()
