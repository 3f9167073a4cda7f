"""Read the facts of pictures from their headers: displayed size, colours, EXIF. No pixel is decoded."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from windlass.kernel.media_type_tables import RASTER_IMAGES, RAW_IMAGES
from windlass.kernel.media_types import canonical
from windlass.processing.contract import About, StepContext, StepResult, Unreadable, damaged
from windlass.processing.formats.pictures import exif, icc, picture_headers, raw_photos
from windlass.processing.formats.recordings import mp4_tracks
from windlass.processing.toolkit import tone_mapping
from windlass.processing.toolkit.frame_filters import HDR
from windlass.processing.toolkit.thumbnail_encoding import source_opener
from windlass.processing.toolkit.warm_up import warm_up

#: Formats without a loader in the libvips that Windlass uses; their headers are read here.
BITMAPS = {
    "image/bmp": ("bmp", picture_headers.bmp),
    "image/vnd.microsoft.icon": ("ico", picture_headers.ico),
    "image/vnd.zbrush.pcx": ("pcx", picture_headers.pcx),
    "image/x-portable-anymap": ("pnm", picture_headers.portable_map),
    "image/x-portable-bitmap": ("pbm", picture_headers.portable_map),
    "image/x-portable-graymap": ("pgm", picture_headers.portable_map),
    "image/x-portable-pixmap": ("ppm", picture_headers.portable_map),
    "image/x-tga": ("tga", picture_headers.tga),
    "image/x-win-bitmap": ("cur", picture_headers.ico),
}

#: Milliseconds that a picture of an animation is shown. Browsers replace delays up to the first by the second.
MAX_REPLACED_DELAY, BROWSER_DELAY = 10, 100

_COLOURS = {"b-w": "grey", "grey16": "grey", "rgb16": "rgb", "scrgb": "rgb", "srgb": "rgb"}
_BITS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16, "uint": 32, "int": 32, "float": 32, "double": 64}


class ImageFacts:
    """The location is a fact only if the profile's ``show_location`` is on."""

    about = About(
        name="image_facts",
        stage="describe",
        title="Reading the picture's facts",
        order=10,
        isolated=True,
        mime_types=(*RASTER_IMAGES, *BITMAPS, *RAW_IMAGES),
        gives={
            "width": "pixels as displayed",
            "height": "pixels as displayed",
            "orientation": "EXIF orientation, 1 to 8; width and height take it into account. Always 1 for HEIF and "
            "AVIF, which rotate by other means",
            "image_format": "name of the image format in its decoder",
            "color_space": "rgb, grey, cmyk, lab or another color space of libvips",
            "color_profile": "name of the ICC profile",
            "bit_depth": "bits per channel; for BMP, bits per pixel",
            "pixel_channels": "channels per pixel, including transparency",
            "has_alpha": "whether it has transparency",
            "hdr": "pq or hlg, if the image has a high dynamic range",
            "dpi": "dots per inch, if the file has them",
            "frames": "frames of an animation, if there are several",
            "loop": "how often the animation is played; 0: forever",
            "duration": "duration of one pass of an animation, in seconds",
            "page_count": "pages of a TIFF",
            "exif": "metadata of the camera: make, model, lens, taken_at (ISO 8601, with an offset if known), "
            "exposure_seconds, aperture (f-number), iso, focal_length_mm, focal_length_35mm, software, artist, "
            "copyright",
            "location": "where the image was taken: latitude, longitude (degrees), altitude (metres); "
            "if the profile's `show_location` is on",
        },
        libraries=("pyvips",),
    )

    def prepare(self) -> None:
        warm_up(self, "image/jpeg")

    def run(self, context: StepContext) -> StepResult:
        kind = canonical(context.facts["mime_type"])
        if kind in BITMAPS:
            facts = _bitmap_facts(context, kind)
        elif kind in RAW_IMAGES:
            facts = _raw_facts(context)
        else:
            facts = _vips_facts(context)
        return StepResult(facts, detail=f"{facts['width']}\N{MULTIPLICATION SIGN}{facts['height']}")


def _bitmap_facts(context: StepContext, kind: str) -> dict[str, Any]:
    name, read = BITMAPS[kind]
    header = read(context.file.read(picture_headers.HEAD))
    if header is None:
        raise Unreadable("The picture cannot be read: its header is damaged.")
    bits = {"bit_depth": header["bits"]} if header.get("bits") else {}
    return {"width": header["width"], "height": header["height"], "image_format": name} | bits


