"""Receive the files of one multipart form as a stream.

No file is recorded before the form has ended, because its checksum, reference and metadata may follow its bytes.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from windlass.events.api import recording
from windlass.executors import in_transaction
from windlass.files import api as files
from windlass.http.file_records import new_file_record
from windlass.http.problem_responses import problem_of
from windlass.http.uploads.form_events import FormEvents
from windlass.http.uploads.upload_request import RecordAnswer, UploadRequest
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Problem
from windlass.protocols.form_fields import FieldCollector, LateFields
from windlass.protocols.form_parser import PartBegan
from windlass.protocols.intents import Description
from windlass.receiving.admission import require_open
from windlass.receiving.single import SingleRequestUpload
from windlass.storage.contract import StoreError


@dataclass
class ReceivedFile:
    """One file part and its ``record``, or the ``problem`` for which it was refused."""

    part: PartBegan
    upload: SingleRequestUpload | None = None
    problem: Problem | None = None
    record: dict[str, Any] | None = None


class FormIntake(ABC):
    """All files of one form. A subclass decides what its fields mean and which errors concern the whole form."""

    def __init__(self, upload: UploadRequest, fields: FieldCollector, limit: int) -> None:
        """Raises UploadsPaused, and what FormEvents raises, before anything of the form is read."""
        require_open()
        self.upload = upload
        self.fields = fields
        self.events = FormEvents(upload.head, upload.body, limit)
        self.received: list[ReceivedFile] = []

    async def receive(self) -> list[ReceivedFile]:
        """Receive the files, and record them in one transaction, in the order of the form.

        A problem with one file is stored with it. A problem with the form is raised, and then nothing is recorded.
        """
        try:
            while (event := await self.events.next()) is not None:
                if not self.fields.take(event) and isinstance(event, PartBegan):
                    await self._receive_file(event)
            self.check_form()
            for item in self.received:
                await self._verify(item)
            await self._record_all()
            return self.received
        finally:
            await asyncio.shield(self._discard_unrecorded())

    @abstractmethod
    def describe(self, part: PartBegan) -> Description:
        """The file in ``part``, by the fields that have arrived. Raises a Problem that concerns the form."""

    @abstractmethod
    def admit(self, description: Description, principal: Principal) -> files.NewUpload:
        """Raises a Problem that refuses this file."""

    @abstractmethod
    def concerns_form(self, error: Exception) -> bool:
        """Whether an error while a file was received ends the whole form."""

    @abstractmethod
    def check_form(self) -> None:
        """The form has ended: raise a Problem for what is missing or wrong in it."""

    @abstractmethod
    def first_answer(self) -> Response:
        """The answer with which a request is repeated if the server dies before it has answered.

        Called in the transaction that records the files. Raises the Problem with which all files were refused.
        """

    @abstractmethod
    def late_fields(self, upload: SingleRequestUpload) -> LateFields:
        """What the form says of this file once it has ended."""

    async def _receive_file(self, part: PartBegan) -> None:
        principal = await self.upload.principal_of_form(self.fields.values)
        description = self.describe(part)
        item = ReceivedFile(part)
        self.received.append(item)
        try:
            item.upload = SingleRequestUpload(self.admit(description, principal))
            await item.upload.receive(self.events)
        except (Problem, StoreError) as error:
            if self.concerns_form(error):
                raise
            item.problem = problem_of(error)
            if item.upload is not None:
                await item.upload.discard()
            await self.events.skip()

    async def _verify(self, item: ReceivedFile) -> None:
        if item.upload is None or item.problem is not None:
            return
        late = self.late_fields(item.upload)
        item.upload.describe(reference=late.reference, sha256=late.sha256, metadata=dict(late.metadata))
        try:
            await item.upload.verify()
        except (Problem, StoreError) as error:
            item.problem = problem_of(error)

    async def _record_all(self) -> None:
        """One transaction, so that a form whose server dies is either recorded as a whole or not at all."""
        record_answer = await self.upload.answer_recorder()
        verified = [item for item in self.received if item.upload is not None and item.problem is None]
        if not verified:
            return
        await in_transaction(self._record_verified, verified, record_answer)
        for item in verified:
            if item.upload is not None and item.problem is None:
                item.upload.note_recorded()

    def _record_verified(self, verified: Sequence[ReceivedFile], record_answer: RecordAnswer) -> None:
        with recording():
            for item in verified:
                self._record(item)
            if any(item.record is not None for item in verified):
                record_answer(self.first_answer)
        for item in verified:
            if item.record is not None and item.upload is not None:
                item.upload.note_commit()

    def _record(self, item: ReceivedFile) -> None:
        assert item.upload is not None
        item.record = item.problem = None  # after a failed commit this runs again
        try:
            with recording():  # a file that is refused now does not affect the others
                item.record = new_file_record(item.upload.record(self.upload.request_id))
        except Problem as problem:
            item.problem = problem

    async def _discard_unrecorded(self) -> None:
        for item in self.received:
            if item.upload is not None:
                await item.upload.discard()
