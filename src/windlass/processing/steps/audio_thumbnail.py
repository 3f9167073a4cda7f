"""The thumbnail of an audio file: its cover art."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import recordings, thumbnails


class AudioThumbnail:
    """The cover art of an audio file. Without cover art, the waveform step draws the thumbnail."""

    about = About(
        name="audio_thumbnail",
        stage="derive",
        title="Looking for the cover",
        order=10,
        isolated=True,
        mime_types=recordings.AUDIO_TYPES,
        wanted_by="thumbnails",
        makes=thumbnails.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        thumbnails.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with recordings.open_recording(context) as container, damaged(pyvips.Error, what="cover"):
            picture = recordings.cover_image(container)
            if picture is None:
                return StepResult(detail="no cover")
            return thumbnails.write_result(
                context, thumbnails.from_bytes(picture, thumbnails.largest_width(context)), what="cover"
            )
