"""Writes extracted text to a step's output as a rendition: cleaned, in UTF-8, up to a limit. Form feeds part pages."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import BinaryIO

from windlass.processing.contract import MadeRendition, Makes, StepResult
from windlass.processing.formats.read_limits import MB, READING_SECONDS, Deadline

#: Between two pages, as pdftotext writes it.
PAGE_BREAK = "\f"
NAME, MIME_TYPE = "text", "text/plain; charset=utf-8"
MAKES = Makes(NAME, "text", (MIME_TYPE,))
#: The facts of every text rendition.
GIVES = {
    "text_characters": "characters of the text that was extracted from the file",
    "text_cut": "reason, if the text is incomplete",
}
MOST_BYTES = 16 * MB

_UNFIT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u200b\ufeff]")
_SPACE_AT_LINE_END = re.compile(r"(?<![ \t])[ \t]++\n")  # starts at the start of the run, or it would be quadratic
_LEADING_SPACE = re.compile(r"\A[^\S\f]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def page_of_text(number: int, text: str) -> str:
    """The text of the page of this number, from 0, as it follows those before it."""
    return f"{PAGE_BREAK if number else ''}{text.replace(PAGE_BREAK, ' ')}\n\n"


class TextRendition:
    """The text rendition of one file. ``why_cut``: why not all of the text was written."""

    def __init__(self, output: BinaryIO, seconds: float = READING_SECONDS) -> None:
        self._output, self._deadline = output, Deadline(seconds)
        self._breaks = io.IncrementalNewlineDecoder(None, translate=True)
        self._pending: list[str] = []
        self._start = output.tell()
        self._size = self._waiting = 0
        self.characters = 0
        self.why_cut = ""
        self._note = ""
        self._blank = True

    def note(self, why: str) -> None:
        """Note that the text to come is incomplete, and why; it is written nevertheless."""
        self._note = why

    def take(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            if not self.write(piece):
                return

    def write(self, piece: str) -> bool:
        """Write a piece. Returns False once nothing more is written."""
        if self._deadline.has_passed():
            self.why_cut = self.why_cut or "reading it took too long"
        if self.why_cut:
            return False
        self._pending.append(piece)
        self._waiting += len(piece)
        if self._waiting > MB // 4:
            self._flush()
        return not self.why_cut

    def finish(self, if_blank: str, **further_facts: int) -> StepResult:
        """Return the step's result. Blank text gets no rendition, and the detail ``if_blank``."""
        self._pending.append(self._breaks.decode("", final=True))
        self._flush()
        self._output.flush()
        self.why_cut = self.why_cut or self._note
        cut = {"text_cut": self.why_cut} if self.why_cut else {}
        if self._blank:
            return StepResult({"text_characters": 0, **further_facts, **cut}, detail=if_blank)
        facts = {"text_characters": self.characters, **further_facts, **cut}
        rendition = MadeRendition(NAME, MIME_TYPE, self._start, self._size)
        return StepResult(facts, (rendition,), detail=f"{self.characters} characters")

    def _flush(self) -> None:
        text = self._breaks.decode("".join(self._pending))
        self._pending, self._waiting = [], 0
        text = _EMPTY_LINES.sub("\n\n", _SPACE_AT_LINE_END.sub("\n", _UNFIT.sub("", text)))
        if self._blank:
            text = _LEADING_SPACE.sub("", text)
        data = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
        room = MOST_BYTES - self._size
        if len(data) > room:
            data = data[:room].decode("utf-8", "ignore").encode()
            self.why_cut = f"cut at {MOST_BYTES // MB} MiB"
        self._blank = self._blank and not text.strip()
        self._output.write(data)
        self._size += len(data)
        self.characters += len(text)
