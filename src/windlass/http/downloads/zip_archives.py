"""Several files as one ZIP, made while it is sent: nothing is stored for it, and its length is known from the start.

Entries are stored as they are, since most large files are compressed already. Every file is looked at before the first
byte goes out, under the rules of download.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from zipstream import ZipStream

from windlass.accounts.api import OWNER
from windlass.database.connection import connection
from windlass.executors import in_database, in_thread
from windlass.files.api import Blob, FileAsset, places, visible_files
from windlass.http import request_head as heads
from windlass.http.downloads.files import blob_of
from windlass.http.downloads.object_streaming import SMALLEST_BLOCK, ObjectResponse
from windlass.http.downloads.stored_object_response import check_preconditions
from windlass.http.endpoints import endpoint, principal_of
from windlass.http.uploads import json_bodies
from windlass.kernel import filenames
from windlass.kernel.errors import InvalidField, NotFound
from windlass.kernel.filenames import clean, content_disposition
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.protocols import json_fields
from windlass.receiving.body import RequestBody
from windlass.storage.contract import StoreError

MOST_FILES = 1000
DEFAULT_NAME = "files.zip"
#: Largest body of a call by POST: the ids of MOST_FILES with room for white space (bytes).
MAX_BODY = 4 * 1024 * 1024
#: What an archive that is being sent keeps for each of its files: row, entry, name (bytes).
MEMORY_PER_FILE = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """By id, in this order, or all files of a reference."""

    ids: Sequence[uuid.UUID]
    reference: str | None
    filename: str


class ZipReader:
    """The archive's bytes, block by block, as an ``ObjectResponse`` asks for them. Called from threads."""

    def __init__(self, archive: ZipStream) -> None:
        self.size = self._left = len(archive)
        self._pieces: Generator[bytes, None, None] = archive.all_files()  # type: ignore[no-untyped-call]
        self._archive = archive
        self._rest = b""
        # A reply may end while a block is being made: a generator that runs cannot be closed.
        self._busy = threading.Lock()
        self.first = b""

    @property
    def finished(self) -> bool:
        return self._left == 0

    def next_block(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end. Raises StoreError, also where an object is not as long as it was."""
        with self._busy:
            size = min(size, self._left)
            pieces, length = [self._rest], len(self._rest)
            try:
                while length < size:
                    pieces.append(next(self._pieces, b"") or self._end())
                    length += len(pieces[-1])
            except ValueError as error:
                raise StoreError(f"A stored object does not have the size that its record says: {error}") from error
            made = b"".join(pieces)
            self._rest = made[size:]
            self._left -= size
            return made[:size]

    def _end(self) -> bytes:
        return b"".join(self._archive.footer())  # type: ignore[no-untyped-call]

    def rest(self) -> None:
        """It is no file that could be sent without being read."""

    def close(self) -> None:
        """Let go of the file that is being read; waits for a block that is being made."""
        with self._busy:
            self._pieces.close()


async def _zip(request: Request) -> Response:
    asked = _asked(await _fields(request))
    found = await in_database(_find, principal_of(request), asked)
    check_preconditions(request, None, None)  # an archive has neither a tag nor a date: made anew, it may differ
    reader = ZipReader(await in_thread(_archive, found))
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(reader.size),
        "Content-Disposition": content_disposition("attachment", asked.filename),
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": "sandbox",
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    reader.first = await in_thread(reader.next_block, SMALLEST_BLOCK)
    return ObjectResponse(reader, 200, headers, held=len(found) * MEMORY_PER_FILE)


async def _fields(request: Request) -> dict[str, object]:
    if request.method != "POST":
        ids = [part for value in request.query_params.getlist("ids") for part in value.split(",") if part]
        return {**request.query_params, "ids": ids}
    head, body = heads.of_request(request), RequestBody(request.receive)
    return await json_bodies.parse_whole(head, body, json_fields.read, MAX_BODY)


def _asked(said: dict[str, object]) -> Asked:
    ids, reference, filename = said.get("ids") or [], said.get("reference"), said.get("filename")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise InvalidField("ids must be a list of file ids.", field="ids")
    if reference is not None and not isinstance(reference, str):
        raise InvalidField("reference must be a text.", field="reference")
    if bool(ids) == bool(reference):
        raise InvalidField("Say which files: either ids or a reference.", field="ids")
    if len(ids) > MOST_FILES:
        raise InvalidField(f"{len(ids)} files were asked for; at most {MOST_FILES} go into one ZIP.", field="ids")
    name = clean(filename) if isinstance(filename, str) and filename else DEFAULT_NAME
    return Asked([_id(one) for one in dict.fromkeys(ids)], reference, name)


def _id(text: str) -> uuid.UUID:
    found = parse_id(text)
    if found is None:
        raise InvalidField(f"ids has {text[:60]!r}, which is not an id of a file (a UUID).", field="ids")
    return found


def _find(principal: Principal, asked: Asked) -> list[FileAsset]:
    """Each of them may be served. Raises NotFound, and for the first that may not be what its download would say."""
    seen = visible_files(principal)
    if asked.reference:
        found = list(seen.filter(reference=asked.reference).order_by("created_at", "id")[: MOST_FILES + 1])
        if not found:
            raise NotFound(f"There are no files with the reference {asked.reference!r}.")
        if len(found) > MOST_FILES:
            raise InvalidField(f"More than {MOST_FILES} files have this reference.", field="reference")
    else:
        known = {asset.id: asset for asset in seen.filter(id__in=asked.ids)}
        missing = next((one for one in asked.ids if one not in known), None)
        if missing is not None:
            raise NotFound(f"There is no file {missing}.")
        found = [known[one] for one in asked.ids]
    for asset in found:
        blob_of(asset)
    return found


def _archive(found: Sequence[FileAsset]) -> ZipStream:
    archive = ZipStream(sized=True)  # type: ignore[no-untyped-call]
    for asset, name in zip(found, _names(asset.original_filename for asset in found), strict=True):
        blob = blob_of(asset)
        archive.add(_blocks(blob), name, size=blob.size)
    return archive


def _blocks(blob: Blob) -> Iterator[bytes]:
    """Its turn may come long after its row was read, in a thread that otherwise talks to no database."""
    try:
        file = places.open_blob(blob)
    finally:
        connection().close()
    with file:
        while block := file.read(SMALLEST_BLOCK):
            yield block


def _names(names: Iterable[str]) -> Iterator[str]:
    """Each only once, also where case does not count: ``a.txt``, ``a (2).txt``."""
    taken: set[str] = set()
    for name in names:
        stem, ending = filenames.split_extension(name)
        unique, number = name, 1
        while filenames.comparable(unique) in taken:
            number += 1
            unique = filenames.add_suffix(stem, f" ({number})", ending)
        taken.add(filenames.comparable(unique))
        yield unique


routes = [Route("/files/zip", endpoint(_zip, OWNER), methods=["GET", "HEAD", "POST"])]
