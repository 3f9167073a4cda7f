"""The preview steps: recordings as every browser plays them."""

from __future__ import annotations

from windlass.processing.contract import About, Makes, StepContext, StepResult
from windlass.processing.toolkit.preview_transcoding import transcode
from windlass.processing.toolkit.recordings import AUDIO_TYPES, VIDEO_TYPES, skip_if_undecodable


class AudioPreview:
    """MP4 with AAC, mono or stereo, the index in front."""

    about = About(
        name="audio_preview",
        stage="derive",
        title="Making the preview",
        order=50,
        isolated=True,
        weight=8,
        mime_types=AUDIO_TYPES,
        wanted_by="audio_preview",
        makes=(Makes("preview", "audio", ("audio/mp4",)),),
        libraries=("av",),
        long=True,
    )

    def run(self, context: StepContext) -> StepResult:
        if (skipped := skip_if_undecodable(context.file)) is not None:
            return skipped
        rendition, detail = transcode(context, with_video=False)
        return StepResult(renditions=(rendition,), detail=detail)


class VideoPreview:
    """MP4 with H.264 and AAC, upright, with square pixels, at most 30 frames per second and as high as the profile
    says, the index in front. A recording without video becomes an audio preview.
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
        rendition, detail = transcode(context, with_video=True)
        return StepResult(renditions=(rendition,), detail=detail)
