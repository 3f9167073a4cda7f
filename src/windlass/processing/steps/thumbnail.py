"""A small picture of a picture."""

from __future__ import annotations

from typing import Any

from windlass.kernel.media_types import BITMAP_IMAGES, RASTER_IMAGES, RAW_IMAGES, matches
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.formats.pictures import raw_photos
from windlass.processing.toolkit import bitmap_files, pictures, recordings, still

#: Bytes of a preview in a raw photograph.
LARGEST_PREVIEW = 64 * 1024 * 1024


class Thumbnail:
    """Fits into a square of each of the profile's widths, upright, in sRGB, without metadata. Never larger than the
    picture. Of an animation it is a still that is not blank; of a picture that is damaged, what can be decoded.
    """

    about = About(
        name="thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=(*RASTER_IMAGES, *BITMAP_IMAGES, *RAW_IMAGES),
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        pictures.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        width, kind = pictures.largest(context), context.facts["mime_type"]
        with damaged(pyvips.Error, what="picture"):
            if matches(kind, BITMAP_IMAGES):
                whole = bitmap_files.decoded(context.file, kind, context.facts["size"])
                return pictures.result(context, pictures.fitting(whole, width).copy_memory())
            if matches(kind, RAW_IMAGES):
                return _of_raw(context, width)
            return pictures.result(context, _of_picture(context, width))


def _of_picture(context: StepContext, width: int) -> Any:
    """Of a sequence without a picture of its own, the first one that shows something."""
    import pyvips

    try:
        return pictures.of_file(context.file, width)
    except pyvips.Error:
        if not matches(context.facts["mime_type"], recordings.SEQUENCES):
            raise
        return still.best_frame(context, width)[0]


def _of_raw(context: StepContext, width: int) -> StepResult:
    """The picture for viewing that the camera left in the file, turned as the photograph is."""
    photo = raw_photos.read_raw_photo(context.file, context.facts["size"])
    preview = next((each for each in photo.previews if each.length <= LARGEST_PREVIEW), None) if photo else None
    if photo is None or preview is None:
        return StepResult(detail="no preview in it")
    context.file.seek(preview.offset)
    image = pictures.of_bytes(context.file.read(preview.length), width, orientation=photo.orientation)
    return pictures.result(context, image, what="preview")
