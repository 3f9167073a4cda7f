"""A small picture of a video: one of its frames that shows something."""

from __future__ import annotations

from typing import Any

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import pictures, recordings, still
from windlass.processing.toolkit.rehearsal import SAMPLES
from windlass.processing.toolkit.waveforms import drawing, peaks


class VideoThumbnail:
    """A frame that is neither black nor blank, upright, with square pixels; high dynamic range is mapped to sRGB. Where
    a recording has sound only: the picture on its sleeve, else its waveform.
    """

    about = About(
        name="video_thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=recordings.VIDEO_TYPES,
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        pictures.prepare()
        with SAMPLES["video/mp4"].open("rb") as file:
            context = StepContext(file, {"mime_type": "video/mp4"}, {})
            with recordings.opened(context) as container:
                still.rehearse(container, recordings.main_video(container))

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            with recordings.opened(context) as container:
                if recordings.main_video(container) is None:
                    return self._of_sound(context, container)
            image, at = still.best_frame(context, pictures.largest(context))
            return pictures.result(context, image, what=f"at {at:.1f} s")

    def _of_sound(self, context: StepContext, container: Any) -> StepResult:
        picture = recordings.cover(container)
        if picture is not None:
            return pictures.result(context, pictures.of_bytes(picture, pictures.largest(context)), what="cover")
        if recordings.main_audio(container) is None:
            return StepResult(detail="The recording has neither pictures nor sound.")
        return pictures.result(context, drawing(peaks(container, context.report), pictures.largest(context)))
