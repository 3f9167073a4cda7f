"""The calls that carry bytes, described for the OpenAPI document: they are served beside Ninja, which cannot see them.

Paths are written as the byte plane's routes are, so that a test can hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windlass.http.rest.byte_call import BINARY, ByteCall, header, json_of, model, query
from windlass.http.rest.chunk_calls import CHUNK_CALLS
from windlass.http.rest.media_calls import MEDIA_CALLS
from windlass.http.rest.path_templates import matching
from windlass.http.rest.straight_calls import STRAIGHT_CALLS
from windlass.http.rest.zip_calls import ZIP_CALLS

_FIELDS = (
    query("profile", "Decides what is admitted and what is done with it."),
    query("reference", "A name of the client's own, by which the list can be filtered."),
    query("post_id", "Another name of `reference`."),
    query("sha256", "The hex SHA-256 that the bytes must have; 422 and nothing is stored where they do not."),
    query("metadata", "A JSON object, shown in the record."),
)
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "profile": {"type": "string", "description": "Stands before the bytes."},
        "file": BINARY,
        "reference": {"type": "string"},
        "sha256": {"type": "string"},
        "metadata": {"type": "string", "description": "A JSON object."},
    },
}
_ANNOUNCED: dict[int, tuple[str, Mapping[str, Any]]] = {
    204: ("`Tus-*`, `Upload-Limit` and `Accept-Patch` say what is spoken here", {})
}
_MANY: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["files", "errors"],
            "properties": {
                "files": {"type": "array", "items": model("FileRecord")},
                "errors": {"type": "array", "items": model("ProblemDocument")},
            },
        }
    }
}
_RANGE = (
    header("Range", "One range of bytes."),
    header("If-Range", "The ETag that the range belongs to."),
    header("If-None-Match", "304 where the file still has this ETag."),
)
_SIGNATURE = (
    query("expires", "Of a signed URL.", "integer"),
    query("signature", "Of a signed URL."),
)
_BYTES = {"*/*": {"schema": BINARY}}
_SERVED = {
    200: ("The bytes", _BYTES),
    206: ("The range asked for", _BYTES),
    304: ("Unchanged", {}),
}
_RESUMABLE = (
    header("Tus-Resumable", "`1.0.0`, from clients that speak tus."),
    header("Upload-Offset", "Where the body starts.", "integer", required=True),
    header("Upload-Complete", "`?1`: these are the last bytes. In the IETF's protocol."),
    header("Upload-Length", "Size of the whole, where it was not known before.", "integer"),
    header("Upload-Checksum", "Of this body, in tus: an algorithm and the digest in base64."),
    header("Content-Digest", "Of this body, in the IETF's protocol (RFC 9530)."),
)
_LAST_EVENT = (
    header("Last-Event-ID", "Go on after this event.", "integer"),
    query("lastEventId", "The same, from clients that cannot send the header.", "integer"),
)
_STREAM = {200: ("A stream that stays open", {"text/event-stream": {"schema": {"type": "string"}}})}

BYTE_CALLS: Sequence[ByteCall] = (
    ByteCall(
        "POST",
        "/files",
        "create_file",
        "Take a new file, in whatever dialect the client speaks",
        {
            201: (
                "The record of the file; for a resumable upload `Location: /uploads/{id}`, "
                "in the IETF's protocol with the record if it is whole; "
                "for a form with several files `{files, errors}`",
                json_of("FileRecord"),
            )
        },
        "Files",
        (
            query("filename", "Of a raw body; or in Content-Disposition."),
            *_FIELDS,
            header("Tus-Resumable", "Makes this a tus creation."),
            header(
                "Upload-Complete", "Makes this a resumable upload of the IETF: `?1` with the whole file, else `?0`."
            ),
            header("Upload-Length", "Size of a resumable upload, in bytes.", "integer"),
            header("Upload-Defer-Length", "`1`: the size of a tus upload is said later."),
            header("Upload-Metadata", "Of a resumable upload: `key base64`, separated by commas."),
            header("Upload-Concat", "`partial`, or `final;` and the URLs of the parts, separated by spaces."),
            header("Upload-Checksum", "Of this body, in tus: an algorithm and the digest in base64."),
            header("Content-Digest", "Of this body, in the IETF's protocol (RFC 9530)."),
            header("Repr-Digest", "Of the whole file, in the IETF's protocol (RFC 9530)."),
            header("Upload-Draft-Interop-Version", "Of the IETF's draft.", "integer"),
        ),
        {
            "multipart/form-data": {"schema": _FORM},
            "application/octet-stream": {"schema": BINARY},
            "*/*": {"schema": BINARY},
        },
        "`Tus-Resumable` creates a tus upload, `Upload-Complete` one of the IETF's; "
        "multipart/form-data is a browser's form; any other body is the bytes themselves.",
    ),
    ByteCall("OPTIONS", "/files", "announce", "What uploads this server speaks", _ANNOUNCED, "Files", public=True),
    ByteCall(
        "POST",
        "/files/batch",
        "create_files",
        "Take several files of one form; always answers with the list form",
        {201: ("What was stored and what was not", _MANY)},
        "Files",
        _FIELDS,
        {"multipart/form-data": {"schema": _FORM}},
    ),
    *(
        ByteCall(
            "PUT",
            path,
            name,
            summary,
            {201: ("The record of the file", json_of("FileRecord"))},
            "Files",
            (query("filename", "Where the path has no name."), *_FIELDS),
            {"application/octet-stream": {"schema": BINARY}, "*/*": {"schema": BINARY}},
        )
        for path, name, summary in (
            ("/files", "put_unnamed_file", "Take the body as a new file, named by Content-Disposition"),
            ("/files/{name}", "put_file", "Take the body as a new file of this name (`curl -T`)"),
        )
    ),
    *CHUNK_CALLS,
    *MEDIA_CALLS,
    *STRAIGHT_CALLS,
    *ZIP_CALLS,
    ByteCall(
        "OPTIONS",
        "/uploads/{upload_id}",
        "announce_upload",
        "What uploads this server speaks",
        _ANNOUNCED,
        "Uploads",
        public=True,
    ),
    ByteCall(
        "HEAD",
        "/uploads/{upload_id}",
        "read_offset",
        "Where an upload stands",
        {
            200: ("In tus: `Upload-Offset`, and `Upload-Length` if it is known", {}),
            204: ("In the IETF's protocol, with `Upload-Complete` and `Upload-Limit`", {}),
        },
        "Uploads",
        (header("Tus-Resumable", "`1.0.0`, from clients that speak tus."),),
    ),
    ByteCall(
        "PATCH",
        "/uploads/{upload_id}",
        "append",
        "Append the body at the offset",
        {
            201: ("In the IETF's protocol: the upload is whole, and this is its file", json_of("FileRecord")),
            204: ("`Upload-Offset` is the new offset; once whole, `Windlass-File` names the file", {}),
        },
        "Uploads",
        _RESUMABLE,
        {
            "application/offset+octet-stream": {"schema": BINARY},
            "application/partial-upload": {"schema": BINARY},
        },
    ),
    ByteCall(
        "DELETE", "/uploads/{upload_id}", "end_upload", "Give an upload up", {204: ("It has ended", {})}, "Uploads"
    ),
    ByteCall(
        "GET",
        "/uploads/{upload_id}",
        "read_upload",
        "The status as JSON where `Accept` asks for it; else the bytes, once the upload is whole",
        {200: ("Status or bytes", {**json_of("UploadStatusOut"), **_BYTES})},
        "Uploads",
    ),
    *(
        ByteCall(
            method,
            f"/files/{{file_id}}/{path}",
            f"{'check' if method == 'HEAD' else 'read'}_{name}",
            summary,
            _SERVED if method == "GET" else {200: ("The headers of GET", {})},
            "Files",
            (*_RANGE, *extra),
        )
        for path, name, summary, extra in (
            ("download", "download", "The bytes", _SIGNATURE),
            ("thumbnail", "thumbnail", "A small picture of the file", ()),
            ("text", "text", "The text that was got out of the file, as UTF-8", ()),
            ("renditions/{name}", "rendition", "A derived picture or document", ()),
        )
        for method in ("GET", "HEAD")
    ),
    ByteCall(
        "GET",
        "/files/{file_id}/events",
        "follow_file",
        "What happens to a file, from its beginning, as Server-Sent Events",
        _STREAM,
        "Live",
        _LAST_EVENT,
    ),
    ByteCall(
        "GET",
        "/uploads/{upload_id}/events",
        "follow_upload",
        "What happens to an upload, from its beginning, as Server-Sent Events",
        _STREAM,
        "Live",
        _LAST_EVENT,
    ),
    ByteCall(
        "GET",
        "/events",
        "follow_all",
        "What happens to all that is the caller's, from now on, as Server-Sent Events",
        _STREAM,
        "Live",
        _LAST_EVENT,
    ),
    *(
        ByteCall(
            "GET",
            path,
            name,
            summary,
            {
                200: ("Every check passed", {"application/json": {"schema": {"type": "object"}}}),
                503: ("A check failed", {"application/json": {"schema": {"type": "object"}}}),
            },
            "Health",
            public=True,
        )
        for path, name, summary in (
            ("/livez", "livez", "Whether the process answers"),
            ("/readyz", "readyz", "Whether it can serve: database, migrations, store, room, sandbox"),
            ("/healthz", "healthz", "The same as /readyz"),
        )
    ),
    ByteCall(
        "GET",
        "/metrics",
        "metrics",
        "Figures for Prometheus; for staff, and for whoever has METRICS_TOKEN",
        {200: ("The figures", {"text/plain": {"schema": {"type": "string"}}})},
        "Health",
    ),
)


def query_names(method: str, path: str) -> frozenset[str]:
    """The query parameters of the call that a request is for; none where there is no such call."""
    calls = {call.path: call for call in BYTE_CALLS if method in call.methods}
    return frozenset(name for template in matching(calls, path) for name in calls[template].query_names)
