"""A small picture of a picture."""

from __future__ import annotations

from windlass.kernel.media_types import RASTER_IMAGES
from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import pictures


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
        mime_types=RASTER_IMAGES,
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("pyvips",),
    )

    def prepare(self) -> None:
        pictures.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            return pictures.result(context, pictures.of_file(context.file, pictures.largest(context)))
