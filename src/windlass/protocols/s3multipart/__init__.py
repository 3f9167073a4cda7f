"""The requests of Uppy's ``@uppy/aws-s3`` (http-api section 5): direct uploads to the store, with only JSON sent here.

Versions 5 and 6 of the plugin are supported; where they differ, ``parse`` says so.
"""

from windlass.protocols.s3multipart.parse import (
    MAX_JSON_BODY,
    MAX_JSON_PARTS,
    parse_complete,
    parse_create,
    parse_key,
    parse_number,
    parse_numbers,
    parse_params,
    parse_upload_key,
    upload_of_key,
)
from windlass.protocols.s3multipart.render import (
    aborted,
    completed,
    created,
    refused,
    signed_part,
    signed_parts,
    signed_request,
    uploaded_parts,
)

__all__ = [
    "MAX_JSON_BODY",
    "MAX_JSON_PARTS",
    "aborted",
    "completed",
    "created",
    "parse_complete",
    "parse_create",
    "parse_key",
    "parse_number",
    "parse_numbers",
    "parse_params",
    "parse_upload_key",
    "refused",
    "signed_part",
    "signed_parts",
    "signed_request",
    "upload_of_key",
    "uploaded_parts",
]
