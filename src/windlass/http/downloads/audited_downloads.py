"""Downloads in the audit log (AUDIT_DOWNLOADS)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from windlass import conf
from windlass.events.api import AuditAction, record_action
from windlass.executors import in_transaction
from windlass.files.api import FileAsset


async def record_download(request: Request, status: int, assets: Sequence[FileAsset], part: str) -> None:
    """Record that bytes of files are about to be sent with this status. ``part``: ``file``, ``archive`` or the name of
    a rendition."""
    if conf.get().audit_downloads and request.method == "GET" and status in (200, 206):
        await in_transaction(_record, assets, part)


def _record(assets: Sequence[FileAsset], part: str) -> None:
    for asset in assets:
        record_action(AuditAction.FILE_DOWNLOADED, owner=asset.owner, file_id=asset.id, detail={"part": part})
