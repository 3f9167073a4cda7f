"""Forms of the media API: pictures and videos with what is said of them, streamed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from windlass.http.endpoints import problem_of
from windlass.http.uploads.form_events import FormEvents
from windlass.http.uploads.upload_request import Incoming
from windlass.kernel.errors import BadRequest, InvalidField, Problem
from windlass.protocols import heads
from windlass.protocols import media as dialect
from windlass.protocols.dialects import Dialect, require_whole_body
from windlass.protocols.form import FieldCollector, FormParser, PartBegan
from windlass.protocols.json_fields import LARGEST
from windlass.receiving.admission import admit
from windlass.receiving.single import SingleRequestUpload
from windlass.storage.contract import StoreError

#: Fields that may stand anywhere in the form, and in the query.
_SAID = ("post_id", "media_type")


class MediaForm:
    """All files of one form, at most ``most``, of this ``kind`` if one is named. ``name``: the part's, for people."""

    def __init__(
        self,
        incoming: Incoming,
        *,
        most: int,
        kind: str | None = None,
        max_size: int | None = None,
        name: str = "file",
    ) -> None:
        require_whole_body(incoming.head)
        heads.refuse_content_encoding(incoming.head)
        self._incoming = incoming
        self._most = most
        self._kind = kind
        self._max_size = max_size
        self._name = name
        self._events = FormEvents(incoming.body, FormParser(incoming.head.headers.get("content-type", "")))
        self._events.limit = LARGEST  # each file has a limit of its own
        self._fields = FieldCollector()
        self._received: list[SingleRequestUpload | Problem] = []

    async def take(self) -> list[uuid.UUID | Problem]:
        """The files, in the order of the form; a Problem in the place of one that could not be taken.

        What is wrong with the form is raised, and nothing of it stays.
        """
        try:
            await self._receive()
            return [await self._finish(each) for each in self._received]
        finally:
            await asyncio.shield(self._discard())

    async def _receive(self) -> None:
        while (event := await self._events.next()) is not None:
            if not self._fields.take(event) and isinstance(event, PartBegan):
                if len(self._received) == self._most:
                    raise InvalidField(f"At most {self._most} files may be sent here.", limit=self._most)
                await self._receive_file(event)
        if not self._received:
            raise InvalidField(f"The form has no file called {self._name}.", field=self._name)
        dialect.metadata(self._said())  # also where no file came after the field

    async def _receive_file(self, part: PartBegan) -> None:
        principal = await self._incoming.principal_of_form(self._fields.values)
        described = dialect.describe(self._said(), part.filename, part.content_type)
        upload: SingleRequestUpload | None = None
        try:
            upload = SingleRequestUpload(admit(described, None, principal, Dialect.FORM, max_size=self._max_size))
            await upload.receive(self._events)
        except (Problem, StoreError) as error:
            if upload is not None:
                await upload.discard()
            if isinstance(error, BadRequest):
                raise  # the form itself is broken
            self._received.append(problem_of(error))
            await self._events.skip()
        except BaseException:
            if upload is not None:
                await asyncio.shield(upload.discard())
            raise
        else:
            self._received.append(upload)

    async def _finish(self, item: SingleRequestUpload | Problem) -> uuid.UUID | Problem:
        if isinstance(item, Problem):
            return item
        last = dialect.describe(self._said(), item.new.filename, None)
        item.describe(reference=last.reference, sha256=None, metadata=dict(last.metadata))
        try:
            return await item.finish(self._incoming.request_id, lambda asset: asset.id)
        except (Problem, StoreError) as error:
            return problem_of(error)

    def _said(self) -> dict[str, Any]:
        """The fields so far; what the form says stands above the query."""
        query = self._incoming.head.query
        found = {name: self._fields.values.get(name) or query.get(name) for name in _SAID}
        return found | ({"media_type": self._kind} if self._kind else {})

    async def _discard(self) -> None:
        for item in self._received:
            if isinstance(item, SingleRequestUpload):
                await item.discard()


def shown(result: dict[str, Any] | Problem, incoming: Incoming) -> dict[str, Any]:
    """One entry of the list that answers a form with several files."""
    if isinstance(result, Problem):
        return {"error": result.document(incoming.request.url.path, incoming.request_id)}
    return result
