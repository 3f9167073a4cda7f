"""``Upload-Concat: partial`` and ``Upload-Concat: final;/uploads/a /uploads/b`` (tus 1.0.0, "Concatenation")."""

from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

from windlass.kernel.errors import BadRequest
from windlass.kernel.ids import parse_id
from windlass.protocols.tus.dialect import PARTIAL

_FIELD = "Upload-Concat"
_FINAL = "final;"


def parse(value: str) -> tuple[uuid.UUID, ...] | None:
    """The parts of a final upload, in order; None for a partial one. Raises BadRequest."""
    said = value.strip()
    if said == PARTIAL:
        return None
    if not said.startswith(_FINAL):
        raise BadRequest(
            f"{_FIELD} is 'partial', or 'final;' and the URLs of partial uploads; not {said[:40]!r}.", field=_FIELD
        )
    parts = tuple(_upload_of(url) for url in said.removeprefix(_FINAL).split())
    if not parts:
        raise BadRequest(f"{_FIELD} names no partial upload.", field=_FIELD)
    return parts


def _upload_of(url: str) -> uuid.UUID:
    """The upload that a URL of ours names, absolute or relative: a proxy may have given the client another host."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    *_, folder, name = ["", *unquote(path).rstrip("/").split("/")]
    found = parse_id(name) if folder == "uploads" and "," not in path else None
    if found is None:
        raise BadRequest(f"{_FIELD} has a URL that is no upload here: {url[:80]!r}.", field=_FIELD)
    return found
