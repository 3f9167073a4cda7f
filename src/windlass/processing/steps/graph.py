"""Find the people, companies, days and sums that a text names."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult


class Graph:
    """Searches the text of a file for entities, and for what it says about them (setting GRAPH). It is postponed while
    the model that does it is away or its daily budget is used up."""

    about = About(
        name="graph",
        stage="derive",
        title="Finding entities",
        order=96,
        isolated=False,
        weight=2,
        wanted_by="graph",
        follows=("index",),
    )

    def available(self) -> bool:
        # The sandbox's parent loads every step and has no settings, so what needs them is imported on use.
        from windlass.processing.entity_extraction import extraction_available

        return extraction_available()

    def run(self, context: StepContext) -> StepResult:
        found = context.extract_entities()
        if found is None:
            return StepResult(detail="There is no text to find entities in.", skipped=True)
        entities = f"{found.entities} {'entity' if found.entities == 1 else 'entities'}"
        relations = f"{found.relations} relation{'s' * (found.relations != 1)}"
        return StepResult(detail=f"{entities}, {relations}{'; not all of the text' if found.is_cut else ''}")
