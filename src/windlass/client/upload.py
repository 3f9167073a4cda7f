"""One tus upload of a source.

The upload is a loop over what is known. Without a URL: create (POST). With a URL but no offset: ask for it (HEAD).
With both: append (PATCH). Each response adds to what is known; a failure discards the offset.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from windlass.client import retries
from windlass.client.effects import ConnectionFailure, Flow, Outcome, Request, Response, Sleep, call
from windlass.client.errors import BadAnswer, GaveUp, error_of, is_in_progress, slug_of
from windlass.client.resume_state import ResumeState
from windlass.client.retries import RetryBudget, failure, quoted
from windlass.client.server import Server
from windlass.client.upload_settings import Notice, Progress
from windlass.client.upload_source import Source, SourceBody, SourceDigest

TUS_HEADERS = {"Tus-Resumable": "1.0.0"}
#: Statuses after which the same request may succeed. 423: another request writes to the upload.
TRANSIENT = retries.TRANSIENT | {423}
#: The server does not know the upload, or has ended it.
GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What one tus upload is created with, and how it is sent.

    ``creation`` are headers besides the length. ``idempotency_key``: None gives each creation a key of its own.
    ``is_part``: a partial upload, which becomes no file; its stored URL is kept until the whole is complete.
    ``final_problems``: problems of a creation that are raised at once, also where the same request may succeed later.
    ``digest`` receives the blocks that are read.
    """

    creation: Mapping[str, str]
    chunk_size: int | None = None
    resume: bool = True
    idempotency_key: str | None = None
    is_part: bool = False
    final_problems: frozenset[str] = frozenset()
    on_progress: Progress | None = None
    on_notice: Notice | None = None
    digest: SourceDigest | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A complete upload; ``file_id`` is None for a partial one."""

    url: str
    file_id: str | None


class Upload:
    """Uploads a source by a plan."""

    def __init__(
        self, server: Server, source: Source, plan: UploadPlan, resume_state: ResumeState, retry_budget: RetryBudget
    ) -> None:
        self._server, self._source, self._plan = server, source, plan
        self._resume_state, self._retry_budget = resume_state, retry_budget
        self._key = plan.idempotency_key or str(uuid.uuid4())
        self._url: str | None = None
        self._offset: int | None = None
        self._file_id: str | None = None
        self._highest_offset = 0
        self._reported_offset = 0
        self._restarts = 0
        #: Bytes that requests of this run appended, and the seconds that these took, failed ones included.
        self._appended, self._appending_seconds = 0, 0.0
        #: Whether the upload was created before its length was known: the last request declares it.
        self._is_deferred = False

    @property
    def url(self) -> str | None:
        """The upload's URL; None before it is created."""
        return self._url

    @property
    def rate(self) -> float | None:
        """Bytes per second of this run's requests; None if they appended nothing."""
        return self._appended / max(self._appending_seconds, 1e-6) if self._appended else None

    def run(self) -> Flow[Uploaded]:
        """Raises Refused, GaveUp, SourceChanged or BadAnswer."""
        yield from self._load()
        while (uploaded := self._complete()) is None:
            yield from self._step(self._plan.chunk_size)
        if not self._plan.is_part:
            yield from call(self._resume_state.delete)
        yield from call(self._source.verify)
        return uploaded

    def run_trial(self, length: int) -> Flow[bool]:
        """Send the first ``length`` bytes, and return whether the upload is new: ``rate`` is then that of the link.

        ``run`` sends the rest, ``abandon`` ends the upload. Raises what ``run`` raises.
        """
        yield from self._load()
        is_new = self._url is None
        while is_new and (self._offset or 0) < length and self._complete() is None:
            yield from self._step(min(length, self._plan.chunk_size or length))
        return is_new

    def abandon(self) -> Flow[None]:
        """Forget the upload, and delete it by one attempt: it would count against the quota until it expires."""
        yield from call(self._resume_state.delete)
        if self._url is not None:
            yield from self._server.send(Request("DELETE", self._url, TUS_HEADERS))
        self._url = self._offset = None

    def _load(self) -> Flow[None]:
        if self._plan.resume and self._url is None:
            self._url = yield from call(self._resume_state.load_url)

    def _step(self, chunk_size: int | None) -> Flow[None]:
        if self._url is None:
            yield from self._create()
        elif self._offset is None:
            yield from self._find_offset(self._url)
        else:
            yield from self._append(self._url, self._offset, chunk_size)

    def _complete(self) -> Uploaded | None:
        if self._url is None:
            return None
        if self._plan.is_part:
            return Uploaded(self._url, None) if self._offset == self._source.size else None
        return Uploaded(self._url, self._file_id) if self._file_id else None

    def _create(self) -> Flow[None]:
        if self._source.size is None:
            yield from call(lambda: self._source.prepare(0, self._plan.chunk_size))
        size = self._source.size
        self._is_deferred = size is None
        url = self._server.url("files")
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        headers = {**TUS_HEADERS, **length, "Idempotency-Key": quoted(self._key), **self._plan.creation}
        outcome = yield from self._send(Request("POST", url, headers))
        if self._may_repeat_creation(outcome):
            yield from self._back_off(outcome)
            return
        assert isinstance(outcome, Response)
        if outcome.status != 201:
            raise error_of(outcome)
        self._url = location_of(outcome, self._server, url)
        # An upload that an earlier request created may have bytes already.
        self._offset, self._highest_offset = None if "idempotency-replayed" in outcome.headers else 0, 0
        self._file_id = file_id_of(outcome)
        if self._plan.resume:
            yield from self._save_url(self._url)

    def _may_repeat_creation(self, outcome: Outcome) -> bool:
        if isinstance(outcome, ConnectionFailure):
            return True
        if slug_of(outcome) in self._plan.final_problems:
            return False
        return outcome.status in TRANSIENT or is_in_progress(outcome)

    def _find_offset(self, url: str) -> Flow[None]:
        outcome = yield from self._send(Request("HEAD", url, TUS_HEADERS))
        if isinstance(outcome, ConnectionFailure) or outcome.status in TRANSIENT:
            yield from self._back_off(outcome, outcome.seconds)
        elif outcome.status in GONE:
            yield from self._restart(outcome)
        elif outcome.status in (200, 204):
            yield from self._resume_at(url, self._read_offset(outcome), outcome)
        else:
            raise error_of(outcome)

    def _resume_at(self, url: str, offset: int, response: Response) -> Flow[None]:
        self._offset = offset
        self._file_id = file_id_of(response)
        self._note_offset(offset)
        if offset < self._reported_offset:
            self._notice(f"The server has {offset} of the {self._reported_offset} bytes that were sent")
        elif offset and self._complete() is None:
            self._notice(f"Resuming at byte {offset} of {self._source.size}")
        self._report_progress(offset)
        if self._plan.resume:
            yield from self._save_url(url)

    def _append(self, url: str, offset: int, chunk_size: int | None) -> Flow[None]:
        yield from call(self._source.verify)
        end = yield from call(lambda: self._source.prepare(offset, chunk_size))
        on_block = self._plan.digest.feed if self._plan.digest else None
        body = SourceBody(self._source, offset, end, self._report_progress, on_block)
        headers = TUS_HEADERS | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        if self._is_deferred and end == self._source.size:
            headers["Upload-Length"] = str(end)
        outcome = yield from self._send(Request("PATCH", url, headers, body))
        self._appending_seconds += outcome.seconds
        if isinstance(outcome, Response) and outcome.status in (200, 204):
            yield from self._note_appended(offset, self._read_offset(outcome), outcome)
        elif isinstance(outcome, ConnectionFailure) or outcome.status in TRANSIENT | {507} or _is_mismatch(outcome):
            self._offset = None
            yield from self._back_off(outcome, 0.0 if body.has_sent_bytes else outcome.seconds)
        elif outcome.status in GONE:
            yield from self._restart(outcome)
        else:
            yield from self._fail(outcome)

    def _note_appended(self, before: int, offset: int, response: Response) -> Flow[None]:
        self._offset = offset
        self._appended += offset - before
        self._file_id = file_id_of(response)
        self._report_progress(offset)
        if offset > before:
            self._note_offset(offset)
        elif self._complete() is None and offset == self._source.size:
            raise BadAnswer("The server has every byte and names no file. Is this address a Windlass server?")
        elif self._complete() is None:
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
        if self._plan.idempotency_key is None:
            self._key = str(uuid.uuid4())

    def _back_off(self, outcome: Outcome, spent: float | None = None) -> Flow[None]:
        yield from back_off(self._retry_budget, outcome, self._plan.on_notice, spent)

    def _send(self, request: Request) -> Flow[Outcome]:
        outcome = yield from self._server.send(request)
        if isinstance(outcome, Response):
            self._retry_budget.note_response()
        return outcome

    def _save_url(self, url: str) -> Flow[None]:
        yield from call(lambda: self._resume_state.save_url(url))

    def _read_offset(self, response: Response) -> int:
        offset = -1
        with contextlib.suppress(ValueError):
            offset = int(response.headers.get("upload-offset", ""))
        if offset < 0 or (self._source.size is not None and offset > self._source.size):
            raise BadAnswer("The server's answer names no offset within the file.", status=response.status)
        return offset

    def _note_offset(self, offset: int) -> None:
        if offset > self._highest_offset:
            self._highest_offset = offset
            self._retry_budget.note_progress()

    def _report_progress(self, sent: int) -> None:
        self._reported_offset = sent
        if self._plan.on_progress:
            self._plan.on_progress(sent, self._source.size or 0)

    def _notice(self, text: str) -> None:
        if self._plan.on_notice:
            self._plan.on_notice(text)


