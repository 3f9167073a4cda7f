"""Let the search find the text of a file by its meaning."""

from __future__ import annotations

from windlass.processing.contract import About, Owed, StepContext, StepResult, Unavailable


class Embed:
    """Has the model make a vector of each passage of the text. While the model is away the step is postponed, and the
    file is found by its words."""

    about = About(
        name="embed",
        stage="derive",
        title="Indexing for the search by meaning",
        order=95,
        isolated=False,
        weight=2,
        wanted_by="embeddings",
        follows=("index",),
    )

    def available(self) -> bool:
        # The sandbox's parent loads every step and has no settings, so what needs them is imported on use.
        from windlass.processing import text_embedding

        return text_embedding.is_possible()

    def run(self, context: StepContext) -> StepResult:
        try:
            count = context.embed_text()
        except Unavailable as error:
            raise Owed(str(error)) from error
        if not count:
            return StepResult(detail="There is no text to search in.", skipped=True)
        return StepResult(detail=f"{count} vector{'s' * (count != 1)}")
