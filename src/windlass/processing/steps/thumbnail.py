"""A small picture of a picture."""

from __future__ import annotations

from windlass.kernel.media_types import RASTER_IMAGES, matches
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import bitmap_files, pictures, recordings, still


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
        mime_types=(*RASTER_IMAGES, *bitmap_files.TYPES),
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
            if matches(kind, bitmap_files.TYPES):
                whole = bitmap_files.decoded(context.file, kind, context.facts["size"])
                return pictures.result(context, pictures.fitting(whole, width).copy_memory())
            try:
                image = pictures.of_file(context.file, width)
            except pyvips.Error:
                if not matches(kind, recordings.SEQUENCES):
                    raise
                image, _ = still.best_frame(context, width)
            return pictures.result(context, image)
