"""Outcomes as tus replies."""

from __future__ import annotations

from email.utils import format_datetime

from windlass.kernel import urls
from windlass.kernel.errors import Problem
from windlass.protocols.intents import Reply, UploadState
from windlass.protocols.tus.extensions import CHECKSUM_ALGORITHMS, EXTENSIONS, PARTIAL, VERSION


def created(state: UploadState, location: str, *, received_body: bool) -> Reply:
    """``location`` is where the upload goes on, as this client reaches it."""
    headers = {"Location": location} | _expiry(state)
    if received_body:
        headers["Upload-Offset"] = str(state.offset)
    return Reply(201, _spoken(headers, state))


def appended(state: UploadState) -> Reply:
    return Reply(204, _spoken({"Upload-Offset": str(state.offset)} | _expiry(state), state))


def queried(state: UploadState) -> Reply:
    """``Upload-Metadata`` goes back exactly as it came, an empty one too."""
    headers = {"Cache-Control": "no-store"} | _length(state)
    if state.complete or not _is_final(state):
        headers["Upload-Offset"] = str(state.offset)
    if state.concat is not None:
        headers["Upload-Concat"] = state.concat
    if state.client_metadata is not None:
        headers["Upload-Metadata"] = state.client_metadata
    return Reply(200, _spoken(headers, state))


def _length(state: UploadState) -> dict[str, str]:
    """A final upload whose parts are still under way has no length yet, and none that its client could say later."""
    if state.size is not None:
        return {"Upload-Length": str(state.size)}
    return {} if _is_final(state) else {"Upload-Defer-Length": "1"}


def _is_final(state: UploadState) -> bool:
    return state.concat is not None and state.concat != PARTIAL


def aborted() -> Reply:
    return Reply(204, _spoken({}))


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
    """The headers of a refusal of any tus request but OPTIONS. No cache may answer the next HEAD with it."""
    headers = problem.headers | {"Cache-Control": "no-store"}
    if problem.status == 412:
        headers["Tus-Version"] = VERSION
    return _spoken(headers)


def _expiry(state: UploadState) -> dict[str, str]:
    if state.complete or state.expires_at is None:
        return {}
    return {"Upload-Expires": format_datetime(state.expires_at, usegmt=True)}


def _spoken(headers: dict[str, str], state: UploadState | None = None) -> dict[str, str]:
    file = {"Windlass-File": urls.file(state.file_id)} if state and state.file_id else {}
    return {"Tus-Resumable": VERSION} | headers | file
