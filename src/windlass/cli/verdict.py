"""What became of a file, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.cli.remote import printable

if TYPE_CHECKING:
    from windlass.client import File

#: End states that are as somebody wanted.
_GOOD = frozenset({"READY", "RELEASED"})


def accepted(file: File) -> bool:
    """Whether nothing went wrong with the file (so far)."""
    return file.status in _GOOD or not file.ended


def verdict(file: File) -> str:
    """``name: STATUS id``, and why, where it was refused."""
    line = f"{printable(file.original_filename)}: {file.status} {file.id}"
    if file.rejection:
        return f"{line}: {printable(file.rejection.detail)}"
    if file.status == "FAILED":
        return f"{line}: processing gave up; `windlass files status {file.id}` says where"
    return line
