"""The cost class of a job: by the size of its file, and by what its stage does with it."""

from __future__ import annotations

from windlass import conf
from windlass.jobs.states import CostClass


def cost_class(size: int, *, takes_long: bool = False) -> CostClass:
    """``size``: of the file (bytes). ``takes_long``: the stage has a step that takes long, such as the preview of a
    film or OCR."""
    return CostClass.HEAVY if takes_long or size >= conf.get().heavy_file_mb * conf.MB else CostClass.LIGHT
