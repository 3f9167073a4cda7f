"""The thumbnail of a picture."""

from __future__ import annotations

from typing import Any

from windlass.kernel.media_types import BITMAP_IMAGES, RASTER_IMAGES, RAW_IMAGES, matches
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.pictures import raw_photos
from windlass.processing.toolkit import bitmap_decoding, frame_selection, recordings, thumbnails

#: Maximum bytes of the preview in a raw photograph.
MAX_PREVIEW_BYTES = 64 * 1024 * 1024


class Thumbnail:
    """Fits into a square of each of the profile's widths, upright, in sRGB, without metadata, never enlarged. Of an
    animation it is a picture that is not blank; of a damaged picture, what can be decoded.
    """

    about = About(
        name="thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=(*RASTER_IMAGES, *BITMAP_IMAGES, *RAW_IMAGES),
        wanted_by="thumbnails",
        makes=thumbnails.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        thumbnails.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        width, kind = thumbnails.largest_width(context), context.facts["mime_type"]
        with damaged(pyvips.Error, what="picture"):
            if matches(kind, BITMAP_IMAGES):
                bitmap = bitmap_decoding.decode(context.file, kind, context.facts["size"])
                return thumbnails.write_result(context, thumbnails.shrink_to_fit(bitmap, width).copy_memory())
            if matches(kind, RAW_IMAGES):
                return _raw_thumbnail(context, width)
            return thumbnails.write_result(context, _vips_image(context, width))


def _vips_image(context: StepContext, width: int) -> Any:
    """Return the picture; for a sequence without a main picture, a frame of it that is not blank."""
    import pyvips

    try:
        return thumbnails.from_file(context.file, width)
    except pyvips.Error:
        if not matches(context.facts["mime_type"], recordings.SEQUENCES):
            raise
        return frame_selection.select_frame(context, width)[0]


def _raw_thumbnail(context: StepContext, width: int) -> StepResult:
    """Use the preview that the camera stored in the file, rotated like the photograph."""
    photo = raw_photos.read_raw_photo(context.file, context.facts["size"])
    preview = next((each for each in photo.previews if each.length <= MAX_PREVIEW_BYTES), None) if photo else None
    if photo is None or preview is None:
        return StepResult(detail="no preview in it")
    context.file.seek(preview.offset)
    image = thumbnails.from_bytes(context.file.read(preview.length), width, orientation=photo.orientation)
    return thumbnails.write_result(context, image, what="preview")
