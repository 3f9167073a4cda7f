"""Let the search find the text of a file."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult


class Index:
    """Splits the text of a file into passages, which the search finds. Files without text are found by their names and
    facts."""

    about = About(
        name="index",
        stage="derive",
        title="Indexing for the search",
        order=90,
        isolated=False,
        wanted_by="search",
        follows=("text", "ocr"),
        gives={"language": "ISO 639-1 code of the language of the text, such as `en`"},
    )

    def run(self, context: StepContext) -> StepResult:
        indexed = context.index_text()
        if indexed is None:
            return StepResult(detail="There is no text to search in.", skipped=True)
        language = {"language": indexed.language} if indexed.language else {}
        return StepResult(language, detail=f"{indexed.passages} passage{'s' * (indexed.passages != 1)}")
