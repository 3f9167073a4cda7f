"""The outline of a sound, for players to draw."""

from __future__ import annotations

import json
from typing import Any

from windlass.processing.contract import About, MadeRendition, Makes, StepContext, StepResult
from windlass.processing.toolkit import pictures, recordings
from windlass.processing.toolkit.waveforms import Peaks, drawing, peaks


class Waveform:
    """The lowest and highest level of up to 800 stretches, as JSON; and drawn, as the thumbnail of a sound that carries
    no cover. At most a minute is spent on it: of a sound that takes longer the beginning is shown.
    """

    about = About(
        name="waveform",
        stage="derive",
        title="Drawing the waveform",
        order=20,
        isolated=True,
        weight=2,
        mime_types=recordings.AUDIO_TYPES,
        wanted_by="waveforms",
        makes=(Makes("waveform", "waveform", ("application/json",)), *pictures.MAKES),
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        pictures.prepare()

    def run(self, context: StepContext) -> StepResult:
        if (skipped := recordings.undecodable(context.file)) is not None:
            return skipped
        with recordings.opened(context) as container:
            if recordings.main_audio(container) is None:
                return StepResult(detail="The recording has no sound.")
            covered = recordings.cover(container) is not None
        with recordings.opened(context) as container:
            found = peaks(container, context.report)
        made = [_document(context, found)]
        if context.profile["thumbnails"] and not covered:
            made += pictures.save(context, drawing(found, pictures.largest(context)))
        said = f"{len(found.pairs)} points"
        return StepResult(renditions=tuple(made), detail=f"{said}; {found.cut_short}" if found.cut_short else said)


def _document(context: StepContext, found: Peaks) -> MadeRendition:
    said: dict[str, Any] = found.document()
    return context.add_rendition("waveform", "application/json", json.dumps(said, separators=(",", ":")).encode())
