"""``Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`` (tus 1.0.0, "Checksum")."""

from __future__ import annotations

import base64
import binascii

from windlass.kernel.errors import BadRequest
from windlass.protocols.digests import Checksum
from windlass.protocols.intents import Head
from windlass.protocols.tus.extensions import CHECKSUM_ALGORITHMS

_FIELD = "Upload-Checksum"


def parse_checksum(head: Head) -> tuple[Checksum, ...]:
    """Return the digest that the body must have; empty if none is announced. Raises BadRequest."""
    header = head.headers.get(_FIELD.lower())
    if header is None:
        return ()
    algorithm, _, value = header.strip().partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise BadRequest(
            f"{_FIELD} has the algorithm {algorithm[:20]!r}. Known here: {', '.join(CHECKSUM_ALGORITHMS)}.",
            field=_FIELD,
            algorithms=list(CHECKSUM_ALGORITHMS),
        )
    return (Checksum(algorithm, _decoded(value)),)


def _decoded(value: str) -> bytes:
    try:
        found = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{_FIELD} has a digest that is not base64.", field=_FIELD) from error
    if not found:
        raise BadRequest(f"{_FIELD} has no digest.", field=_FIELD)
    return found
