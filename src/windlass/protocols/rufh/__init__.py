"""Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload): one code path for every supported version."""

from windlass.protocols.rufh.interop import Interop
from windlass.protocols.rufh.interop import of as interop_of
from windlass.protocols.rufh.parse import parse
from windlass.protocols.rufh.render import (
    UPLOAD_RESUMPTION_SUPPORTED,
    Refusal,
    aborted,
    begun,
    discovered,
    queried,
    refused,
    taken,
)

__all__ = [
    "UPLOAD_RESUMPTION_SUPPORTED",
    "Interop",
    "Refusal",
    "aborted",
    "begun",
    "discovered",
    "interop_of",
    "parse",
    "queried",
    "refused",
    "taken",
]
