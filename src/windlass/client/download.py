"""One download: into a partial file beside the target, resumed where it stopped, verified before it is renamed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from windlass.client.api_calls import get_file
from windlass.client.effects import BLOCK_SIZE, ConnectionFailure, Flow, Outcome, Request, Response, Sleep, call
from windlass.client.errors import BadAnswer, ChecksumMismatch, error_of
from windlass.client.models import File
from windlass.client.retries import TRANSIENT, RetryBudget, failure
from windlass.client.server import Server

_REDIRECTS = frozenset({302, 303, 307, 308})
_MAX_REDIRECTS = 5


class PartialFile:
    """The bytes received so far, and their digest. The bytes of a file never change, so its id is in the name."""

    def __init__(self, target: Path, file: File, on_progress: Callable[[int, int], None] | None) -> None:
        self.target = target
        self._path = target.with_name(f"{target.name}.{file.id}.part")
        self._size, self._on_progress = file.size, on_progress
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self.received_size = 0

    def open(self) -> None:
        """Open the partial file and compute the digest of what an earlier run received."""
        self._file = open(self._path, "a+b")  # noqa: SIM115  close() closes it, however the download ends
        self._file.seek(0)
        while block := self._file.read(4 * BLOCK_SIZE):
            self._digest.update(block)
            self.received_size += len(block)
        if self.received_size > self._size:
            self.truncate()

    def start(self, response: Response) -> bool:
        """Return whether the response's body belongs here; otherwise it is read into ``Response.body``."""
        expected_range = f"bytes {self.received_size}-"
        if response.status == 200:
            self.truncate()
        elif response.status == 206 and not response.headers.get("content-range", "").startswith(expected_range):
            raise BadAnswer("The server sent another range than was asked for.", status=206)
        return response.status in (200, 206)

    def write(self, block: bytes) -> None:
        assert self._file is not None
        self._file.write(block)
        self._digest.update(block)
        self.received_size += len(block)

    def report_received(self) -> None:
        if self._on_progress:
            self._on_progress(self.received_size, self._size)

    def truncate(self) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._digest, self.received_size = hashlib.sha256(), 0

    def finish(self, checksum: str | None) -> None:
        """Rename the file to the target. With a wrong digest, delete it and raise ChecksumMismatch."""
        if checksum is not None and self._digest.hexdigest() != checksum:
            self._path.unlink()
            raise ChecksumMismatch(f"The bytes have SHA-256 {self._digest.hexdigest()}; the record says {checksum}.")
        self.close()
        os.replace(self._path, self.target)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Download:
    """One download. ``run`` returns the path; ``target`` may be a directory."""

    def __init__(
        self,
        server: Server,
        file_id: str,
        target: Path,
        retry_budget: RetryBudget,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._server, self._file_id, self._target, self._retry_budget = server, file_id, target, retry_budget
        self._on_progress = on_progress
        self._download_url = server.url("files", file_id, "download")
        self._url = self._download_url
        self._redirects = 0
        self._is_complete = False

    def run(self) -> Flow[Path]:
        """Raises Refused, GaveUp, ChecksumMismatch, BadAnswer or OSError."""
        file = yield from get_file(self._server, self._file_id, self._retry_budget)
        name = safe_name(file.original_filename)
        target = yield from call(lambda: self._target / name if self._target.is_dir() else self._target)
        partial = PartialFile(target, file, self._on_progress)
        try:
            yield from call(partial.open)
            self._is_complete = 0 < partial.received_size == file.size
            while not self._is_complete:
                yield from self._fetch(partial, file)
            if file.checksum is None:  # the record was read before the server had computed the digest
                file = yield from get_file(self._server, self._file_id, self._retry_budget)
            checksum = file.checksum
            yield from call(lambda: partial.finish(checksum))
        finally:
            partial.close()
        return target

    def _fetch(self, partial: PartialFile, file: File) -> Flow[None]:
        before = partial.received_size
        request = Request("GET", self._url, self._headers(partial, file), sink=partial)
        outcome = yield from self._server.send(request)
        if partial.received_size > before:
            self._retry_budget.note_progress()
        if isinstance(outcome, Response):
            self._retry_budget.note_response()
        if isinstance(outcome, ConnectionFailure) or outcome.status in TRANSIENT or _is_not_ready(outcome):
            yield from self._back_off(outcome)
        elif outcome.status in (200, 206):
            self._check_length(partial, file)
        elif outcome.status in _REDIRECTS and "location" in outcome.headers and self._redirects < _MAX_REDIRECTS:
            self._redirects += 1
            self._url = self._server.resolve(outcome.headers["location"], self._url)
        elif outcome.status == 416 and partial.received_size:
            yield from call(partial.truncate)
        else:
            raise error_of(outcome)

    def _headers(self, partial: PartialFile, file: File) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if partial.received_size:
            headers["Range"] = f"bytes={partial.received_size}-"
        if partial.received_size and file.checksum and self._url == self._download_url:
            headers["If-Range"] = f'"{file.checksum}"'
        return headers

    def _check_length(self, partial: PartialFile, file: File) -> None:
        if partial.received_size > file.size:
            raise BadAnswer(f"The server sent {partial.received_size} bytes of a file of {file.size}.")
        self._is_complete = partial.received_size == file.size
        if not self._is_complete and partial.received_size == 0:
            raise BadAnswer("The server sent an empty body for a file that is not empty.")

    def _back_off(self, outcome: Outcome) -> Flow[None]:
        delay = self._retry_budget.delay_after_failure(0.0, outcome.retry_after)
        if delay is None:
            raise failure(outcome)
        self._url, self._redirects = self._download_url, 0  # a signed URL of a store may have expired meanwhile
        yield Sleep(delay)


def _is_not_ready(response: Response) -> bool:
    return response.status == 409 and response.retry_after is not None


def safe_name(name: str) -> str:
    """Return a file name that stays in its directory and is not hidden."""
    printable = "".join(each for each in Path(name).name if each.isprintable()).lstrip(".")
    return printable or "download"
