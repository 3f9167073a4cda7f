"""Uppy's S3 calls in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from windlass.http.rest.byte_call import ByteCall, json_of, model, query

_REFUSED = {"application/json": {"schema": model("StraightRefusal")}}
_KEY = query("key", "As it was given with the upload's id.")
_PARTS: dict[str, Any] = {"application/json": {"schema": {"type": "array", "items": model("SentPart")}}}
_COMPLETED = {200: ("The file; again the same", json_of("StraightUploadCompleted"))}
_MULTIPART = "/s3/multipart/{upload_id}"

_call = partial(ByteCall, tag="Straight to the bucket", refusal=_REFUSED, head=False)

STRAIGHT_CALLS: Sequence[ByteCall] = (
    _call(
        "GET",
        "/s3/params",
        "params_for_store",
        "Where to send a file to the store in one request",
        {200: ("What to send", json_of("StraightRequestOut"))},
        parameters=(
            query("filename", "The file's name."),
            query("type", "What the client takes it for."),
            query("method", "`PUT`: no form; `metadata[size]` is needed."),
            query("metadata[size]", "Bytes. Likewise `profile`, `reference`, `sha256` and fields for the record."),
        ),
    ),
    _call(
        "POST",
        "/s3/params/complete",
        "complete_params_for_store",
        "Say that the file was sent, so that it need not be looked for",
        _COMPLETED,
        parameters=(_KEY,),
    ),
    _call(
        "POST",
        "/s3/multipart",
        "begin_parts_for_store",
        "Begin an upload in parts, straight to the store",
        {200: ("Its id and key", json_of("StraightUploadOut"))},
        body=json_of("StraightUploadIn"),
    ),
    _call(
        "GET",
        _MULTIPART,
        "list_parts_at_store",
        "The parts that the store has",
        {200: ("In order of their numbers", _PARTS)},
        parameters=(_KEY,),
    ),
    _call(
        "GET",
        _MULTIPART + "/{number}",
        "sign_part_for_store",
        "Where to send one part",
        {200: ("A URL to PUT it to", json_of("PartUrl"))},
        parameters=(_KEY,),
    ),
    _call(
        "GET",
        _MULTIPART + "/batch",
        "sign_parts_for_store",
        "Where to send several parts",
        {200: ("A URL for each", json_of("PartUrls"))},
        parameters=(_KEY, query("partNumbers", "Separated by commas.")),
    ),
    _call(
        "POST",
        _MULTIPART + "/complete",
        "complete_parts_at_store",
        "All parts were sent: they are compared with the store's, and become a file",
        _COMPLETED,
        parameters=(_KEY,),
        body=json_of("NamedPartsIn"),
    ),
    _call(
        "DELETE",
        _MULTIPART,
        "abort_parts_at_store",
        "Give the upload up",
        {200: ("An empty object", {"application/json": {"schema": {"type": "object"}}})},
        parameters=(_KEY,),
    ),
)
