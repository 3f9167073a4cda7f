"""Run a step once in the sandbox's parent before there is a file.

Libraries load modules, tables and codecs at their first use. After the warm-up every child that is forked has them.
The samples are files of Windlass, so nothing hostile is parsed. A step whose library starts threads must not be warmed
up this way: a fork would copy the locks of the threads without the threads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from windlass.processing.contract import Step, StepContext

_SAMPLES = Path(__file__).parent.parent / "warm_up_samples"

#: Type -> a small file of that type.
SAMPLES: Mapping[str, Path] = {
    "application/pdf": _SAMPLES / "page.pdf",
    "image/jpeg": _SAMPLES / "picture.jpg",
    "text/plain": _SAMPLES / "note.txt",
    "video/mp4": _SAMPLES / "clip.mp4",
}


def warm_up(step: Step, *mime_types: str) -> None:
    """Run the step on the sample of each type. Raises what the step raises."""
    for mime_type in mime_types:
        path = SAMPLES[mime_type]
        with path.open("rb") as file:
            facts = {"filename": path.name, "size": path.stat().st_size, "metadata": {}, "mime_type": mime_type}
            step.run(StepContext(file, facts, {}, io.BytesIO()))
