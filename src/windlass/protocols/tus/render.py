"""Outcomes as tus replies."""

from __future__ import annotations

from windlass.kernel.errors import Problem
from windlass.protocols.intents import Reply, UploadState
from windlass.protocols.tus.dialect import EXTENSIONS, VERSION


def created(state: UploadState, location: str, *, received_body: bool) -> Reply:
    """``location`` is where the upload goes on, as this client reaches it."""
    headers = {"Location": location}
    if received_body:
        headers["Upload-Offset"] = str(state.offset)
    return Reply(201, _spoken(headers, state))


def appended(state: UploadState) -> Reply:
    return Reply(204, _spoken({"Upload-Offset": str(state.offset)}, state))


def queried(state: UploadState) -> Reply:
    """``Upload-Metadata`` goes back exactly as it came, an empty one too."""
    headers = {"Upload-Offset": str(state.offset), "Cache-Control": "no-store"}
    if state.size is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(state.size)
    if state.client_metadata is not None:
        headers["Upload-Metadata"] = state.client_metadata
    return Reply(200, _spoken(headers, state))


def aborted() -> Reply:
    return Reply(204, _spoken({}))


def discovered(max_size: int) -> Reply:
    """The one reply without ``Tus-Resumable``. ``max_size`` is in bytes."""
    return Reply(204, {"Tus-Version": VERSION, "Tus-Extension": ",".join(EXTENSIONS), "Tus-Max-Size": str(max_size)})


def refused(problem: Problem) -> dict[str, str]:
    """The headers of a refusal of any tus request but OPTIONS. No cache may answer the next HEAD with it."""
    headers = problem.headers | {"Cache-Control": "no-store"}
    if problem.status == 412:
        headers["Tus-Version"] = VERSION
    return _spoken(headers)


def _spoken(headers: dict[str, str], state: UploadState | None = None) -> dict[str, str]:
    file = {"Windlass-File": f"/files/{state.file_id}/"} if state and state.file_id else {}
    return {"Tus-Resumable": VERSION} | headers | file
