"""What Schemathesis needs to know beyond the OpenAPI document; it imports this module (``SCHEMATHESIS_HOOKS``)."""

from __future__ import annotations

import schemathesis

# The media types of a PATCH in tus and in the IETF protocol: bytes.
schemathesis.serializer.alias(
    ["application/offset+octet-stream", "application/partial-upload"], "application/octet-stream"
)
