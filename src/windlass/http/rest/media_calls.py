"""The media API's calls that bring bytes, in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windlass.http.rest.byte_call import BINARY, ByteCall, json_of, model, query
from windlass.http.rest.chunk_calls import ASSEMBLING

_TAG = "Media"
_ROOT = "/api/v1/media/upload"


def _form(required: Sequence[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(required), "properties": dict(properties)}
    return {"multipart/form-data": {"schema": schema}}


_TEXT = {"type": "string"}
_KIND = {"type": "string", "enum": ["video", "image"]}
_CHUNK = {"upload_id": _TEXT, "chunk_index": {"type": "integer"}, "chunk": BINARY}
_POST = query("post_id", "Where the form has no such field.")
_MEDIA_TYPE = query("media_type", "Where the form has no such field.")
_ENTRY = {"anyOf": [model("MediaOut"), model("MediaError")]}

MEDIA_CALLS: Sequence[ByteCall] = (
    ByteCall(
        "POST",
        f"{_ROOT}/init",
        "begin_media",
        "Begin a picture or video in numbered chunks",
        {200: ("What to send", json_of("MediaUploadOut"))},
        _TAG,
        body=json_of("MediaUploadIn"),
    ),
    ByteCall(
        "POST",
        f"{_ROOT}/chunk",
        "send_media_chunk",
        "Send one chunk in a form; streamed where `upload_id` and `chunk_index` stand before it",
        {200: ("It is in", json_of("MediaChunkOut"))},
        _TAG,
        (
            query("upload_id", "Where the form has no such field."),
            query("chunk_index", "Where the form has no such field.", "integer"),
        ),
        body=_form(["upload_id", "chunk_index", "chunk"], _CHUNK),
    ),
    ByteCall(
        "GET",
        f"{_ROOT}/{{upload_id}}/status",
        "read_media_upload",
        "Which chunks are in and which is next",
        {200: ("How far it is", json_of("MediaUploadStatus"))},
        _TAG,
    ),
    ByteCall(
        "POST",
        f"{_ROOT}/{{upload_id}}/finalize",
        "finalize_media",
        "Make the file of the chunks, and wait for its facts and thumbnail",
        {200: ("The picture or video", json_of("MediaOut")), 202: ASSEMBLING},
        _TAG,
        body=json_of("FinalizeIn"),
    ),
    ByteCall(
        "DELETE", f"{_ROOT}/{{upload_id}}", "cancel_media_upload", "Give it up", {204: ("It has ended", {})}, _TAG
    ),
    ByteCall(
        "POST",
        f"{_ROOT}/simple",
        "send_media",
        "Send one picture or video of at most 50 MB, and wait for its facts and thumbnail",
        {200: ("The picture or video", json_of("MediaOut"))},
        _TAG,
        (_POST, _MEDIA_TYPE),
        body=_form(["file"], {"file": BINARY, "post_id": _TEXT, "media_type": _KIND}),
    ),
    ByteCall(
        "POST",
        f"{_ROOT}/images",
        "send_images",
        "Send up to ten pictures; one that is refused fails alone, in its place",
        {200: ("One entry for each", {"application/json": {"schema": {"type": "array", "items": _ENTRY}}})},
        _TAG,
        (_POST, _MEDIA_TYPE),
        body=_form(["images"], {"images": {"type": "array", "items": BINARY}, "post_id": _TEXT}),
    ),
)
