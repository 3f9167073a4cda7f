"""``Upload-Concat: partial`` and ``Upload-Concat: final;/uploads/a /uploads/b`` (tus 1.0.0, "Concatenation")."""

from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

from windlass.kernel.errors import BadRequest
from windlass.kernel.ids import parse_id
from windlass.protocols.tus.extensions import PARTIAL

#: Partial uploads that one final upload may be made of, and how often it may name them in all.
MAX_PARTS = 10_000
MAX_NAMES = 100_000

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
    urls = said.removeprefix(_FINAL).split()
    if not urls:
        raise BadRequest(f"{_FIELD} names no partial upload.", field=_FIELD)
    if len(urls) > MAX_NAMES:
        raise _too_many(f"names partial uploads {len(urls)} times; {MAX_NAMES} times are allowed", MAX_NAMES)
    if len(distinct := set(urls)) > MAX_PARTS:
        raise _too_many(f"names {len(distinct)} partial uploads; {MAX_PARTS} are allowed", MAX_PARTS)
    uploads = {url: _upload_of(url) for url in distinct}
    return tuple(uploads[url] for url in urls)


def _too_many(what: str, limit: int) -> BadRequest:
    return BadRequest(f"{_FIELD} {what}. Join them in several steps with fewer parts.", field=_FIELD, limit=limit)


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
