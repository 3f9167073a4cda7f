"""Render replies to Uppy."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.protocols.intents import Reply

_NO_STORE = {"Cache-Control": "no-store"}


def created(upload_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """``uploadId`` is the id of the upload session; the store's own id is in the signed URLs only."""
    return _reply({"key": key, "uploadId": str(upload_id), "bucket": bucket})


def signed_request(
    upload_id: uuid.UUID | None,
    key: str,
    *,
    method: str,
    url: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str],
    seconds: int,
) -> Reply:
    """Reply to ``params``. Besides what Uppy reads it has the upload's id, if there is one already, and its key, by
    which a page can follow it."""
    shown: dict[str, Any] = {"method": method, "url": url, "fields": dict(fields), "headers": dict(headers)}
    identity = {"key": key} | ({"uploadId": str(upload_id)} if upload_id else {})
    return _reply(shown | {"expires": seconds} | identity)


def uploaded_parts(parts: Iterable[tuple[int, str, int]]) -> Reply:
    """``parts``: number, ETag, size. ETags are quoted, as the store quotes them."""
    return _reply([{"PartNumber": number, "ETag": f'"{tag}"', "Size": size} for number, tag, size in parts])


def signed_part(url: str, seconds: int) -> Reply:
    return _reply({"url": url, "expires": seconds})


def signed_parts(signed: Mapping[int, str]) -> Reply:
    return _reply({"presignedUrls": {str(number): url for number, url in signed.items()}})


def completed(file_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """``location``: the URL of the file's record, which Uppy passes to the page as ``uploadURL``."""
    location = urls.absolute(f"/files/{file_id}/")
    return _reply({"location": location, "key": key, "bucket": bucket}, {"Windlass-File": urls.file_path(file_id)})


def aborted() -> Reply:
    return _reply({})


def refused(problem: Problem) -> Reply:
    """Version 5 displays ``message``. Invalid fields are 400 in this dialect."""
    status = 400 if problem.status == 422 else problem.status
    return Reply(status, dict(problem.headers) | _NO_STORE, {"error": problem.detail, "message": problem.detail})


def _reply(body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(200, _NO_STORE | dict(headers or {}), body)
