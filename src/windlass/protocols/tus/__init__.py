"""tus 1.0.0 (https://tus.io/protocols/resumable-upload) with the extensions that ``extensions`` lists."""

from windlass.protocols.tus.extensions import VERSION
from windlass.protocols.tus.metadata import decode as decode_metadata
from windlass.protocols.tus.parse import may_have_an_empty_body, parse
from windlass.protocols.tus.render import aborted, appended, created, discovered, queried, refused

__all__ = [
    "VERSION",
    "aborted",
    "appended",
    "created",
    "decode_metadata",
    "discovered",
    "may_have_an_empty_body",
    "parse",
    "queried",
    "refused",
]
