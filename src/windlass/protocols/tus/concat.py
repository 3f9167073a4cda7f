"""``Upload-Concat: partial`` and ``Upload-Concat: final;/uploads/a /uploads/b`` (tus 1.0.0, "Concatenation")."""

from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

from windlass.kernel.errors import BadRequest
from windlass.kernel.ids import parse_id
from windlass.protocols.tus.extensions import PARTIAL

#: Distinct partial uploads that one final upload may be made of, and how many it may name in all.
MAX_PARTS = 10_000
MAX_NAMES = 100_000

_FIELD = "Upload-Concat"
_FINAL = "final;"


def parse(value: str) -> tuple[uuid.UUID, ...] | None:
    """Return the parts of a final upload, in order; None for a partial upload. Raises BadRequest."""
    text = value.strip()
    if text == PARTIAL:
        return None
    if not text.startswith(_FINAL):
        raise BadRequest(
            f"{_FIELD} is 'partial', or 'final;' and the URLs of partial uploads; not {text[:40]!r}.", field=_FIELD
        )
    urls = text.removeprefix(_FINAL).split()
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
    """Return the upload that a URL names. Its host is ignored: behind a proxy clients know another one."""
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    *_, folder, name = ["", *unquote(path).rstrip("/").split("/")]
    found = parse_id(name) if folder == "uploads" and "," not in path else None
    if found is None:
        raise BadRequest(f"{_FIELD} has a URL that is no upload here: {url[:80]!r}.", field=_FIELD)
    return found
