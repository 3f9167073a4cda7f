"""Find an earlier file of the same owner with the same content."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult


class Duplicate:
    """Only the owner's own files are compared: nobody learns that somebody else has a file."""

    about = About(
        name="duplicate",
        stage="intake",
        title="Looking for the same content",
        order=30,
        isolated=False,
        gives={"duplicate_of": "id of the earlier file with the same content"},
    )

    def run(self, context: StepContext) -> StepResult:
        original = context.find_original(context.facts["checksum"])
        detail = f"The same content as file {original}" if original else "New content"
        return StepResult({"duplicate_of": original}, detail=detail)
