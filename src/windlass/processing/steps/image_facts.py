"""What a picture is: its size as displayed, its format. Reads the header, decodes nothing."""

from __future__ import annotations

from typing import Any

from windlass.kernel.media_types import RASTER_IMAGES
from windlass.processing.contract import About, StepContext, StepResult, damaged


class ImageFacts:
    about = About(
        name="image_facts",
        stage="describe",
        title="Reading the picture's facts",
        order=10,
        isolated=True,
        mime_types=RASTER_IMAGES,
        gives={
            "width": "pixels as displayed",
            "height": "pixels as displayed",
            "orientation": "EXIF orientation, 1 to 8",
            "image_format": "the picture's format as its decoder calls it",
            "channels": "channels of a pixel",
            "has_alpha": "whether it has transparency",
            "frames": "pictures of an animation, where there is more than one",
        },
        libraries=("pyvips",),
    )

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            source = pyvips.Source.new_from_descriptor(context.file.fileno())
            image = pyvips.Image.new_from_source(source, "", access="sequential")
        facts = _facts(image)
        return StepResult(facts, detail=f"{facts['width']}\N{MULTIPLICATION SIGN}{facts['height']}")


def _facts(image: Any) -> dict[str, Any]:
    orientation = _number(image, "orientation", 1)
    lying = orientation in (5, 6, 7, 8)  # EXIF: the sensor's rows are the picture's columns
    facts = {
        "width": image.height if lying else image.width,
        "height": image.width if lying else image.height,
        "orientation": orientation,
        "image_format": image.get("vips-loader").partition("load")[0],
        "channels": image.bands,
        "has_alpha": bool(image.hasalpha()),
    }
    frames = _number(image, "n-pages", 1)
    return facts | ({"frames": frames} if frames > 1 else {})


def _number(image: Any, field: str, default: int) -> int:
    return int(image.get(field)) if image.get_typeof(field) else default
