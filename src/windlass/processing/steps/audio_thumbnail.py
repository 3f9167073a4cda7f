"""The picture on a record's sleeve."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult, damaged
from windlass.processing.toolkit import pictures, recordings


class AudioThumbnail:
    """The cover that a sound file carries, as its thumbnail. Where it carries none, the waveform's drawing is one."""

    about = About(
        name="audio_thumbnail",
        stage="derive",
        title="Looking for the cover",
        order=10,
        isolated=True,
        mime_types=recordings.AUDIO_TYPES,
        wanted_by="thumbnails",
        makes=pictures.MAKES,
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        pictures.prepare()

    def run(self, context: StepContext) -> StepResult:
        import pyvips

        with recordings.opened(context) as container, damaged(pyvips.Error, what="cover"):
            picture = recordings.cover(container)
            if picture is None:
                return StepResult(detail="no cover")
            return pictures.result(context, pictures.of_bytes(picture, pictures.largest(context)), what="cover")
