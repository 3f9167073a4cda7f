"""One upload with tus 1.0, and its options.

The upload is a loop over what is known. Without a URL: create (POST). With a URL but no offset: ask for it (HEAD).
With both: append (PATCH). Each response adds to what is known; a failure discards the offset.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from windlass.client.effects import ConnectionFailure, Flow, Outcome, Request, Response, Sleep, call, send
from windlass.client.errors import BadAnswer, GaveUp, error_of, is_in_progress, problem_of
from windlass.client.resume_state import ResumeState
from windlass.client.retries import RetryBudget, failure, quoted
from windlass.client.server import Server
from windlass.client.upload_source import Source, SourceBody

#: Called with the bytes transferred so far and their total.
Progress = Callable[[int, int], None]
Notice = Callable[[str], None]

TUS_HEADERS = {"Tus-Resumable": "1.0.0"}
#: Keys of tus metadata to which the server gives a meaning.
_RESERVED_KEYS = frozenset({"filename", "name", "filetype", "type", "profile", "reference", "sha256"})
#: Statuses after which the same request may succeed: timeout, locked, too many requests, server or proxy failure.
_TRANSIENT = frozenset({408, 423, 425, 429, 500, 502, 503, 504})
#: The server does not know the upload, or has ended it.
_GONE = frozenset({404, 410})


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of ``upload``. UploadSettings documents them."""

    filename: str | None
    content_type: str | None
    profile: str | None
    reference: str | None
    metadata: Mapping[str, Any] | None
    sha256: str | Literal[True] | None
    on_progress: Progress | None
    on_notice: Notice | None
    chunk_size: int | None
    resume: bool
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """The options of one upload, validated.

    ``filename``: default is the source's own name. ``content_type``: declared type; default is a guess by the name.
    ``metadata``: shown in the record; values that are not strings are sent as JSON.
    ``sha256``: the digest in hexadecimal, or True to compute it first; the server refuses bytes with another digest.
    ``on_progress(sent, total)``: bytes handed over, corrected to the server's offset after an interruption, so it may
    fall. ``on_notice(text)``: interruptions, and the offset from which the upload resumes.
    ``chunk_size``: maximum bytes of one request; None sends all remaining bytes in one, which is the fastest.
    ``resume``: resume an earlier upload of the same file to the same server. A file object has no lasting identity:
    it is resumed within the call only.
    ``idempotency_key``: a name for this upload, of 1 to 255 printable ASCII characters. Whoever uploads the same file
    with the same options and key again gets the same file, also on another machine. By default each upload has a key of
    its own, so that a creation whose answer was lost can be repeated.
    """

    filename: str | None = None
    content_type: str | None = None
    profile: str | None = None
    reference: str | None = None
    metadata: Mapping[str, Any] | None = None
    sha256: str | Literal[True] | None = None
    on_progress: Progress | None = None
    on_notice: Notice | None = None
    chunk_size: int | None = None
    resume: bool = True
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        key = self.idempotency_key
        if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
            raise ValueError("idempotency_key must be 1 to 255 printable ASCII characters.")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError("chunk_size must be at least 1 byte.")
        for key in self.metadata or {}:
            if not key or not key.isascii() or not key.isprintable() or set(key) & {" ", ","} or key in _RESERVED_KEYS:
                reserved = ", ".join(sorted(_RESERVED_KEYS))
                raise ValueError(f"{key!r} cannot be a key of metadata: ASCII, no space or comma, and not {reserved}.")

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this upload from others of the same file to the same server."""
        metadata = None
        if self.metadata is not None:
            metadata = {key: _metadata_text(value) for key, value in self.metadata.items()}
        names = ("filename", "content_type", "profile", "reference", "sha256")
        key = {} if self.idempotency_key is None else {"idempotency_key": self.idempotency_key}
        return {name: getattr(self, name) for name in names} | {"metadata": metadata} | key

    def upload_metadata(self, name: str | None, digest: str | None) -> str:
        filename = self.filename or name or "unnamed"
        pairs = {
            "filename": filename,
            "filetype": self.content_type or mimetypes.guess_type(filename)[0],
            "profile": self.profile,
            "reference": self.reference,
            "sha256": digest,
            **(self.metadata or {}),
        }
        texts = ((key, _metadata_text(value)) for key, value in pairs.items() if value is not None)
        return ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts)


def _metadata_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Upload:
    """One upload of a source. ``run`` returns the file's id."""

    def __init__(
        self,
        server: Server,
        source: Source,
        settings: UploadSettings,
        resume_state: ResumeState,
        retry_budget: RetryBudget,
    ) -> None:
        self._server, self._source, self._settings = server, source, settings
        self._resume_state, self._retry_budget = resume_state, retry_budget
        self._key = settings.idempotency_key or str(uuid.uuid4())
        self._url: str | None = None
        self._offset: int | None = None
        self._file_id: str | None = None
        self._digest: str | None = None
        self._highest_offset = 0
        self._reported_offset = 0
        self._restarts = 0

    def run(self) -> Flow[str]:
        """Raises Refused, GaveUp, SourceChanged or BadAnswer."""
        if self._settings.resume:
            self._url = yield from call(self._resume_state.load_url)
        while self._file_id is None:
            if self._url is None:
                yield from self._create()
            elif self._offset is None:
                yield from self._find_offset(self._url)
            else:
                yield from self._append(self._url, self._offset)
        yield from call(self._resume_state.delete)
        yield from call(self._source.verify)
        return self._file_id

    def _create(self) -> Flow[None]:
        if self._digest is None:
            self._digest = yield from self._expected_digest()
        url = self._server.url("files")
        headers = TUS_HEADERS | {
            "Upload-Length": str(self._source.size),
            "Upload-Metadata": self._settings.upload_metadata(self._source.name, self._digest),
            "Idempotency-Key": quoted(self._key),
        }
        outcome = yield from self._send(Request("POST", url, self._server.headers(url, headers)))
        if isinstance(outcome, ConnectionFailure) or outcome.status in _TRANSIENT or is_in_progress(outcome):
            yield from self._back_off(outcome)
            return
        if outcome.status != 201:
            raise error_of(outcome)
        if "location" not in outcome.headers:
            raise BadAnswer("The server created an upload without naming its URL.", status=outcome.status)
        self._url = self._server.resolve(outcome.headers["location"], url)
        # An upload that an earlier request created may have bytes already.
        self._offset, self._highest_offset = None if "idempotency-replayed" in outcome.headers else 0, 0
        self._read_file_id(outcome)
        if self._settings.resume:
            yield from self._save_url(self._url)

    def _find_offset(self, url: str) -> Flow[None]:
        outcome = yield from self._send(Request("HEAD", url, self._server.headers(url, TUS_HEADERS)))
        if isinstance(outcome, ConnectionFailure) or outcome.status in _TRANSIENT:
            yield from self._back_off(outcome, outcome.seconds)
        elif outcome.status in _GONE:
            yield from self._restart(outcome)
        elif outcome.status in (200, 204):
            yield from self._resume_at(url, self._read_offset(outcome), outcome)
        else:
            raise error_of(outcome)

    def _resume_at(self, url: str, offset: int, response: Response) -> Flow[None]:
        self._offset = offset
        self._read_file_id(response)
        self._note_offset(offset)
        if offset < self._reported_offset:
            self._notice(f"The server has {offset} of the {self._reported_offset} bytes that were sent")
        elif offset and self._file_id is None:
            self._notice(f"Resuming at byte {offset} of {self._source.size}")
        self._report_progress(offset)
        if self._settings.resume:
            yield from self._save_url(url)

    def _append(self, url: str, offset: int) -> Flow[None]:
        yield from call(self._source.verify)
        end = min(offset + (self._settings.chunk_size or self._source.size), self._source.size)
        body = SourceBody(self._source, offset, end, self._report_progress)
        headers = TUS_HEADERS | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        outcome = yield from self._send(Request("PATCH", url, self._server.headers(url, headers), body))
        if isinstance(outcome, Response) and outcome.status in (200, 204):
            yield from self._note_appended(offset, self._read_offset(outcome), outcome)
        elif isinstance(outcome, ConnectionFailure) or outcome.status in _TRANSIENT | {507} or _is_mismatch(outcome):
            self._offset = None
            yield from self._back_off(outcome, 0.0 if body.has_sent_bytes else outcome.seconds)
        elif outcome.status in _GONE:
            yield from self._restart(outcome)
        else:
            yield from self._fail(outcome)

    def _note_appended(self, before: int, offset: int, response: Response) -> Flow[None]:
        self._offset = offset
        self._read_file_id(response)
        self._report_progress(offset)
        if offset > before:
            self._note_offset(offset)
        elif self._file_id is None and offset == self._source.size:
            raise BadAnswer("The server has every byte and names no file. Is this address a Windlass server?")
        elif self._file_id is None:
            yield from self._back_off(response)

    def _fail(self, response: Response) -> Flow[None]:
        """Raise a final refusal. Forget the upload, unless only the credential is missing."""
        if response.status not in (401, 403):
            yield from call(self._resume_state.delete)
        raise error_of(response)

    def _restart(self, response: Response) -> Flow[None]:
        """Start again once: the stored upload may have expired. The second time somebody ends new uploads: raise."""
        yield from call(self._resume_state.delete)
        self._restarts += 1
        if self._restarts > 1:
            raise error_of(response)
        self._notice("The server no longer knows the earlier upload; the upload starts again")
        self._url = self._offset = None
        if self._settings.idempotency_key is None:
            self._key = str(uuid.uuid4())

    def _back_off(self, outcome: Outcome, spent: float | None = None) -> Flow[None]:
        error = failure(outcome)
        reason = str(error).rstrip(".")
        delay = self._retry_budget.delay_after_failure(outcome.seconds if spent is None else spent, outcome.retry_after)
        if delay is None:
            raise GaveUp(f"{error} Run the same upload again to resume it.") if isinstance(error, GaveUp) else error
        self._notice(f"{reason}; trying again in {delay:.1f} s")
        yield Sleep(delay)

    def _send(self, request: Request) -> Flow[Outcome]:
        outcome = yield from send(request)
        if isinstance(outcome, Response):
            self._retry_budget.note_response()
        return outcome

    def _expected_digest(self) -> Flow[str | None]:
        if self._settings.sha256 is True:
            self._notice("Computing the SHA-256")
            return (yield from call(self._source.sha256))
        return self._settings.sha256

    def _save_url(self, url: str) -> Flow[None]:
        yield from call(lambda: self._resume_state.save_url(url))

    def _read_file_id(self, response: Response) -> None:
        link = response.headers.get("windlass-file", "")
        self._file_id = link.rstrip("/").rpartition("/")[2] or None

    def _read_offset(self, response: Response) -> int:
        offset = -1
        with contextlib.suppress(ValueError):
            offset = int(response.headers.get("upload-offset", ""))
        if not 0 <= offset <= self._source.size:
            raise BadAnswer("The server's answer names no offset within the file.", status=response.status)
        return offset

    def _note_offset(self, offset: int) -> None:
        if offset > self._highest_offset:
            self._highest_offset = offset
            self._retry_budget.note_progress()

    def _report_progress(self, sent: int) -> None:
        self._reported_offset = sent
        if self._settings.on_progress:
            self._settings.on_progress(sent, self._source.size)

    def _notice(self, text: str) -> None:
        if self._settings.on_notice:
            self._settings.on_notice(text)


def _is_mismatch(response: Response) -> bool:
    """Whether a 409 is an offset mismatch, which a HEAD resolves, and not a conflict about the upload."""
    slug = str(problem_of(response).get("type", "")).rpartition("/")[2]
    return response.status == 409 and slug in ("", "offset-mismatch")
