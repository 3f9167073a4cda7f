"""The profile's limits on the size of a file."""

from __future__ import annotations

from windlass.processing.contract import About, Rejection, StepContext, StepResult


class Size:
    """The receiver refuses files that are too large earlier; this step also applies the rule when reprocessing."""

    about = About(name="size", stage="intake", title="Checking the size", order=10, isolated=False)

    def run(self, context: StepContext) -> StepResult:
        size: int = context.facts["size"]
        least, most = context.profile["min_size"], context.profile["max_size"]
        if size < least:
            detail = f"The file has {size} bytes; at least {least} are needed."
            return StepResult(verdict=Rejection("size", detail, least, size))
        if most and size > most:
            detail = f"The file has {size} bytes; at most {most} are allowed."
            return StepResult(verdict=Rejection("size", detail, most, size))
        return StepResult(detail=f"{size} bytes")
