"""The waveform of an audio file, as data for players and as a thumbnail."""

from __future__ import annotations

import json

from windlass.processing.contract import About, Makes, StepContext, StepResult
from windlass.processing.toolkit import recordings
from windlass.processing.toolkit.thumbnail_encoding import MAKES, largest_width, load_operations, write_renditions
from windlass.processing.toolkit.waveforms import compute_peaks, draw_waveform


class Waveform:
    """The lowest and highest level of up to 800 segments, as JSON; and drawn as the thumbnail of an audio file without
    cover art. Takes at most a minute; of longer audio it shows the beginning.
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
        makes=(Makes("waveform", "waveform", ("application/json",)), *MAKES),
        libraries=("av", "pyvips"),
    )

    def prepare(self) -> None:
        load_operations()

    def run(self, context: StepContext) -> StepResult:
        if (skipped := recordings.skip_if_undecodable(context.file)) is not None:
            return skipped
        with recordings.open_recording(context) as container:
            if recordings.main_audio_stream(container) is None:
                return StepResult(detail="The recording has no sound.")
            has_cover = recordings.cover_image(container) is not None
        with recordings.open_recording(context) as container:
            waveform = compute_peaks(container, context.report)
        data = json.dumps(waveform.document(), separators=(",", ":")).encode()
        renditions = [context.add_rendition("waveform", "application/json", data)]
        if context.profile["thumbnails"] and not has_cover:
            renditions += write_renditions(context, draw_waveform(waveform, largest_width(context)))
        remark = f"; {waveform.cut_short}" if waveform.cut_short else ""
        return StepResult(renditions=tuple(renditions), detail=f"{len(waveform.pairs)} points{remark}")
