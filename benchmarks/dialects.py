"""The ways to upload a file. Each takes a connection, the base path, the bytes and a name."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from benchmarks.http1 import Body, Connection, Reply, UnexpectedReplyError

Dialect = Callable[[Connection, str, Body, str], tuple[str, Reply]]
"""Uploads a file; returns its path and the last reply."""

TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"
JSON = {"Content-Type": "application/json"}
CHUNKS = "/api/v1/upload/"
CHUNK = PIECE = 16 * 1024 * 1024


def tus(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """Like tus clients: POST to create, then one PATCH with all bytes."""
    reply = connection.request("POST", base, _creation(body, name), Body()).expect(201)
    path = urlsplit(reply.headers["location"]).path
    reply = connection.request("PATCH", path, {**TUS, "Upload-Offset": "0", "Content-Type": OFFSET_TYPE}, body)
    return path, _require_complete(reply.expect(204), body)


def tus_in_one(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """The extension creation-with-upload: one POST with all bytes."""
    reply = connection.request("POST", base, {**_creation(body, name), "Content-Type": OFFSET_TYPE}, body).expect(201)
    return urlsplit(reply.headers["location"]).path, _require_complete(reply, body)


def tus_in_pieces(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """Like tus clients for a server that cannot take a large body: PATCHes of 16 MiB, one after the other."""
    reply = connection.request("POST", base, _creation(body, name), Body()).expect(201)
    path = urlsplit(reply.headers["location"]).path
    for start, piece in _pieces(body):
        head = {**TUS, "Upload-Offset": str(start), "Content-Type": OFFSET_TYPE}
        reply = connection.request("PATCH", path, head, piece).expect(204)
    return path, _require_complete(reply, body)


def _pieces(body: Body) -> Iterator[tuple[int, Body]]:
    """The pieces of a file, with their offsets; bytes in memory are one piece."""
    if body.path is None:
        yield 0, body
        return
    for start in range(0, body.size, PIECE):
        yield start, Body(path=body.path, offset=body.offset + start, count=min(PIECE, body.size - start))


def raw(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """The body is the file."""
    reply = connection.request("POST", f"{base}?filename={name}", {"Content-Type": "application/octet-stream"}, body)
    return base, reply.expect(201)


def form(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """A multipart form, as browsers and `curl -F` send it."""
    boundary = "benchmark-7MA4YWxkTrZu0gW"
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    before = f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    whole = body.wrapped(before, f"\r\n--{boundary}--\r\n".encode())
    reply = connection.request("POST", base, {"Content-Type": f"multipart/form-data; boundary={boundary}"}, whole)
    return base, reply.expect(201)


def put(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """WebDAV's PUT."""
    path = f"{base}{name}"
    return path, connection.request("PUT", path, {}, body).expect(201, 204)


def chunks(connection: Connection, base: str, body: Body, name: str) -> tuple[str, Reply]:
    """Numbered chunks of 16 MiB, one after the other, each the body of a PUT."""
    about = {"filename": name, "total_size": body.size, "mime_type": "", "chunk_size": CHUNK}
    created = connection.request("POST", f"{CHUNKS}init", JSON, Body(json.dumps(about).encode())).expect(201)
    upload, size = (json.loads(created.body)[key] for key in ("upload_id", "chunk_size"))
    for index, start in enumerate(range(0, body.size, size)):
        piece = Body(path=body.path, offset=body.offset + start, count=min(size, body.size - start))
        connection.request("PUT", f"{CHUNKS}{upload}/chunks/{index}", {}, piece).expect(200)
    done = Body(json.dumps({"upload_id": upload}).encode())
    return base, connection.request("POST", f"{CHUNKS}complete", JSON, done).expect(200)


def _creation(body: Body, name: str) -> dict[str, str]:
    filename, filetype = (b64encode(value.encode()).decode() for value in (name, "application/octet-stream"))
    metadata = f"filename {filename},filetype {filetype}"
    return {**TUS, "Upload-Length": str(body.size), "Upload-Metadata": metadata}


def _require_complete(reply: Reply, body: Body) -> Reply:
    if reply.headers.get("upload-offset") != str(body.size):
        raise UnexpectedReplyError(f"the server has {reply.headers.get('upload-offset')} of {body.size} bytes")
    return reply