def back_off(
    retry_budget: RetryBudget, outcome: Outcome, on_notice: Notice | None, spent: float | None = None
) -> Flow[None]:
    """Charge the budget with the outcome's time, or with ``spent``, and wait. Raises the error once it is used up."""
    error = failure(outcome)
    delay = retry_budget.delay_after_failure(outcome.seconds if spent is None else spent, outcome.retry_after)
    if delay is None:
        raise GaveUp(f"{error} Run the same upload again to resume it.") if isinstance(error, GaveUp) else error
    if on_notice:
        on_notice(f"{str(error).rstrip('.')}; trying again in {delay:.1f} s")
    yield Sleep(delay)


def location_of(response: Response, server: Server, base: str) -> str:
    """Return the URL of the upload that a request created. Raises BadAnswer."""
    if "location" not in response.headers:
        raise BadAnswer("The server created an upload without naming its URL.", status=response.status)
    return server.resolve(response.headers["location"], base)


def file_id_of(response: Response) -> str | None:
    """Return the id of the file that a complete upload has become."""
    return response.headers.get("windlass-file", "").rstrip("/").rpartition("/")[2] or None


def _is_mismatch(response: Response) -> bool:
    """Whether a 409 is an offset mismatch, which a HEAD resolves, and not a conflict about the upload."""
    return response.status == 409 and slug_of(response) in ("", "offset-mismatch")
