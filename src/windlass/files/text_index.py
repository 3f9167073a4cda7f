"""Where the texts of files are indexed for the search. The knowledge app, a layer above, sets it when it is loaded; a
project without that app has no search, and its files are not indexed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text as it will be indexed. ``language``: ISO 639-1, empty if unknown."""

    passages: Sequence[Any]
    language: str


NO_TEXT = PreparedText((), "")

#: A transaction that commits only while the caller may still write about the file.
LeasedTransaction = Callable[[], AbstractContextManager[object]]


class TextModelAway(Exception):
    """The model that makes vectors does not answer now. The message is for the file's owner."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TextModelRefused(Exception):
    """The model cannot make vectors of this text. The message is for the file's owner."""


class TextIndex(Protocol):
    def prepare(self, text: str, *, one_page: bool) -> PreparedText:
        """Split a text rendition; needs no database. ``one_page``: a text without page breaks is one page."""
        ...

    def begin(self, file_id: UUID, prepared: PreparedText, leased: LeasedTransaction) -> None:
        """Index all but the last part of a long text, in transactions of a bounded size, which replace the same parts
        of what was indexed before. ``replace`` completes it; of a short text, it does all."""
        ...

    def replace(self, file_id: UUID, prepared: PreparedText) -> None:
        """Index this text of the file, and no longer what was indexed of it, within the caller's transaction."""
        ...

    def can_embed(self) -> bool:
        """Whether ``embed`` may succeed now. Quick."""
        ...

    def embed(self, file_id: UUID, leased: LeasedTransaction) -> int:
        """Make the vectors of the file's passages that lack one of the current model, and delete those of other
        models. Return how many passages the file has. What is done remains done if it is interrupted.

        Raises TextModelAway, TextModelRefused.
        """
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
