"""A video as every browser plays it."""

from __future__ import annotations

from windlass.processing.contract import About, Makes, StepContext, StepResult
from windlass.processing.toolkit.recordings import VIDEO_TYPES
from windlass.processing.toolkit.transcoding import transcode


class VideoPreview:
    """MP4 with H.264 and AAC, upright, with square pixels, at most as high as the profile says and 30 frames a second,
    its index in front. Of a recording that has sound only, the sound.
    """

    about = About(
        name="video_preview",
        stage="derive",
        title="Making the preview",
        order=50,
        isolated=True,
        weight=20,
        mime_types=VIDEO_TYPES,
        wanted_by="video_preview",
        makes=(Makes("preview", "video", ("video/mp4", "audio/mp4")),),
        libraries=("av",),
        long=True,
    )

    def run(self, context: StepContext) -> StepResult:
        made, said = transcode(context, pictures=True)
        return StepResult(renditions=(made,), detail=said)
