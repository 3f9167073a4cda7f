"""Bytes out: a file, its thumbnail, its text, its renditions (http-api section 1)."""

from __future__ import annotations

import uuid
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from windlass.accounts.api import DOWNLOAD, OWNER
from windlass.executors import in_database, in_thread
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition, get_file, integrity, load_file, places
from windlass.http.downloads.stored_object_response import Representation, respond
from windlass.http.endpoints import endpoint, principal_of
from windlass.kernel import charsets, filenames, urls
from windlass.kernel.errors import Conflict, FileRefused, FileReleased, NotFound, NotReady
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import CredentialKind, Principal
from windlass.storage.contract import ObjectInfo, ObjectMissing
from windlass.storage.registry import store

THUMBNAIL = "thumbnail"
TEXT = "text"
_SUFFIXES = {"image/jpeg": "jpg", "text/plain": "txt", "audio/mpeg": "mp3"}
_WORKED_ON = (FileStatus.PENDING, FileStatus.PROCESSING)


async def send_file(request: Request, asset: FileAsset) -> Response:
    """The bytes of a file that the caller may see; ``asset`` was loaded with its blob.

    Raises what ``blob_of`` raises, and RangeNotSatisfiable.
    """
    blob = blob_of(asset)
    etag = f'"{asset.checksum}"' if asset.checksum else None
    what = Representation(
        blob.store, blob.key, blob.size, _content_type(asset), asset.original_filename, etag, asset.created_at
    )
    return await _respond(request, asset, what, blob)


def _content_type(asset: FileAsset) -> str | None:
    """The detected type, of a text with the encoding that was found in it: a browser would guess another."""
    facts = asset.extra_attributes
    charset = charsets.http_name(facts.get("encoding"))
    if not asset.mime_type or not charset or not asset.mime_type.startswith("text/"):
        return asset.mime_type
    if charset == "us-ascii" and "counted_bytes" in facts:
        charset = "utf-8"  # nobody has read its end
    return f"{asset.mime_type}; charset={charset}"


def blob_of(asset: FileAsset) -> Blob:
    """The stored bytes, if they may be served. Raises NotReady, Conflict, FileRefused, FileReleased, NotFound,
    ContentDamaged."""
    _refuse_ended(asset)
    if not asset.gate_passed:
        raise _gate_closed(asset)
    if asset.blob is None:
        raise NotFound("This file has no bytes here any more.")
    integrity.must_be_sound(asset.blob)
    return asset.blob


async def _download(request: Request) -> Response:
    asset = await in_database(_find, _file_id(request), principal_of(request))
    return await send_file(request, asset)


async def _thumbnail(request: Request) -> Response:
    return await _send_rendition(request, THUMBNAIL)


async def _text(request: Request) -> Response:
    return await _send_rendition(request, TEXT)


async def _rendition(request: Request) -> Response:
    return await _send_rendition(request, request.path_params["name"])


async def _send_rendition(request: Request, name: str) -> Response:
    asset, rendition = await in_database(_find_rendition, _file_id(request), principal_of(request), name)
    _refuse_ended(asset)
    if rendition is None or not asset.gate_passed:
        raise _not_made(asset, name)
    found = await _object_of(rendition)
    # Making a rendition again replaces its object, so the object tells one version from another.
    version = found.tag or f"{int(found.modified_at.timestamp() * 1_000_000):x}"
    etag = f'"{version}-{found.size:x}"'
    what = Representation(
        rendition.store,
        rendition.key,
        found.size,
        rendition.mime_type,
        _rendition_filename(asset, rendition),
        etag,
        found.modified_at,
    )
    return await _respond(request, asset, what, rendition)


async def _object_of(rendition: Rendition) -> ObjectInfo:
    """Where it lies by now. Raises StoreError."""
    for _ in range(2):
        try:
            return await in_thread(lambda: store(rendition.store).info(rendition.key))
        except ObjectMissing:
            if not await in_database(places.has_moved, rendition):
                raise
    raise ObjectMissing(rendition.key)


async def _respond(request: Request, asset: FileAsset, what: Representation, row: Blob | Rendition) -> Response:
    """``row`` is where the bytes lie; they may have been moved to another store since it was read."""
    try:
        return await respond(request, what)
    except ObjectMissing:
        await in_database(_explain_absence, asset.id)
        if not await in_database(places.has_moved, row):
            raise
    return await respond(request, replace(what, store=row.store, key=row.key))


def _file_id(request: Request) -> uuid.UUID:
    found = parse_id(request.path_params["file_id"])
    if found is None:
        raise NotFound(f"There is no file {request.path_params['file_id']}.")
    return found


def _find(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """A signed URL names the file, whoever owns it; any other caller sees what is theirs."""
    if principal.credential is not CredentialKind.SIGNED_URL:
        return get_file(file_id, principal)
    asset = load_file(file_id)
    if asset is None:
        raise NotFound(f"There is no file {file_id}.")
    return asset


def _find_rendition(file_id: uuid.UUID, principal: Principal, name: str) -> tuple[FileAsset, Rendition | None]:
    asset = get_file(file_id, principal)
    return asset, asset.renditions.filter(name=name).first()


def _refuse_ended(asset: FileAsset) -> None:
    """Raises for a file that is never served, whatever was made of it."""
    match asset.status:
        case FileStatus.RELEASED:
            raise FileReleased("The bytes of this file were deleted on purpose; its record is kept.")
        case FileStatus.REJECTED:
            why = (asset.rejection or {}).get("detail") or "A rule said no."
            raise FileRefused(f"This file was rejected: {why}", file_status=asset.status, rejection=asset.rejection)
        case FileStatus.QUARANTINED:
            raise FileRefused("Malware was found in this file; it is never served.", file_status=asset.status)


def _gate_closed(asset: FileAsset) -> NotReady | Conflict:
    if asset.status in _WORKED_ON:
        return NotReady("This file is still being checked. It can be downloaded as soon as the checks have passed.")
    why = f" ({asset.message})" if asset.message else ""
    return Conflict(
        f"Processing gave up before the checks of this file had passed{why}, so it is not served. "
        f"POST {urls.file_path(asset.id, 'reprocess/')} tries again.",
        file_status=asset.status,
    )


def _not_made(asset: FileAsset, name: str) -> NotReady | NotFound:
    if asset.status in _WORKED_ON:
        return NotReady(f"This file is still being worked on; there is no {name} of it yet.")
    return NotFound(f"There is no {name} of this file.")


def _explain_absence(file_id: uuid.UUID) -> None:
    """An object that was not there: raises if the file was released or deleted since its row was read."""
    asset = load_file(file_id)
    if asset is None:
        raise NotFound(f"There is no file {file_id}.")
    _refuse_ended(asset)


def _rendition_filename(asset: FileAsset, rendition: Rendition) -> str:
    base = rendition.mime_type.partition(";")[0]
    suffix = _SUFFIXES.get(base, base.rpartition("/")[2])
    stem, _ending = filenames.split_extension(asset.original_filename)
    return filenames.add_suffix(stem, f"-{rendition.name}", f".{suffix}")


routes = [
    Route("/files/{file_id}/download", endpoint(_download, DOWNLOAD), methods=["GET", "HEAD"]),
    Route("/files/{file_id}/thumbnail", endpoint(_thumbnail, OWNER), methods=["GET", "HEAD"]),
    Route("/files/{file_id}/text", endpoint(_text, OWNER), methods=["GET", "HEAD"]),
    Route("/files/{file_id}/renditions/{name}", endpoint(_rendition, OWNER), methods=["GET", "HEAD"]),
]
