"""Downloads of a file, its thumbnail, its text and its renditions (http-api section 1)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from windlass.accounts.api import DOWNLOAD, OWNER, Access
from windlass.executors import in_database, in_thread
from windlass.files.api import Blob, FileAsset, FileStatus, Rendition, get_file, has_moved, load_file, require_intact
from windlass.http.callers import principal_of
from windlass.http.downloads.audited_downloads import record_download
from windlass.http.downloads.stored_object_response import StoredObject, stored_object_response
from windlass.http.endpoints import ANY_BYTES, ByteEndpoints, Parameter, header, query
from windlass.http.file_records import parse_file_id
from windlass.kernel import charsets, filenames, urls
from windlass.kernel.principals import CredentialKind, Principal
from windlass.kernel.problem_types import Conflict, FileRefused, FileReleased, InvalidField, NotFound, NotReady
from windlass.storage.contract import ObjectInfo, ObjectMissing
from windlass.storage.registry import store

F = TypeVar("F", bound=Callable[..., Any])

_SUFFIXES = {"image/jpeg": "jpg", "text/plain": "txt", "audio/mpeg": "mp3"}
_IN_PROGRESS = (FileStatus.PENDING, FileStatus.PROCESSING)

DISPOSITION = "disposition"

endpoints = ByteEndpoints("Files", OWNER)


def _download(path: str, name: str, summary: str, *extra: Parameter, access: Access = OWNER) -> Callable[[F], F]:
    """Declare the decorated handler as GET and HEAD of bytes of a file."""
    return endpoints.endpoint(
        f"GET /files/{{file_id}}/{path}",
        access=access,
        name=f"read_{name}",
        head_name=f"check_{name}",
        summary=summary,
        parameters=(
            header("Range", "One range of bytes, as in RFC 9110."),
            header("If-Range", "ETag of the file that the range belongs to."),
            header("If-None-Match", "304 if the file still has this ETag."),
            query(DISPOSITION, "`attachment`: a browser saves the bytes instead of showing them."),
            *extra,
        ),
        replies={200: ("The bytes", ANY_BYTES), 206: ("The requested range", ANY_BYTES), 304: ("Unchanged", None)},
    )


_SIGNATURE = (query("expires", "Part of a signed URL.", "integer"), query("signature", "Part of a signed URL."))


@_download("download", "download", "Download a file", *_SIGNATURE, access=DOWNLOAD)
async def download(request: Request) -> Response:
    asset = await in_database(_find_file, parse_file_id(request.path_params["file_id"]), principal_of(request))
    return await send_file(request, asset)


@_download("thumbnail", "thumbnail", "Thumbnail of a file")
async def thumbnail(request: Request) -> Response:
    return await _send_rendition(request, "thumbnail")


@_download("text", "text", "The extracted text of a file, as UTF-8")
async def text(request: Request) -> Response:
    return await _send_rendition(request, "text")


@_download("renditions/{name}", "rendition", "A rendition of a file", *_SIGNATURE, access=DOWNLOAD)
async def rendition(request: Request) -> Response:
    return await _send_rendition(request, request.path_params["name"])


async def send_file(request: Request, asset: FileAsset) -> Response:
    """Answer with the bytes of a file that the caller may see; ``asset`` was loaded with its blob. Raises as
    ``servable_blob`` and ``stored_object_response`` do."""
    blob = servable_blob(asset)
    etag = f'"{asset.checksum}"' if asset.checksum else None
    stored = StoredObject(
        blob.store, blob.key, blob.size, _content_type(asset), asset.original_filename, etag, asset.created_at
    )
    return await _respond(request, asset, stored, blob, "file")


def _content_type(asset: FileAsset) -> str | None:
    """The detected type; for text with the detected charset, because a browser would guess another."""
    facts = asset.extra_attributes
    charset = charsets.http_name(facts.get("encoding"))
    if not asset.mime_type or not charset or not asset.mime_type.startswith("text/"):
        return asset.mime_type
    if charset == "us-ascii" and "counted_bytes" in facts:
        charset = "utf-8"  # the file was not read to its end, where other characters may follow
    return f"{asset.mime_type}; charset={charset}"


def servable_blob(asset: FileAsset) -> Blob:
    """The stored bytes, if they may be served. Raises NotReady, Conflict, FileRefused, FileReleased, NotFound,
    ContentDamaged."""
    _refuse_unservable(asset)
    if not asset.gate_passed and asset.status in _IN_PROGRESS:
        raise NotReady("This file is still being checked. It can be downloaded as soon as the checks have passed.")
    if not asset.gate_passed:
        why = f" ({asset.message})" if asset.message else ""
        raise Conflict(
            f"Processing gave up before the checks of this file had passed{why}, so it is not served. "
            f"POST {urls.file_path(asset.id, 'reprocess/')} tries again.",
            file_status=asset.status,
        )
    if asset.blob is None:
        raise NotFound("This file has no bytes here any more.")
    require_intact(asset.blob)
    return asset.blob


async def _send_rendition(request: Request, name: str) -> Response:
    asset, rendition = await in_database(
        _find_rendition, parse_file_id(request.path_params["file_id"]), principal_of(request), name
    )
    _refuse_unservable(asset)
    if rendition is None or not asset.gate_passed:
        if asset.status in _IN_PROGRESS:
            raise NotReady(f"This file is still being worked on; there is no {name} of it yet.")
        raise NotFound(f"There is no {name} of this file.")
    info = await _object_info(rendition)
    # A rendition that is made again replaces its object, so the object's tag or date tells its version.
    version = info.tag or f"{int(info.modified_at.timestamp() * 1_000_000):x}"
    etag = f'"{version}-{info.size:x}"'
    stored = StoredObject(
        rendition.store,
        rendition.key,
        info.size,
        rendition.mime_type,
        _rendition_filename(asset, rendition),
        etag,
        info.modified_at,
    )
    return await _respond(request, asset, stored, rendition, name)


async def _object_info(rendition: Rendition) -> ObjectInfo:
    """Size, date and tag of the object; once more if it has been moved since the row was read. Raises StoreError."""
    for _ in range(2):
        try:
            return await in_thread(lambda: store(rendition.store).info(rendition.key))
        except ObjectMissing:
            if not await in_database(has_moved, rendition):
                raise
    raise ObjectMissing(rendition.key)


async def _respond(
    request: Request, asset: FileAsset, stored: StoredObject, row: Blob | Rendition, part: str
) -> Response:
    """``row`` says where the bytes are; they may have been moved to another store since it was read. ``part``: as in
    ``record_download``."""
    response = await _response(request, asset, stored, row)
    await record_download(request, response.status_code, [asset], part)
    return response


async def _response(request: Request, asset: FileAsset, stored: StoredObject, row: Blob | Rendition) -> Response:
    stored = replace(stored, inline=_may_be_shown(request))
    try:
        return await stored_object_response(request, stored)
    except ObjectMissing:
        # The file may have been released or deleted since its row was read.
        await in_database(lambda: _refuse_unservable(_load(asset.id)))
        if not await in_database(has_moved, row):
            raise
    return await stored_object_response(request, replace(stored, store=row.store, key=row.key))


def _may_be_shown(request: Request) -> bool:
    """Raises InvalidField for a ``disposition`` that there is not: which types may be shown is decided here."""
    asked = request.query_params.get(DISPOSITION)
    if asked not in (None, "attachment"):
        raise InvalidField(f"disposition may be attachment; {asked[:40]!r} was sent.", field=DISPOSITION)
    return asked is None


def _find_file(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    """A signed URL names the file, whoever owns it; any other caller sees what is theirs."""
    if principal.credential is not CredentialKind.SIGNED_URL:
        return get_file(file_id, principal)
    return _load(file_id)


def _load(file_id: uuid.UUID) -> FileAsset:
    asset = load_file(file_id)
    if asset is None:
        raise NotFound(f"There is no file {file_id}.")
    return asset


def _find_rendition(file_id: uuid.UUID, principal: Principal, name: str) -> tuple[FileAsset, Rendition | None]:
    asset = _find_file(file_id, principal)
    return asset, asset.renditions.filter(name=name).first()


def _refuse_unservable(asset: FileAsset) -> None:
    """Raise FileReleased or FileRefused for a file whose bytes and renditions are never served."""
    match asset.status:
        case FileStatus.RELEASED:
            raise FileReleased("The bytes of this file were deleted on purpose; its record is kept.")
        case FileStatus.REJECTED:
            why = (asset.rejection or {}).get("detail") or "A rule refused it."
            raise FileRefused(f"This file was rejected: {why}", file_status=asset.status, rejection=asset.rejection)
        case FileStatus.QUARANTINED:
            raise FileRefused("Malware was found in this file; it is never served.", file_status=asset.status)


def _rendition_filename(asset: FileAsset, rendition: Rendition) -> str:
    base = rendition.mime_type.partition(";")[0]
    suffix = _SUFFIXES.get(base, base.rpartition("/")[2])
    stem, _ending = filenames.split_extension(asset.original_filename)
    return filenames.add_suffix(stem, f"-{rendition.name}", f".{suffix}")
