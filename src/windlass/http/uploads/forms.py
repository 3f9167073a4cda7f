"""Multipart forms: one or several files and their fields, streamed. No file is recorded before the form has ended,
because its checksum, reference and metadata may stand after its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from windlass import conf
from windlass.files import api as files
from windlass.http import file_records as records
from windlass.http.endpoints import problem_of
from windlass.http.uploads.form_events import FormEvents
from windlass.http.uploads.upload_request import Incoming
from windlass.http.uploads.upload_responses import of_file
from windlass.kernel.errors import BodyTooLarge, FileTooLarge, Problem
from windlass.protocols import form
from windlass.protocols.dialects import Dialect, require_whole_body
from windlass.protocols.form import FormRequest, PartBegan, PartEnded
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload
from windlass.storage.contract import StoreError

#: What a form may hold besides its files (bytes): part headers and ordinary fields.
OVERHEAD = 2 * 1024 * 1024


async def take(incoming: Incoming) -> Response:
    """POST /files with a form: the record of its one file, or the list form for several."""
    return await _take(incoming, always_list=False)


async def take_batch(incoming: Incoming) -> Response:
    """POST /files/batch: the same, and always the list form."""
    return await _take(incoming, always_list=True)


async def _take(incoming: Incoming, *, always_list: bool) -> Response:
    require_whole_body(incoming.head)
    asked = form.parse(incoming.head)
    total = _largest_total(incoming)
    _check_total(asked, total)
    intake = _Intake(asked, FormEvents(incoming.body, asked.parser), incoming, total)
    try:
        await intake.receive()
        await intake.finish(incoming.request_id)
    finally:
        await asyncio.shield(intake.discard_unfinished())
    return _answer(intake, incoming, always_list=always_list)


def _largest_total(incoming: Incoming) -> int:
    """Bytes that all files of this form may have together, as far as its head tells: a field may name the profile."""
    known = files.profiles()
    named = incoming.head.query.get("profile", "")
    possible = [known[named]] if named in known else list(known.values())
    return max(_total_of(profile) for profile in possible)


def _total_of(profile: files.Profile) -> int:
    """Bytes that all files of a form with this profile may have together."""
    return conf.get().max_total_upload_size or profile.max_size


def _check_total(asked: FormRequest, total: int) -> None:
    """Raises FileTooLarge where the announced length leaves no doubt."""
    if asked.body_length is not None and asked.body_length > total + OVERHEAD:
        raise FileTooLarge(total, asked.body_length, what="form's files together")


@dataclass
class _Received:
    """One file part: what came of it. ``problem`` and no upload where it was refused."""

    part: PartBegan
    upload: SingleRequestUpload | None = None
    problem: Problem | None = None
    record: dict[str, Any] | None = None


@dataclass
class _Intake:
    """All files of one form."""

    asked: FormRequest
    events: FormEvents
    incoming: Incoming
    total: int
    received: list[_Received] = field(default_factory=list)

    async def receive(self) -> None:
        """Take every part. What is wrong with one file is kept with it; what is wrong with the form is raised."""
        self.events.limit = self.total
        while (event := await self.events.next()) is not None:
            if self.asked.fields.take(event) or isinstance(event, PartEnded):
                continue
            if isinstance(event, PartBegan):
                await self._receive_file(event)
        self.asked.fields.finish()

    async def finish(self, request_id: str) -> None:
        """The form has ended: record its files, with what was said after their bytes."""
        late = self.asked.fields.late
        for item in self.received:
            if item.upload is None or item.problem is not None:
                continue
            item.upload.describe(reference=late.reference, sha256=late.sha256, metadata=dict(late.metadata))
            try:
                item.record = await item.upload.finish(request_id, records.new_file_record)
            except (Problem, StoreError) as error:
                item.problem = problem_of(error)

    async def discard_unfinished(self) -> None:
        for item in self.received:
            if item.upload is not None:
                await item.upload.discard()

    def _hold_to(self, profile: files.Profile) -> None:
        """The profile is known at the first file and stays: what is wrong with it is wrong with the form."""
        self.total = self.events.limit = _total_of(profile)
        _check_total(self.asked, self.total)

    async def _receive_file(self, part: PartBegan) -> None:
        item = _Received(part)
        self.received.append(item)
        allowed = conf.get().max_files_per_upload
        principal = await self.incoming.principal_of_form(self.asked.fields.values)
        described = self.asked.fields.description_for(part)
        self._hold_to(files.profile(described.profile))
        try:
            if len(self.received) > allowed:
                raise BodyTooLarge(f"One form may have at most {allowed} files.", limit=allowed)
            item.upload = SingleRequestUpload(admit(described, None, principal, Dialect.FORM))
            await item.upload.receive(self.events)
        except (Problem, StoreError) as error:
            if self.events.file_bytes > self.total:
                raise  # no later part can fit either
            item.problem = problem_of(error)
            await self.events.skip()


def _answer(intake: _Intake, incoming: Incoming, *, always_list: bool) -> Response:
    stored = [item.record for item in intake.received if item.record is not None]
    problems = [item.problem for item in intake.received if item.problem is not None]
    if len(intake.received) == 1 and not always_list:
        if problems:
            raise problems[0]
        return of_file(stored[0])
    return _list_form(intake, stored, problems, incoming)


def _list_form(
    intake: _Intake, stored: Sequence[dict[str, Any]], problems: Sequence[Problem], incoming: Incoming
) -> Response:
    errors = [_error(item, incoming) for item in intake.received if item.problem is not None]
    if not stored:
        first = problems[0]
        first.members["errors"] = errors
        raise first
    return JSONResponse({"files": list(stored), "errors": errors}, status_code=201)


def _error(item: _Received, incoming: Incoming) -> dict[str, Any]:
    assert item.problem is not None
    document = item.problem.document(incoming.request.url.path, incoming.request_id)
    return document | {"filename": item.part.filename}
