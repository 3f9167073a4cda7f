"""Several files as one ZIP, built while it is sent: nothing is stored for it, and its length is known in advance.

Entries are not compressed, since most large files are compressed already. Before the first byte is sent, every file is
checked by the rules of download.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from zipstream import ZipStream

from windlass.accounts.api import OWNER, OWNER_READS
from windlass.database.connection import connection
from windlass.executors import in_database, in_thread
from windlass.files.api import Blob, FileAsset, get_files, open_blob, visible_files
from windlass.http import json_bodies, request_head
from windlass.http.callers import principal_of
from windlass.http.downloads.audited_downloads import record_download
from windlass.http.downloads.conditional_requests import check_preconditions
from windlass.http.downloads.files import servable_blob
from windlass.http.downloads.object_streaming import SMALLEST_BLOCK, BlockReader, ObjectResponse
from windlass.http.endpoints import BINARY, ByteEndpoints, Content, query
from windlass.kernel import filenames
from windlass.kernel.document_policies import STORED_OBJECT_HEADERS
from windlass.kernel.filenames import clean, content_disposition
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import InvalidField, NotFound
from windlass.protocols import json_fields
from windlass.receiving.body import RequestBody
from windlass.storage.contract import StoreError

MAX_FILES = 1000
DEFAULT_NAME = "files.zip"
#: Bytes of the largest POST body: MAX_FILES ids, with space for white space.
MAX_BODY = 4 * 1024 * 1024
#: Bytes that an archive holds for each of its files while it is sent: row, entry, name.
MEMORY_PER_FILE = 4096


@dataclass(frozen=True, slots=True)
class WantedFiles:
    """Files by id, in this order, or all files of a reference."""

    ids: Sequence[uuid.UUID]
    reference: str | None
    filename: str


class ZipReader(BlockReader):
    """The archive's bytes."""

    def __init__(self, archive: ZipStream) -> None:
        self.size = len(archive)
        super().__init__(self.size)
        self._pieces: Generator[bytes, None, None] = archive.all_files()  # type: ignore[no-untyped-call]
        self._archive = archive
        self._remainder = b""

    def _read(self, size: int) -> bytes:
        """Raises StoreError, also for an object whose size has changed."""
        pieces, length = [self._remainder], len(self._remainder)
        try:
            while length < size:
                piece = next(self._pieces, b"")
                pieces.append(piece or b"".join(self._archive.footer()))  # type: ignore[no-untyped-call]
                length += len(pieces[-1])
        except ValueError as error:
            raise StoreError(f"A stored object does not have the size that its record says: {error}") from error
        block = b"".join(pieces)
        self._remainder = block[size:]
        return block[:size]

    def _close(self) -> None:
        self._pieces.close()


_FILES_IN_QUERY = (
    query("ids", "Ids of files, separated by commas, in the order of the archive."),
    query("reference", "All files with this reference, instead of ids."),
    query("filename", "File name of the archive."),
)
_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MAX_FILES},
        "reference": {"type": "string"},
        "filename": {"type": "string"},
    },
}
_ARCHIVE = {
    200: ("The archive; it is made while it is sent, and its length is known", Content({"application/zip": BINARY}))
}

endpoints = ByteEndpoints("Files", OWNER)


@endpoints.endpoint(
    "POST /files/zip",
    access=OWNER_READS,
    name="zip_many_files",
    summary="Download several files as one ZIP, with the ids in the body",
    body=_BODY,
    replies=_ARCHIVE,
)
@endpoints.endpoint(
    "GET /files/zip",
    name="zip_files",
    head_name="check_zip_of_files",
    summary="Download several files as one ZIP",
    description="If one of the files cannot be downloaded, the reply is the one that its download would get.",
    parameters=_FILES_IN_QUERY,
    replies=_ARCHIVE,
)
async def download_zip(request: Request) -> Response:
    wanted = _parse(await _fields(request))
    assets_in_zip = await in_database(_find, principal_of(request), wanted)
    check_preconditions(request, None, None)  # an archive has no tag and no date: built again, it may differ
    reader = ZipReader(await in_thread(_archive, assets_in_zip))
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(reader.size),
        "Content-Disposition": content_disposition("attachment", wanted.filename),
        "Cache-Control": "private, no-store",
        **STORED_OBJECT_HEADERS,
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    reader.first = await in_thread(reader.next_block, SMALLEST_BLOCK)
    await record_download(request, 200, assets_in_zip, "archive")
    return ObjectResponse(reader, 200, headers, held=len(assets_in_zip) * MEMORY_PER_FILE, kind="archive")


