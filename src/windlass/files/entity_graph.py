"""Where the entities of files are kept. The knowledge app, a layer above, sets it when it is loaded; a project without
that app has no graph, and its files are not searched for entities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


class ExtractionPostponed(Exception):
    """Entities cannot be extracted now. The message is for the file's owner."""


class ExtractionFailed(Exception):
    """Entities cannot be extracted from this file. The message is for the file's owner."""


@dataclass(frozen=True, slots=True)
class PreparedGraph:
    """What was found in a file, as it will be stored. ``is_cut``: there was more than the bounds allow."""

    facts: Any
    entities: int
    relations: int
    is_cut: bool


class EntityGraph(Protocol):
    def extract(
        self, file_id: UUID, owner: str, passages: Sequence[Any] | None, report: Callable[[int], None]
    ) -> PreparedGraph | None:
        """Search a file's text for entities, outside of any transaction. None if it has no text.

        ``passages``: as ``TextIndex.prepare`` made them, if they are not stored yet. ``report`` takes percents, and may
        raise. Raises ExtractionPostponed, ExtractionFailed.
        """
        ...

    def available(self) -> bool:
        """Whether ``extract`` may succeed now. Quick."""
        ...

    def breaker_names(self) -> Sequence[str]:
        """The circuit breakers of the services that the settings name."""
        ...

    def replace(self, file_id: UUID, prepared: PreparedGraph) -> None:
        """Store this, and no longer what was stored of the file, within the caller's transaction."""
        ...

    def remove(self, file_id: UUID) -> None:
        """Remove what is stored of the file, within the caller's transaction."""
        ...


_graph: EntityGraph | None = None


def use_entity_graph(graph: EntityGraph) -> None:
    global _graph
    _graph = graph


def entity_graph() -> EntityGraph | None:
    return _graph
