"""The calls of Uppy's ``@uppy/aws-s3`` (http-api section 5): uploads straight to the store, of which only JSON passes
here. Version 5 and 6 of the plugin say the same, but for what ``parse`` tells."""

from windlass.protocols.s3multipart.parse import (
    MAX_JSON_BODY,
    MAX_JSON_PARTS,
    key_of,
    parse_complete,
    parse_create,
    parse_key,
    parse_number,
    parse_numbers,
    parse_params,
    upload_of_key,
)
from windlass.protocols.s3multipart.render import (
    aborted,
    completed,
    created,
    invited,
    listed,
    part,
    parts,
    refused,
)

__all__ = [
    "MAX_JSON_BODY",
    "MAX_JSON_PARTS",
    "aborted",
    "completed",
    "created",
    "invited",
    "key_of",
    "listed",
    "parse_complete",
    "parse_create",
    "parse_key",
    "parse_number",
    "parse_numbers",
    "parse_params",
    "part",
    "parts",
    "refused",
    "upload_of_key",
]