async def _fields(request: Request) -> dict[str, object]:
    if request.method != "POST":
        ids = [part for value in request.query_params.getlist("ids") for part in value.split(",") if part]
        return {**request.query_params, "ids": ids}
    head, body = request_head.of_request(request), RequestBody(request.receive)
    return await json_bodies.parse_body(head, body, json_fields.read, MAX_BODY)


def _parse(fields: dict[str, object]) -> WantedFiles:
    ids, reference, filename = fields.get("ids") or [], fields.get("reference"), fields.get("filename")
    if not isinstance(ids, list) or not all(isinstance(file_id, str) for file_id in ids):
        raise InvalidField("ids must be a list of file ids.", field="ids")
    if reference is not None and not isinstance(reference, str):
        raise InvalidField("reference must be a text.", field="reference")
    if bool(ids) == bool(reference):
        raise InvalidField("Say which files: either ids or a reference.", field="ids")
    if len(ids) > MAX_FILES:
        raise InvalidField(f"{len(ids)} files were asked for; at most {MAX_FILES} go into one ZIP.", field="ids")
    name = clean(filename) if isinstance(filename, str) and filename else DEFAULT_NAME
    return WantedFiles([_id(file_id) for file_id in dict.fromkeys(ids)], reference, name)


def _id(text: str) -> uuid.UUID:
    file_id = parse_id(text)
    if file_id is None:
        raise InvalidField(f"ids has {text[:60]!r}, which is not an id of a file (a UUID).", field="ids")
    return file_id


def _find(principal: Principal, wanted: WantedFiles) -> list[FileAsset]:
    """The files, each of which may be served. Raises NotFound, and as the download of a file does."""
    if wanted.reference:
        assets = list(
            visible_files(principal).filter(reference=wanted.reference).order_by("created_at", "id")[: MAX_FILES + 1]
        )
        if not assets:
            raise NotFound(f"There are no files with the reference {wanted.reference!r}.")
        if len(assets) > MAX_FILES:
            raise InvalidField(f"More than {MAX_FILES} files have this reference.", field="reference")
    else:
        assets = get_files(wanted.ids, principal)
    for asset in assets:
        servable_blob(asset)
    return assets


def _archive(assets: Sequence[FileAsset]) -> ZipStream:
    archive = ZipStream(sized=True)  # type: ignore[no-untyped-call]
    for asset, name in zip(assets, _names(asset.original_filename for asset in assets), strict=True):
        blob = servable_blob(asset)
        archive.add(_blocks(blob), name, size=blob.size)
    return archive


def _blocks(blob: Blob) -> Iterator[bytes]:
    """The object's bytes. It is opened long after its row was read, in a thread that does not use the database
    otherwise."""
    try:
        file = open_blob(blob)
    finally:
        connection().close()
    with file:
        while block := file.read(SMALLEST_BLOCK):
            yield block


def _names(names: Iterable[str]) -> Iterator[str]:
    """Names that are distinct, also where case is ignored: ``a.txt``, ``a (2).txt``."""
    used: set[str] = set()
    for name in names:
        stem, ending = filenames.split_extension(name)
        unique, number = name, 1
        while filenames.comparable(unique) in used:
            number += 1
            unique = filenames.add_suffix(stem, f" ({number})", ending)
        used.add(filenames.comparable(unique))
        yield unique