def _raw_facts(context: StepContext) -> dict[str, Any]:
    """The size of the sensor image, and EXIF if the file can be read as TIFF."""
    photo = raw_photos.read_raw_photo(context.file, context.facts["size"])
    if photo is None or photo.width <= 0 or photo.height <= 0:
        raise Unreadable("The photograph cannot be read: its header does not tell its size.")
    metadata: dict[str, Any] = {}
    with suppress(Unreadable):
        facts = _vips_facts(context)
        metadata = {name: facts[name] for name in ("exif", "location", "color_profile") if name in facts}
    sides = {"width": photo.width, "height": photo.height, "orientation": photo.orientation}
    return metadata | sides | {"image_format": photo.mime_type.rpartition("-")[2]}


def _vips_facts(context: StepContext) -> dict[str, Any]:
    import pyvips

    with damaged(pyvips.Error, what="picture"):
        try:
            image = pyvips.Image.new_from_source(source_opener(context.file)(), "", access="sequential")
        except pyvips.Error:
            facts = _sequence_facts(context)
            if not facts:
                raise
            return facts
        facts = _size_facts(image) | _colour_facts(image) | _page_facts(image) | _sequence_facts(context)
        chunks = picture_headers.read_png_chunks(context.file)  # of an animated PNG
        facts |= _animation_facts(chunks.frames, chunks.seconds, loop=chunks.loop)
        if transfer := tone_mapping.transfer_function(context.file, image):
            facts["hdr"] = HDR[transfer]
        camera = exif.camera(lambda name: _text(image, f"exif-{name}"))
        return facts | ({"exif": camera} if camera else {}) | _location(context, image)


def _sequence_facts(context: StepContext) -> dict[str, Any]:
    """The facts of an image sequence in a HEIF or AVIF file, which is a track as in a video."""
    movie = mp4_tracks.read_movie(context.file, context.facts["size"])
    track = next((each for each in movie.tracks if each.handler == "pict"), None) if movie is not None else None
    if track is None or not track.width or not track.height:
        return {}
    facts = {"width": track.width, "height": track.height, "image_format": "heif"}
    return facts | _animation_facts(track.samples, track.seconds)


def _animation_facts(frames: int, seconds: float, **loop: int) -> dict[str, Any]:
    """``seconds``: how long it takes once; 0 if unknown. A single picture is no animation."""
    if frames < 2:
        return {}
    return {"frames": frames, **loop} | ({"duration": round(seconds, 3)} if seconds else {})


def _size_facts(image: Any) -> dict[str, Any]:
    orientation = _number(image, "orientation", 1)
    is_transposed = orientation in (5, 6, 7, 8)  # EXIF: the sensor's rows are the picture's columns
    dpi = round(image.xres * 25.4)  # libvips counts per millimetre, and has 1 if it is unknown
    return {
        "width": image.height if is_transposed else image.width,
        "height": image.width if is_transposed else image.height,
        "orientation": orientation,
        "image_format": image.get("vips-loader").partition("load")[0],
    } | ({"dpi": dpi} if image.xres != 1 and dpi > 0 else {})


def _colour_facts(image: Any) -> dict[str, Any]:
    space = str(image.interpretation)
    facts = {
        "color_space": _COLOURS.get(space, space),
        "bit_depth": _number(image, "bits-per-sample", _BITS.get(image.format, 8)),
        "pixel_channels": image.bands,
        "has_alpha": bool(image.hasalpha()),
    }
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    name = icc.profile_name(profile)
    return facts | ({"color_profile": name} if name else {})


def _page_facts(image: Any) -> dict[str, Any]:
    """Pages of a TIFF or pictures of an animation. Further pictures of a HEIF file are neither."""
    pages = _number(image, "n-pages", 1)
    loader = image.get("vips-loader")
    if loader.startswith("tiff"):
        return {"page_count": pages}
    if loader.startswith("heif"):
        return {}
    delays = image.get("delay") if image.get_typeof("delay") else []
    milliseconds = sum(delay if delay > MAX_REPLACED_DELAY else BROWSER_DELAY for delay in delays)
    return _animation_facts(pages, milliseconds / 1000, loop=_number(image, "loop", 0))


def _location(context: StepContext, image: Any) -> dict[str, Any]:
    """The location; or None, to replace the one that an earlier run stored under another profile."""
    if context.profile.get("show_location"):
        location = exif.location(lambda name: _text(image, f"exif-{name}"))
        if location:
            return {"location": location}
    return {"location": None} if "location" in context.facts else {}


def _number(image: Any, field: str, default: int) -> int:
    return int(image.get(field)) if image.get_typeof(field) else default


def _text(image: Any, field: str) -> str | None:
    return str(image.get(field)) if image.get_typeof(field) else None
