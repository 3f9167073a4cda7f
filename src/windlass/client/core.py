"""The conversations behind both clients, with what they share: server, patience and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from windlass.client import records
from windlass.client.commands import Flow, call
from windlass.client.downloading import Download
from windlass.client.memory import FileSlot, Slot, state_directory
from windlass.client.models import File, Page, SignedUrl, Status
from windlass.client.options import Progress, Wanted
from windlass.client.patience import Patience
from windlass.client.server import Server
from windlass.client.source import Readable, Source, open_source
from windlass.client.uploading import Upload

DEFAULT_SERVER = "http://127.0.0.1:8000"


class Core:
    """What a client of one server can do. ``patience`` is seconds without progress before it gives up.

    A single question is asked again for a quarter of a minute at most: somebody waits for the answer.
    """

    def __init__(self, url: str, token: str | None, patience: float, state: Path | None) -> None:
        self._server = Server(url, token)
        self._limit = patience
        self._state = state

    def upload(self, given: Readable, wanted: Wanted) -> Flow[File]:
        source = yield from call(lambda: open_source(given))
        try:
            slot = self._slot(source, wanted)
            file_id = yield from Upload(self._server, source, wanted, slot, Patience(self._limit)).run()
        finally:
            source.close()
        return (yield from records.file(self._server, file_id, Patience(self._limit)))

    def download(self, file_id: str, target: Path, on_progress: Progress | None) -> Flow[Path]:
        return Download(self._server, file_id, target, Patience(self._limit), on_progress).run()

    def wait(self, file_id: str, timeout: float | None, on_status: Callable[[Status], None] | None) -> Flow[File]:
        return records.wait(self._server, file_id, Patience(self._limit), timeout, on_status)

    def file(self, file_id: str) -> Flow[File]:
        return records.file(self._server, file_id, self._briefly())

    def status(self, file_id: str) -> Flow[Status]:
        return records.status(self._server, file_id, self._briefly())

    def text(self, file_id: str) -> Flow[str]:
        return records.text(self._server, file_id, self._briefly())

    def first_page(self, filters: Mapping[str, Any]) -> str:
        return records.first_page(self._server, filters)

    def page(self, url: str) -> Flow[Page]:
        return records.page(self._server, url, self._briefly())

    def delete(self, file_id: str, permanent: bool) -> Flow[None]:
        return records.delete(self._server, file_id, permanent, self._briefly())

    def restore(self, file_id: str) -> Flow[File]:
        return records.restore(self._server, file_id, self._briefly())

    def release(self, file_id: str) -> Flow[File]:
        return records.release(self._server, file_id, self._briefly())

    def reprocess(self, file_id: str) -> Flow[None]:
        return records.reprocess(self._server, file_id, self._briefly())

    def signed_url(self, file_id: str, expires_in: int | None) -> Flow[SignedUrl]:
        return records.signed_url(self._server, file_id, expires_in, self._briefly())

    def _briefly(self) -> Patience:
        return Patience(min(self._limit, 15.0))

    def _slot(self, source: Source, wanted: Wanted) -> Slot:
        if not wanted.resume or source.identity is None:
            return Slot()
        path, size, modified = source.identity
        described = {"server": self._server.base, "path": path, "size": size, "modified_ns": modified}
        return FileSlot(self._state or state_directory(), described | wanted.told())
