"""Where the texts of files are indexed for the search. The knowledge app, a layer above, sets it when it is loaded; a
project without that app has no search, and its files are not indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text as it will be indexed. ``language``: ISO 639-1, empty if unknown."""

    passages: Sequence[Any]
    language: str


NO_TEXT = PreparedText((), "")


class TextIndex(Protocol):
    def prepare(self, text: str, *, one_page: bool) -> PreparedText:
        """Split a text rendition; needs no database. ``one_page``: a text without page breaks is one page."""
        ...

    def replace(self, file_id: UUID, prepared: PreparedText) -> None:
        """Index this text of the file, and no longer what was indexed of it, within the caller's transaction."""
        ...

    def remove(self, file_id: UUID) -> None:
        """Remove what is indexed of the file, within the caller's transaction."""
        ...

    def breaker_names(self) -> Sequence[str]:
        """The circuit breakers of the models that the settings name."""
        ...


_index: TextIndex | None = None


def use_text_index(index: TextIndex) -> None:
    global _index
    _index = index


def text_index() -> TextIndex | None:
    return _index
