"""The thumbnail of a video: a frame that is not blank."""

from __future__ import annotations

from typing import Any

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import frame_selection, recordings, thumbnails
from windlass.processing.toolkit.warm_up import SAMPLES
from windlass.processing.toolkit.waveforms import compute_peaks, draw_waveform


class VideoThumbnail:
    """A frame that is neither black nor blank, upright, with square pixels; high dynamic range is mapped to sRGB. Of a
    recording without video: its cover art, else its waveform.
    """

    about = About(
        name="video_thumbnail",
        stage="derive",
        title="Making the thumbnail",
        order=10,
        isolated=True,
        mime_types=recordings.VIDEO_TYPES,
        wanted_by="thumbnails",
        makes=thumbnails.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        thumbnails.prepare()
        with SAMPLES["video/mp4"].open("rb") as file:
            context = StepContext(file, {"mime_type": "video/mp4"}, {})
            with recordings.open_recording(context) as container:
                frame_selection.warm_up(container, recordings.main_video_stream(container))

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with damaged(pyvips.Error, what="picture"):
            with recordings.open_recording(context) as container:
                if recordings.main_video_stream(container) is None:
                    return self._audio_thumbnail(context, container)
            image, at = frame_selection.select_frame(context, thumbnails.largest_width(context))
            return thumbnails.write_result(context, image, what=f"at {at:.1f} s")

    def _audio_thumbnail(self, context: StepContext, container: Any) -> StepResult:
        picture = recordings.cover_image(container)
        if picture is not None:
            return thumbnails.write_result(
                context, thumbnails.from_bytes(picture, thumbnails.largest_width(context)), what="cover"
            )
        if recordings.main_audio_stream(container) is None:
            return StepResult(detail="The recording has neither pictures nor sound.")
        return thumbnails.write_result(
            context, draw_waveform(compute_peaks(container, context.report), thumbnails.largest_width(context))
        )
