"""What Uppy is told."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.protocols.intents import Reply

_NO_STORE = {"Cache-Control": "no-store"}


def created(upload_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """The id that Uppy goes on with is ours; the store's own stands in the signed URLs."""
    return _reply({"key": key, "uploadId": str(upload_id), "bucket": bucket})


def invited(
    upload_id: uuid.UUID | None,
    key: str,
    *,
    method: str,
    url: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str],
    seconds: int,
) -> Reply:
    """Of ``params``. Beside what Uppy reads, the upload's id, where there is one yet, and its key, by which a page can
    follow it."""
    shown: dict[str, Any] = {"method": method, "url": url, "fields": dict(fields), "headers": dict(headers)}
    named = {"key": key} | ({"uploadId": str(upload_id)} if upload_id else {})
    return _reply(shown | {"expires": seconds} | named)


def listed(parts: Iterable[tuple[int, str, int]]) -> Reply:
    """``parts``: number, tag, size. Tags are quoted, as the store quotes them when it is sent one."""
    return _reply([{"PartNumber": number, "ETag": f'"{tag}"', "Size": size} for number, tag, size in parts])


def part(url: str, seconds: int) -> Reply:
    return _reply({"url": url, "expires": seconds})


def parts(signed: Mapping[int, str]) -> Reply:
    return _reply({"presignedUrls": {str(number): url for number, url in signed.items()}})


def completed(file_id: uuid.UUID, key: str, bucket: str) -> Reply:
    """``location`` is the file's record: Uppy hands it to the page as ``uploadURL``."""
    location = urls.absolute(f"/files/{file_id}/")
    return _reply({"location": location, "key": key, "bucket": bucket}, {"Windlass-File": urls.file_path(file_id)})


def aborted() -> Reply:
    return _reply({})


def refused(problem: Problem) -> Reply:
    """Version 5 shows a person ``message``. Fields that are wrong are 400 in this dialect."""
    status = 400 if problem.status == 422 else problem.status
    return Reply(status, dict(problem.headers) | _NO_STORE, {"error": problem.detail, "message": problem.detail})


def _reply(body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(200, _NO_STORE | dict(headers or {}), body)
