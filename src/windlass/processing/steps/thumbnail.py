"""A small picture of a picture."""

from __future__ import annotations

from typing import Any

from windlass.kernel.media_types import RASTER_IMAGES
from windlass.processing.contract import About, MadeRendition, Makes, PermanentError, StepContext, StepResult, damaged

#: Above this many pixels nothing is decoded (guarantees, ASVS 5.2.6): 16383 squared, as sharp has it.
MAX_PIXELS = 16383 * 16383


class Thumbnail:
    """Fits into a square of the profile's width, upright, in sRGB, without metadata. Never larger than the picture.

    Of a picture that is damaged it shows what can be decoded.
    """

    about = About(
        name="thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=RASTER_IMAGES,
        wanted_by="thumbnails",
        makes=(Makes("thumbnail", "image", ("image/webp", "image/jpeg")),),
        libraries=("pyvips",),
    )

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            _check_pixels(context)
            small = pyvips.Image.thumbnail_source(
                _source(context),
                context.profile["thumbnail_width"],
                size="down",
                output_profile="srgb",
            )
            made = _save(context, small)
        return StepResult(renditions=(made,), detail=f"{made.width}\N{MULTIPLICATION SIGN}{made.height}")


def _source(context: StepContext) -> Any:
    import pyvips

    context.file.seek(0)
    return pyvips.Source.new_from_descriptor(context.file.fileno())


def _check_pixels(context: StepContext) -> None:
    import pyvips

    header = pyvips.Image.new_from_source(_source(context), "", access="sequential")
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise PermanentError(f"The picture has {pixels} pixels; at most {MAX_PIXELS} are decoded.")


def _save(context: StepContext, image: Any) -> MadeRendition:
    """Metadata stays behind: it may say where the picture was taken."""
    if context.profile["thumbnail_format"] == "jpeg":
        if image.hasalpha():
            image = image.flatten(background=255)
        mime_type, data = "image/jpeg", image.jpegsave_buffer(Q=82, keep="none")
    else:
        mime_type, data = "image/webp", image.webpsave_buffer(Q=80, effort=2, keep="none")
    return context.add_rendition("thumbnail", mime_type, data, width=image.width, height=image.height)
