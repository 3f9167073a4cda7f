"""A large upload as partial uploads at the same time, which the server concatenates (tus concatenation)."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Sequence

from windlass.client.automatic_parts import ConnectionCount, Part
from windlass.client.effects import Flow, Request, Response, Sleep, call, together
from windlass.client.errors import Refused, error_of, is_in_progress, slug_of
from windlass.client.resume_state import ResumeState
from windlass.client.retries import RetryBudget, quoted
from windlass.client.server import Server
from windlass.client.upload import (
    GONE,
    TRANSIENT,
    TUS_HEADERS,
    Upload,
    UploadPlan,
    back_off,
    file_id_of,
    location_of,
)
from windlass.client.upload_settings import UploadSettings, metadata_header
from windlass.client.upload_source import SeekableSource, SourceDigest

#: Seconds between two questions whether the server has concatenated the parts.
POLL_SECONDS = 1.0

#: Limits of the owner that parts reach before the whole does: more uploads, and twice the bytes.
LIMITS_OF_PARTS = frozenset({"too-many-uploads", "quota-exceeded"})


class ParallelUpload:
    """Uploads the parts of a source over ``connections``.

    ``state_of`` and ``budget`` make what each part needs for itself. ``final_problems``: as an UploadPlan has them.
    """

    def __init__(
        self,
        server: Server,
        source: SeekableSource,
        settings: UploadSettings,
        parts: Sequence[Part],
        connections: ConnectionCount,
        state_of: Callable[[Part], ResumeState],
        budget: Callable[[], RetryBudget],
        final_problems: frozenset[str] = frozenset(),
    ) -> None:
        self._server, self._source, self._settings, self._parts = server, source, settings, parts
        self._states = [state_of(part) for part in parts]
        self._connections, self._budget, self._final_problems = connections, budget, final_problems
        self._progress = _SharedProgress(settings, source.size, len(parts))
        self._uploads: dict[int, Upload] = {}
        self._restarts = 0

    def run(self) -> Flow[str]:
        """Return the file's id. The server has verified the SHA-256 of the whole, unless the settings want none.

        Raises Refused, GaveUp, SourceChanged or BadAnswer.
        """
        try:
            file_id = yield from self._run()
        except Refused as error:
            if _is_final(error) or error.slug in self._final_problems:
                yield from self._terminate_parts()
            raise
        yield from self._forget_parts()
        yield from call(self._source.verify)
        return file_id

    def _run(self) -> Flow[str]:
        while True:
            # The digest is computed while the parts are sent.
            (digest,), parts = yield from together([self._digest(), self._send_parts()], 2)
            file_id = yield from self._concatenate(parts, digest)
            if file_id is not None:
                return file_id
            yield from self._terminate_parts()
            self._progress.notice("The server no longer knows the parts; the upload starts again")

    def _send_parts(self) -> Flow[list[str]]:
        """Return the URLs of the complete partial uploads, in order.

        As long as the number of connections is not settled, each of them sends one part, and the rates are compared.
        """
        count, urls = self._connections, list[str]()
        while len(urls) < len(self._parts):
            end = len(self._parts) if count.is_settled else min(len(urls) + count.current, len(self._parts))
            numbers = range(len(urls), end)
            urls += yield from together([self._send_part(number) for number in numbers], count.current)
            count.note([self._uploads[number].rate for number in numbers])
        return urls

    def _digest(self) -> Flow[list[str]]:
        """Return the SHA-256 of the whole, as the only item; it is empty if none is wanted."""
        if isinstance(self._settings.sha256, str):
            return [self._settings.sha256]
        if not (self._settings.verify or self._settings.sha256):
            return [""]
        whole = yield from call(lambda: self._source.open_part(0, self._source.size))
        try:
            return [(yield from call(SourceDigest(whole).complete))]
        finally:
            whole.close()

    def _send_part(self, number: int) -> Flow[str]:
        start, end = self._parts[number]
        source = yield from call(lambda: self._source.open_part(start, end))
        try:
            plan = UploadPlan(
                {"Upload-Concat": "partial", "Upload-Metadata": metadata_header({"profile": self._settings.profile})},
                chunk_size=self._settings.chunk_size,
                resume=self._settings.resume,
                idempotency_key=self._key_of(f"part {number} of {len(self._parts)}"),
                is_part=True,
                final_problems=self._final_problems,
                on_progress=lambda sent, _: self._progress.report(number, sent),
                on_notice=lambda text: self._progress.notice(f"Part {number + 1} of {len(self._parts)}: {text}"),
            )
            upload = Upload(self._server, source, plan, self._states[number], self._budget())
            self._uploads[number] = upload
            return (yield from upload.run()).url
        finally:
            source.close()

    def _key_of(self, part: str) -> str | None:
        """Derive a part's key from the upload's, so that another machine finds the same partial uploads."""
        key = self._settings.idempotency_key
        return None if key is None else hashlib.sha256(f"{key}\0{part}".encode()).hexdigest()

    def _concatenate(self, parts: Sequence[str], digest: str) -> Flow[str | None]:
        """Return the id of the file; None if the server no longer has the parts, and they must be sent again."""
        url = self._server.url("files")
        headers = TUS_HEADERS | {
            "Upload-Concat": f"final;{' '.join(parts)}",
            "Upload-Metadata": self._settings.upload_metadata(self._source.name, digest or None),
            "Idempotency-Key": quoted(self._settings.idempotency_key or str(uuid.uuid4())),
        }
        outcome = yield from self._repeat(Request("POST", url, headers))
        if self._may_restart(outcome):
            return None
        if outcome.status != 201:
            raise error_of(outcome)
        final = location_of(outcome, self._server, url)
        while (file_id := file_id_of(outcome)) is None:
            yield Sleep(POLL_SECONDS)
            outcome = yield from self._repeat(Request("HEAD", final, TUS_HEADERS))
            if self._may_restart(outcome):
                return None
            if outcome.status not in (200, 204):
                raise error_of(outcome)
        return file_id

    def _repeat(self, request: Request) -> Flow[Response]:
        """Send a request until there is an answer that counts."""
        budget = self._budget()
        while True:
            outcome = yield from self._server.send(request)
            if isinstance(outcome, Response):
                budget.note_response()
                is_final = outcome.status not in TRANSIENT and not is_in_progress(outcome)
                if is_final or slug_of(outcome) in self._final_problems:
                    return outcome
            yield from back_off(budget, outcome, self._progress.notice)

    def _may_restart(self, response: Response) -> bool:
        """Whether the server no longer knows the parts, for the first time."""
        self._restarts += response.status in GONE
        return response.status in GONE and self._restarts == 1

    def _terminate_parts(self) -> Flow[None]:
        """Delete the partial uploads, which would count against the quota until they expire; one attempt for each."""
        for upload in self._uploads.values():
            if upload.url is not None:
                yield from self._server.send(Request("DELETE", upload.url, TUS_HEADERS))
        self._uploads.clear()
        yield from self._forget_parts()

    def _forget_parts(self) -> Flow[None]:
        for state in self._states:
            yield from call(state.delete)


def _is_final(error: Refused) -> bool:
    """Whether no later run can resume: the server refuses the upload itself, and not only the credential."""
    status = error.status or 0
    return 400 <= status < 500 and status not in TRANSIENT | {401, 403}


class _SharedProgress:
    """The progress of all parts as one. Threads may report at the same time; the callbacks run one at a time."""

    def __init__(self, settings: UploadSettings, size: int, parts: int) -> None:
        self._settings, self._size = settings, size
        self._sent = [0] * parts
        self._lock = threading.Lock()

    def report(self, number: int, sent: int) -> None:
        with self._lock:
            self._sent[number] = sent
            if self._settings.on_progress:
                self._settings.on_progress(sum(self._sent), self._size)

    def notice(self, text: str) -> None:
        with self._lock:
            if self._settings.on_notice:
                self._settings.on_notice(text)
