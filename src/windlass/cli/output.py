"""How commands print values: JSON lines, sizes, names from strangers, and the outcome of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # the commands that run the server's processes start without the client
    from windlass.client import File

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object per line.")]

_GOOD_END_STATES = frozenset({"READY", "RELEASED"})


def json_line(document: Mapping[str, Any]) -> str:
    return json.dumps(document)


def error_document(error: Exception) -> dict[str, Any]:
    """The problem that the server answered with; ``detail`` alone where the error is not the server's."""
    return dict(getattr(error, "problem", {})) or {"detail": str(error)}


def printable(text: str) -> str:
    """Replace characters that could control a terminal: names come from whoever uploaded the file."""
    return "".join(each if each.isprintable() else " " for each in text)


def size_text(size: float) -> str:
    """Bytes for a person; the units are powers of 1024, as everywhere in Windlass."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TB"


def has_failed(file: File) -> bool:
    """Return whether processing ended otherwise than with a file that is ready or released."""
    return file.ended and file.status not in _GOOD_END_STATES


def outcome_line(file: File, name: str | None = None) -> str:
    """``name: STATUS id``, followed by the reason if the file was rejected or failed. ``name`` may have a folder."""
    line = f"{printable(name or file.original_filename)}: {file.status} {file.id}"
    if file.rejection:
        return f"{line}: {printable(file.rejection.detail)}"
    if file.status == "FAILED":
        return f"{line}: processing failed; `windlass files status {file.id}` shows the step"
    return line
