"""Render outcomes as tus replies."""

from __future__ import annotations

from email.utils import format_datetime

from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.protocols.intents import Reply, UploadState
from windlass.protocols.tus.extensions import CHECKSUM_ALGORITHMS, EXTENSIONS, PARTIAL, VERSION


def created(state: UploadState, location: str, *, received_body: bool) -> Reply:
    """``location``: the URL of the upload, as this client reaches it."""
    headers = {"Location": location} | _expiry(state)
    if received_body:
        headers["Upload-Offset"] = str(state.offset)
    return Reply(201, _with_version(headers, state))


def appended(state: UploadState) -> Reply:
    return Reply(204, _with_version({"Upload-Offset": str(state.offset)} | _expiry(state), state))


def queried(state: UploadState) -> Reply:
    """``Upload-Metadata`` is returned exactly as it was sent, even if empty."""
    headers = {"Cache-Control": "no-store"} | _length(state)
    if state.complete or not _is_final(state):
        headers["Upload-Offset"] = str(state.offset)
    if state.concat is not None:
        headers["Upload-Concat"] = state.concat
    if state.client_metadata is not None:
        headers["Upload-Metadata"] = state.client_metadata
    return Reply(200, _with_version(headers, state))


def _length(state: UploadState) -> dict[str, str]:
    """A final upload whose parts are incomplete has no length yet, and its client cannot declare one later."""
    if state.size is not None:
        return {"Upload-Length": str(state.size)}
    return {} if _is_final(state) else {"Upload-Defer-Length": "1"}


def _is_final(state: UploadState) -> bool:
    return state.concat is not None and state.concat != PARTIAL


def aborted() -> Reply:
    return Reply(204, _with_version({}))


def discovered(max_size: int) -> Reply:
    """The one reply without ``Tus-Resumable``. ``max_size`` is in bytes."""
    return Reply(
        204,
        {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Max-Size": str(max_size),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
        },
    )


def refused(problem: Problem) -> dict[str, str]:
    """Return the headers of a refusal of any tus request but OPTIONS. No cache may use it for the next HEAD."""
    headers = problem.headers | {"Cache-Control": "no-store"}
    if problem.status == 412:
        headers["Tus-Version"] = VERSION
    return _with_version(headers)


def _expiry(state: UploadState) -> dict[str, str]:
    if state.complete or state.expires_at is None:
        return {}
    return {"Upload-Expires": format_datetime(state.expires_at, usegmt=True)}


def _with_version(headers: dict[str, str], state: UploadState | None = None) -> dict[str, str]:
    file = {"Windlass-File": urls.file_path(state.file_id)} if state and state.file_id else {}
    return {"Tus-Resumable": VERSION} | headers | file
