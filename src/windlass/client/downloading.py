"""One download: into a file beside the target, from where an earlier one stopped, checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from windlass.client import records
from windlass.client.commands import PIECE, Answer, Flow, Interrupted, Outcome, Pause, Request, call, send
from windlass.client.errors import BadAnswer, ChecksumMismatch, GaveUp, refusal
from windlass.client.exchange import sentence
from windlass.client.models import File
from windlass.client.patience import Patience
from windlass.client.server import Server

_REDIRECTS = frozenset({302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class PartFile:
    """The bytes that are here so far, and their digest. Bytes of a file never change, so its id is in the name."""

    def __init__(self, target: Path, file: File, on_progress: Callable[[int, int], None] | None) -> None:
        self.target = target
        self._path = target.with_name(f"{target.name}.{file.id}.part")
        self._size, self._on_progress = file.size, on_progress
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self.have = 0

    def open(self) -> None:
        """Take up what is there, reading it for the digest."""
        self._file = open(self._path, "a+b")  # noqa: SIM115  closed by close(), whatever ends the download
        self._file.seek(0)
        while piece := self._file.read(4 * PIECE):
            self._digest.update(piece)
            self.have += len(piece)
        if self.have > self._size:
            self.empty()

    def begin(self, answer: Answer) -> bool:
        if answer.status == 200:
            self.empty()
        elif answer.status == 206 and not answer.headers.get("content-range", "").startswith(f"bytes {self.have}-"):
            raise BadAnswer("The server sent another range than was asked for.", status=206)
        return answer.status in (200, 206)

    def write(self, piece: bytes) -> None:
        assert self._file is not None
        self._file.write(piece)
        self._digest.update(piece)
        self.have += len(piece)

    def received(self) -> None:
        if self._on_progress:
            self._on_progress(self.have, self._size)

    def empty(self) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._digest, self.have = hashlib.sha256(), 0

    def finish(self, checksum: str | None) -> None:
        """Give the file its name. Raises ChecksumMismatch, and keeps nothing."""
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
    """The conversation of one download. ``run`` gives the path; ``target`` may be a directory."""

    def __init__(
        self,
        server: Server,
        file_id: str,
        target: Path,
        patience: Patience,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._server, self._file_id, self._target, self._patience = server, file_id, target, patience
        self._on_progress = on_progress
        self._bytes = server.url("files", file_id, "download")
        self._url = self._bytes
        self._hops = 0
        self._arrived = False

    def run(self) -> Flow[Path]:
        """Raises Refused, GaveUp, ChecksumMismatch, BadAnswer or OSError."""
        file = yield from records.file(self._server, self._file_id, self._patience)
        target = yield from call(lambda: self._place(file))
        part = PartFile(target, file, self._on_progress)
        try:
            yield from call(part.open)
            self._arrived = 0 < part.have == file.size
            while not self._arrived:
                yield from self._fetch(part, file)
            if file.checksum is None:  # it was asked for before anybody had read the bytes
                file = yield from records.file(self._server, self._file_id, self._patience)
            checksum = file.checksum
            yield from call(lambda: part.finish(checksum))
        finally:
            part.close()
        return target

    def _place(self, file: File) -> Path:
        return self._target / safe_name(file.original_filename) if self._target.is_dir() else self._target

    def _fetch(self, part: PartFile, file: File) -> Flow[None]:
        before = part.have
        outcome = yield from send(Request("GET", self._url, self._headers(part, file), sink=part))
        if part.have > before:
            self._patience.progressed()
        if isinstance(outcome, Answer):
            self._patience.answered()
        if isinstance(outcome, Interrupted) or outcome.status in _PASSING or _not_yet(outcome):
            yield from self._again(outcome)
        elif outcome.status in (200, 206):
            self._check_length(part, file)
        elif outcome.status in _REDIRECTS and "location" in outcome.headers and self._hops < 5:
            self._hops += 1
            self._url = self._server.resolve(outcome.headers["location"], self._url)
        elif outcome.status == 416 and part.have:
            yield from call(part.empty)
        else:
            raise refusal(outcome)

    def _headers(self, part: PartFile, file: File) -> dict[str, str]:
        wanted = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if part.have:
            wanted["Range"] = f"bytes={part.have}-"
        if part.have and file.checksum and self._url == self._bytes:
            wanted["If-Range"] = f'"{file.checksum}"'
        return self._server.headers(self._url, wanted)

    def _check_length(self, part: PartFile, file: File) -> None:
        if part.have > file.size:
            raise BadAnswer(f"The server sent {part.have} bytes of a file of {file.size}.")
        self._arrived = part.have == file.size
        if not self._arrived and part.have == 0:
            raise BadAnswer("The server sent an empty body for a file that is not empty.")

    def _again(self, outcome: Outcome) -> Flow[None]:
        wanted = outcome.retry_after if isinstance(outcome, Answer) else None
        delay = self._patience.after_failure(0.0, wanted)
        if delay is None:
            raise GaveUp(sentence(outcome.reason)) if isinstance(outcome, Interrupted) else refusal(outcome)
        self._url, self._hops = self._bytes, 0  # a signed URL of a store may have run out by now
        yield Pause(delay)


def _not_yet(answer: Answer) -> bool:
    return answer.status == 409 and answer.retry_after is not None


def safe_name(name: str) -> str:
    """A name that stays in the directory where it is put, and is not hidden there."""
    kept = "".join(each for each in Path(name).name if each.isprintable()).lstrip(".")
    return kept or "download"
