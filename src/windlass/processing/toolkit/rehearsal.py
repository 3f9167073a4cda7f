"""Going through a step once, in the sandbox's parent, before there is a file: what libraries do at their first use
(modules, tables, classes, codecs) is then done for every child that is forked later.

The samples are files of ours, so nothing hostile is parsed. A step that lets a library start threads must not be
rehearsed: a fork would copy the locks of the threads without the threads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from windlass.processing.contract import Step, StepContext

_SAMPLES = Path(__file__).parent.parent / "samples"

#: Type -> a small file of that type.
SAMPLES: Mapping[str, Path] = {
    "application/pdf": _SAMPLES / "page.pdf",
    "image/jpeg": _SAMPLES / "picture.jpg",
    "text/plain": _SAMPLES / "note.txt",
    "video/mp4": _SAMPLES / "clip.mp4",
}


def rehearse(step: Step, *mime_types: str) -> None:
    """Do the step over the sample of each type. Raises what the step raises."""
    for mime_type in mime_types:
        path = SAMPLES[mime_type]
        with path.open("rb") as file:
            facts = {"filename": path.name, "size": path.stat().st_size, "metadata": {}, "mime_type": mime_type}
            step.run(StepContext(file, facts, {}, io.BytesIO()))
