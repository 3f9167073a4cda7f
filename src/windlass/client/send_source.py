"""Send a source as one upload, or in parts over several connections, whichever the caller or the link asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from windlass.client.automatic_parts import (
    LEAST_FILE_BYTES,
    TRIAL_BYTES,
    ConnectionCount,
    FixedCount,
    Part,
    automatic_parts,
    is_worth_parts,
    parts_of,
)
from windlass.client.effects import Flow, call
from windlass.client.errors import Refused
from windlass.client.parallel_upload import LIMITS_OF_PARTS, ParallelUpload
from windlass.client.resume_state import ResumeFile, ResumeState
from windlass.client.retries import RetryBudget
from windlass.client.server import Server
from windlass.client.upload import Upload, UploadPlan
from windlass.client.upload_settings import Progress, UploadSettings
from windlass.client.upload_source import SeekableSource, Source, SourceDigest

#: The id of the file, and the SHA-256 of the bytes that were read unless the server verified one.
Sent = tuple[str, str | None]


def upload_plan(
    source: Source, settings: UploadSettings, expected: str | None = None, digest: SourceDigest | None = None
) -> UploadPlan:
    """Return how a source is sent in one upload. ``expected``: its SHA-256, which the server checks."""
    return UploadPlan(
        {"Upload-Metadata": settings.upload_metadata(source.name, expected)},
        chunk_size=settings.chunk_size,
        resume=settings.resume,
        idempotency_key=settings.idempotency_key,
        on_progress=settings.on_progress,
        on_notice=settings.on_notice,
        digest=digest,
    )


class SourceSender:
    """Sends sources to one server. ``directory`` stores unfinished uploads; ``budget`` makes one for each upload."""

    def __init__(self, server: Server, directory: Path, budget: Callable[[], RetryBudget]) -> None:
        self._server, self._directory, self._budget = server, directory, budget
        #: The owner has a limit that parts reach: no other file is sent in parts unless the caller asks for them.
        self._is_limited = False

    def send(self, source: Source, settings: UploadSettings) -> Flow[Sent]:
        chosen = settings.parallel_parts
        if isinstance(source, SeekableSource) and chosen is not None:
            parts = parts_of(source.size, chosen)
            if len(parts) > 1:
                return (yield from self._parallel(source, settings, parts, FixedCount(chosen)).run()), None
        elif isinstance(source, SeekableSource) and self._may_choose(source, settings):
            return (yield from self._send_as_the_link_asks(source, settings))
        return (yield from self._send_whole(source, settings))

    def _may_choose(self, source: SeekableSource, settings: UploadSettings) -> bool:
        """An idempotency key means the same requests on every machine, whatever its link."""
        return source.size >= LEAST_FILE_BYTES and settings.idempotency_key is None and not self._is_limited

    def _send_whole(self, source: Source, settings: UploadSettings) -> Flow[Sent]:
        upload, digest = yield from self._whole(source, settings)
        return (yield from _finished(upload, digest))

    def _send_as_the_link_asks(self, source: SeekableSource, settings: UploadSettings) -> Flow[Sent]:
        """Send the first bytes in one upload; go on with parts if the rest would take long by its rate."""
        parts = automatic_parts(source.size)
        rate = None
        if not (yield from call(self._state_of(source, settings, parts[0]).load_url)):
            upload, digest = yield from self._whole(source, settings)
            is_new = yield from upload.run_trial(TRIAL_BYTES)
            rate = upload.rate
            if not is_new or not is_worth_parts(source.size - TRIAL_BYTES, rate):
                return (yield from _finished(upload, digest))
            yield from upload.abandon()
            settings = replace(settings, on_progress=_at_least(TRIAL_BYTES, settings.on_progress))
            _notice(settings, "Sending the file in parts, over several connections")
        try:
            count = ConnectionCount(rate)
            return (yield from self._parallel(source, settings, parts, count, LIMITS_OF_PARTS).run()), None
        except Refused as error:
            if error.slug not in LIMITS_OF_PARTS:
                raise
        self._is_limited = True
        _notice(settings, "The server limits uploads at the same time; sending the file in one")
        return (yield from self._send_whole(source, settings))

    def _whole(self, source: Source, settings: UploadSettings) -> Flow[tuple[Upload, SourceDigest | None]]:
        expected = yield from _announced_digest(source, settings)
        digest = SourceDigest(source) if settings.verify and expected is None else None
        plan = upload_plan(source, settings, expected, digest)
        return Upload(self._server, source, plan, self._state_of(source, settings), self._budget()), digest

    def _parallel(
        self,
        source: SeekableSource,
        settings: UploadSettings,
        parts: Sequence[Part],
        count: ConnectionCount,
        final_problems: frozenset[str] = frozenset(),
    ) -> ParallelUpload:
        def state_of(part: Part) -> ResumeState:
            return self._state_of(source, settings, part)

        return ParallelUpload(
            self._server, source, settings, parts, count, state_of, self._budget, final_problems=final_problems
        )

    def _state_of(self, source: Source, settings: UploadSettings, part: Part | None = None) -> ResumeState:
        if not settings.resume or source.identity is None:
            return ResumeState()
        path, size, modified = source.identity
        upload_key = {"server": self._server.base, "path": path, "size": size, "modified_ns": modified}
        of_part = {} if part is None else {"part": part}
        return ResumeFile(self._directory, upload_key | settings.identity() | of_part)


def _finished(upload: Upload, digest: SourceDigest | None) -> Flow[Sent]:
    uploaded = yield from upload.run()
    assert uploaded.file_id is not None
    return uploaded.file_id, (yield from call(digest.complete)) if digest else None


def _announced_digest(source: Source, settings: UploadSettings) -> Flow[str | None]:
    if settings.sha256 is not True:
        return settings.sha256
    if source.size is None:
        raise ValueError("The SHA-256 of a stream is known at its end only: give it, or leave sha256 out.")
    _notice(settings, "Computing the SHA-256")
    return (yield from call(SourceDigest(source).complete))


def _at_least(least: int, on_progress: Progress | None) -> Progress | None:
    """Report no less than has been reported: bytes that are sent again are no step back."""
    return on_progress and (lambda sent, total: on_progress(max(sent, least), total))


def _notice(settings: UploadSettings, text: str) -> None:
    if settings.on_notice:
        settings.on_notice(text)
