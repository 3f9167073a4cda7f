"""The chunk API in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence

from windlass.http.rest.byte_call import BINARY, ByteCall, header, json_of

_TAG = "Chunks"
ASSEMBLING = ("The digest of the whole is still being worked out", json_of("ChunkUploadAssembling"))
_CHUNK_DIGEST = (
    header("Content-Digest", "`sha-256=:BASE64:`, the digest of this chunk (RFC 9530)."),
    header("X-Checksum-SHA256", "The same in hex."),
)

CHUNK_CALLS: Sequence[ByteCall] = (
    ByteCall(
        "POST",
        "/api/v1/upload/init",
        "begin_chunks",
        "Begin an upload in numbered chunks",
        {201: ("What to send", json_of("ChunkUploadOut"))},
        _TAG,
        body=json_of("ChunkUploadIn"),
    ),
    ByteCall(
        "POST",
        "/api/v1/upload/chunk",
        "send_chunk",
        "Send one chunk as base64 in JSON, in any order, as often as needed",
        {200: ("It is in", json_of("ChunkOut"))},
        _TAG,
        body=json_of("ChunkIn"),
    ),
    ByteCall(
        "PUT",
        "/api/v1/upload/{upload_id}/chunks/{index}",
        "put_chunk",
        "Send one chunk as the body: the fast way",
        {200: ("It is in", json_of("ChunkOut"))},
        _TAG,
        _CHUNK_DIGEST,
        {"application/octet-stream": {"schema": BINARY}},
    ),
    ByteCall(
        "POST",
        "/api/v1/upload/complete",
        "complete_chunks",
        "Make the file of the chunks",
        {
            200: ("The file", json_of("ChunkUploadCompleted")),
            202: ASSEMBLING,
        },
        _TAG,
        body=json_of("UploadRef"),
    ),
    ByteCall(
        "POST",
        "/api/v1/upload/cancel",
        "cancel_chunks",
        "Give an upload in chunks up",
        {200: ("It has ended", json_of("ChunkUploadCancelled"))},
        _TAG,
        body=json_of("UploadRef"),
    ),
    ByteCall(
        "GET",
        "/api/v1/upload/status/{upload_id}",
        "read_chunks",
        "Which chunks are in and which are missing",
        {200: ("How far it is", json_of("UploadStatusOut"))},
        _TAG,
    ),
)
