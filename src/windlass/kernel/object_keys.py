"""The keys under which stores keep what Windlass writes: received objects, renditions, and probes of ``check``.

A key never changes and contains nothing that a client chose.
"""

from __future__ import annotations

import uuid

OBJECTS, RENDITIONS, CHECKS = "objects/", "renditions/", ".check-"

#: What every key of Windlass starts with. A bucket may hold other objects, which the sweep must never see.
PREFIXES = (OBJECTS, RENDITIONS, CHECKS)


def object_key(upload_id: uuid.UUID) -> str:
    """Return the key of an upload's stored object, in one of 256 directories."""
    return f"{OBJECTS}{upload_id.hex[:2]}/{upload_id}"


def rendition_key(file_id: uuid.UUID, name: str) -> str:
    """Return the key of a rendition. Each attempt of its step writes the same one."""
    return f"{RENDITIONS}{file_id}/{name}"
