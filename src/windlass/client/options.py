"""What a caller may say about an upload."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

Progress = Callable[[int, int], None]
Notice = Callable[[str], None]

#: Keys of tus metadata that the server gives a meaning of its own.
_RESERVED = frozenset({"filename", "name", "filetype", "type", "profile", "reference", "sha256"})


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of ``upload``; their meaning stands at Wanted."""

    filename: str | None
    content_type: str | None
    profile: str | None
    reference: str | None
    metadata: Mapping[str, Any] | None
    sha256: str | Literal[True] | None
    on_progress: Progress | None
    on_notice: Notice | None
    chunk_size: int | None
    resume: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one upload is to be made.

    ``filename``: the source's own name if None. ``content_type``: what is declared; guessed from the name if None.
    ``metadata``: shown in the record; values that are no text travel as JSON.
    ``sha256``: the digest in hexadecimal, or True to compute it first; the server refuses bytes that prove another.
    ``on_progress(sent, total)``: bytes handed over, corrected by what the server has after an interruption, so it
    may fall. ``on_notice(text)``: what a person may want to know: interruptions, and from where it goes on.
    ``chunk_size``: most bytes of one request; None sends all that is left in one, which is the fastest.
    ``resume``: go on with an earlier upload of the same file to the same server. A file object has no lasting name:
    it is resumed within the call only.
    """

    filename: str | None = None
    content_type: str | None = None
    profile: str | None = None
    reference: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None)
    sha256: str | Literal[True] | None = None
    on_progress: Progress | None = None
    on_notice: Notice | None = None
    chunk_size: int | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError("chunk_size must be at least 1 byte.")
        for key in self.metadata or {}:
            if not key or not key.isascii() or not key.isprintable() or set(key) & {" ", ","} or key in _RESERVED:
                raise ValueError(
                    f"{key!r} cannot be a key of metadata: ASCII, no space or comma, and not {_reserved()}."
                )

    def told(self) -> dict[str, Any]:
        """What makes an upload another one, besides server and file."""
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "profile": self.profile,
            "reference": self.reference,
            "metadata": None if self.metadata is None else {key: _text(value) for key, value in self.metadata.items()},
            "sha256": self.sha256,
        }

    def tus_metadata(self, name: str | None, digest: str | None) -> str:
        """The value of ``Upload-Metadata``."""
        filename = self.filename or name or "unnamed"
        pairs = {
            "filename": filename,
            "filetype": self.content_type or mimetypes.guess_type(filename)[0],
            "profile": self.profile,
            "reference": self.reference,
            "sha256": digest,
            **(self.metadata or {}),
        }
        said = ((key, _text(value)) for key, value in pairs.items() if value is not None)
        return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _reserved() -> str:
    return ", ".join(sorted(_RESERVED))
