"""A sound as every browser plays it."""

from __future__ import annotations

from windlass.processing.contract import About, Makes, StepContext, StepResult
from windlass.processing.toolkit.recordings import AUDIO_TYPES, undecodable
from windlass.processing.toolkit.transcoding import transcode


class AudioPreview:
    """MP4 with AAC, mono or stereo, its index in front."""

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
        if (skipped := undecodable(context.file)) is not None:
            return skipped
        made, said = transcode(context, pictures=False)
        return StepResult(renditions=(made,), detail=said)
