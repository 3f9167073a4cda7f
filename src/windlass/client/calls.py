"""The calls of both clients, as flows: each client runs them in its own way."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

from windlass.client import api_calls, events
from windlass.client.api_calls import FileFilters, SearchFilters
from windlass.client.credentials import Token
from windlass.client.download import Download
from windlass.client.effects import Emit, Flow, Response, call, together
from windlass.client.errors import ChecksumMismatch, WindlassError
from windlass.client.models import (
    DescribedEntity,
    File,
    FileGraph,
    Paths,
    SearchResult,
    SignedUrl,
    Status,
    UploadOutcome,
    described_entity_of,
    entity_page_of,
    file_graph_of,
    file_of,
    paths_of,
    search_result_of,
    signed_url_of,
)
from windlass.client.resume_state import state_directory
from windlass.client.retries import NOT_MODIFIED, RetryBudget, send_with_retries
from windlass.client.send_source import SourceSender
from windlass.client.server import Server
from windlass.client.upload_settings import Progress, UploadOptions, UploadSettings
from windlass.client.upload_source import Readable, open_source

#: Seconds without progress after which an upload, a download or a wait gives up.
RETRY_SECONDS = 300.0
#: Seconds after which a single API call gives up: somebody waits for its result.
API_CALL_RETRY_SECONDS = 15.0
#: Uploads whose SHA-256 a client remembers until it sees that of the server.
REMEMBERED_DIGESTS = 10_000
#: Sources that ``upload_many`` sends at the same time by default.
CONCURRENT_UPLOADS = 4

#: Bytes of the longest text that a client keeps.
LONGEST_KEPT_TEXT = 16 * 1024 * 1024

#: Called with a source, its bytes transferred so far and their total.
SourceProgress = Callable[[Readable, int, int], None]


@dataclass(frozen=True, slots=True)
class _KeptText:
    file_id: str
    etag: str
    text: str


class Calls:
    """The calls to one server. Each method returns a flow."""

    def __init__(
        self, url: str, token: Token | None, retry_seconds: float, patience: float | None, state: Path | None
    ) -> None:
        if patience is not None:
            warnings.warn("`patience` is now called `retry_seconds`.", DeprecationWarning, stacklevel=3)
            retry_seconds = patience
        self.server = Server(url, token)
        self._retry_seconds = retry_seconds
        self._sender = SourceSender(self.server, state or state_directory(), self._budget)
        #: By the file's id, oldest first. An entry is removed when it is compared.
        self._sent_digests: dict[str, str] = {}
        #: The last one that was read: who reads on in it asks only whether it is still the same.
        self._kept_text: _KeptText | None = None

    def upload(self, source: Readable, **options: Unpack[UploadOptions]) -> Flow[File]:
        """Upload a path or a binary file object. ``windlass.client.UploadSettings`` documents the options."""
        settings = UploadSettings(**options)
        opened = yield from call(lambda: open_source(source))
        try:
            file_id, digest = yield from self._sender.send(opened, settings)
        finally:
            opened.close()
        if digest is not None:
            self._remember_digest(file_id, digest)
        return self._compared((yield from api_calls.get_file(self.server, file_id, self._budget())))

    def upload_many(
        self,
        sources: Iterable[Readable],
        *,
        concurrency: int = CONCURRENT_UPLOADS,
        on_source_progress: SourceProgress | None = None,
        **options: Unpack[UploadOptions],
    ) -> Flow[list[UploadOutcome]]:
        """Upload several sources, ``concurrency`` at a time. A source that fails does not stop the others.

        Returns an outcome for each source, in their order. The options are those of ``upload``, for every source;
        only ``parallel_parts`` is 1 by default where several are sent at a time, which use the link well enough.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1.")
        if concurrency > 1:
            options.setdefault("parallel_parts", 1)
        flows = (self._upload_one(source, on_source_progress, options) for source in sources)
        return (yield from together(flows, concurrency))

    def download(
        self, file_id: str, path: str | os.PathLike[str] = ".", on_progress: Progress | None = None
    ) -> Flow[Path]:
        """Download into a file, or into a directory under the file's own name. The SHA-256 is checked."""
        return Download(self.server, file_id, Path(path), self._budget(), on_progress).run()

    def wait(
        self, file_id: str, timeout: float | None = None, on_status: Callable[[Status], None] | None = None
    ) -> Flow[File]:
        """Return the record once the file is in an end state. Raises WaitTimeout, and ChecksumMismatch for a file that
        this client uploaded with ``verify``."""
        waiting = api_calls.wait_until_ended(self.server, file_id, self._budget(), timeout, on_status)
        return self._compared((yield from waiting))

    def files(self, **filters: Unpack[FileFilters]) -> Flow[None]:
        """Every file that matches, newest first. ``windlass.client.FileFilters`` documents the filters."""
        url: str | None = api_calls.list_url(self.server, filters)
        while url:
            page = yield from api_calls.get_page(self.server, url, self._call_budget())
            for file in page.results:
                yield Emit(file)
            url = page.next

    def search(self, query: str, **filters: Unpack[SearchFilters]) -> Flow[SearchResult]:
        """The files whose texts, names or facts match best. ``windlass.client.SearchFilters`` documents the filters."""
        response = yield from self._send("POST", self.server.url("search"), api_calls.search_body(query, filters))
        return api_calls.parse(search_result_of, response)

    def file_graph(self, file_id: str) -> Flow[FileGraph]:
        """The entities that a file names, and what it says about them."""
        response = yield from self._send("GET", self.server.url("files", file_id, "graph"))
        return api_calls.parse(file_graph_of, response)

    def entities(self, q: str = "", *, type: str | None = None, limit: int | None = None) -> Flow[None]:
        """Every entity that the caller's files name, by name. ``q``: a part of the name. ``type``: such as ``person``.
        ``limit``: entities that one request returns."""
        url: str | None = api_calls.entities_url(self.server, q, type, limit)
        while url:
            page = api_calls.parse(entity_page_of, (yield from self._send("GET", url)))
            for entity in page.results:
                yield Emit(entity)
            url = self.server.resolve(page.next, url) if page.next else None

    def entity(self, entity_id: str) -> Flow[DescribedEntity]:
        """An entity with its names, its files and its relations. Raises NotFound."""
        response = yield from self._send("GET", self.server.url("graph", "entities", entity_id))
        return api_calls.parse(described_entity_of, response)

    def merge_entity(self, entity_id: str, into: str) -> Flow[DescribedEntity]:
        """Let one entity count as another one of the same type, ``into``, which is returned; ``split_entity`` undoes
        it. Raises NotFound, and Conflict for entities of two types."""
        url = self.server.url("graph", "entities", into, "merges")
        response = yield from self._send("POST", url, {"entity": entity_id})
        return api_calls.parse(described_entity_of, response)

    def split_entity(self, entity_id: str) -> Flow[DescribedEntity]:
        """Undo every merge into an entity; if there is none, make each of its names an entity of its own. Returns what
        is left of it. Raises NotFound, and Conflict if there is nothing to split."""
        response = yield from self._send("DELETE", self.server.url("graph", "entities", entity_id, "merges"))
        return api_calls.parse(described_entity_of, response)

    def paths(self, from_: str, to: str, *, longest: int | None = None) -> Flow[Paths]:
        """The shortest paths between two entities, of at most ``longest`` relations (up to 6; 4 by default)."""
        response = yield from self._send("GET", api_calls.paths_url(self.server, from_, to, longest))
        return api_calls.parse(paths_of, response)

    def events(
        self, file_id: str | None = None, *, upload_id: str | None = None, since: int | None = None
    ) -> Flow[None]:
        """The events of a file or an upload from its first one on, or of everything that the caller owns from now on.

        Never ends by itself. After a lost connection or a restart of the server it resumes without a gap. ``since`` is
        the ``id`` of the last event seen: the events after it come first. Raises GaveUp after ``retry_seconds`` without
        a connection.
        """
        if file_id is not None and upload_id is not None:
            raise ValueError("Give file_id or upload_id, not both.")
        if file_id is not None:
            url = self.server.url("files", file_id, "events")
        elif upload_id is not None:
            url = self.server.url("uploads", upload_id, "events")
        else:
            url = self.server.url("events")
        return events.follow(self.server, url, self._budget(), since)

    def file(self, file_id: str) -> Flow[File]:
        return api_calls.get_file(self.server, file_id, self._call_budget())

    def status(self, file_id: str) -> Flow[Status]:
        return api_calls.get_status(self.server, file_id, self._call_budget())

    def text(self, file_id: str) -> Flow[str]:
        """The text extracted from the file. Raises Conflict before it is ready, NotFound if there is none."""
        kept = self._kept_text if self._kept_text is not None and self._kept_text.file_id == file_id else None
        condition = {"If-None-Match": kept.etag} if kept is not None else {}
        response = yield from self._send("GET", self.server.url("files", file_id, "text"), headers=condition)
        if kept is not None and response.status == NOT_MODIFIED:
            return kept.text
        text, etag = response.body.decode("utf-8", "replace"), response.headers.get("etag", "")
        self._kept_text = _KeptText(file_id, etag, text) if etag and len(response.body) <= LONGEST_KEPT_TEXT else None
        return text

    def delete(self, file_id: str, *, permanent: bool = False) -> Flow[None]:
        """Move the file to the trash, if the server has one. ``permanent`` deletes it, also from the trash."""
        yield from self._send("DELETE", self.server.url("files", file_id) + "?permanent=true" * permanent)

    def restore(self, file_id: str) -> Flow[File]:
        """Restore a file from the trash, which ``files(trashed=True)`` lists. NotFound once it has expired."""
        response = yield from self._send("POST", self.server.url("files", file_id, "restore"))
        return api_calls.parse(file_of, response)

    def release(self, file_id: str) -> Flow[File]:
        """Delete the bytes and keep the record."""
        response = yield from self._send("POST", self.server.url("files", file_id, "release"))
        return api_calls.parse(file_of, response)

    def reprocess(self, file_id: str) -> Flow[None]:
        yield from self._send("POST", self.server.url("files", file_id, "reprocess"))

    def signed_url(
        self, file_id: str, expires_in: int | None = None, *, rendition: str | None = None
    ) -> Flow[SignedUrl]:
        """A download URL of the file, or of a rendition such as ``thumbnail``, that needs no other credential.

        It is valid for ``expires_in`` seconds.
        """
        url = self.server.url("files", file_id, "signed-url")
        asked = {"expires_in": expires_in, "rendition": rendition}
        response = yield from self._send("POST", url, {key: value for key, value in asked.items() if value is not None})
        signed = api_calls.parse(signed_url_of, response)
        return SignedUrl(self.server.resolve(signed.url, url), signed.expires_at)

    def _send(
        self, method: str, url: str, payload: Any = None, *, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Flow[Response]:
        return send_with_retries(self.server, method, url, self._call_budget(), payload, headers)

    def _budget(self) -> RetryBudget:
        """The retry budget of a transfer or a wait."""
        return RetryBudget(self._retry_seconds)

    def _call_budget(self) -> RetryBudget:
        """The retry budget of a single API call."""
        return RetryBudget(min(self._retry_seconds, API_CALL_RETRY_SECONDS))

    def _upload_one(
        self, source: Readable, on_source_progress: SourceProgress | None, options: UploadOptions
    ) -> Flow[UploadOutcome]:
        if on_source_progress is not None:
            report = on_source_progress
            options = {**options, "on_progress": lambda sent, total: report(source, sent, total)}
        try:
            return UploadOutcome(source, file=(yield from self.upload(source, **options)))
        except (WindlassError, OSError, ValueError, TypeError) as error:
            return UploadOutcome(source, error=error)

    def _compared(self, file: File) -> File:
        """Compare the SHA-256 of a record with that of the bytes which this client sent. Raises ChecksumMismatch."""
        if file.checksum is None:
            return file
        sent = self._sent_digests.pop(file.id, file.checksum)
        if sent != file.checksum:
            raise ChecksumMismatch(
                f"The server stored other bytes than were sent as file {file.id}: their SHA-256 is {file.checksum}, "
                f"not {sent}. Delete the file and upload it again."
            )
        return file

    def _remember_digest(self, file_id: str, digest: str) -> None:
        self._sent_digests[file_id] = digest
        while len(self._sent_digests) > REMEMBERED_DIGESTS:
            self._sent_digests.pop(next(iter(self._sent_digests)), None)
