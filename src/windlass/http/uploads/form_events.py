"""A form as it comes: its events, and the bytes of the part that is open."""

from __future__ import annotations

from windlass.kernel.errors import FileTooLarge
from windlass.protocols.form import FormEvent, FormParser, PartData, PartEnded
from windlass.receiving.body import ByteSource
from windlass.storage.contract import Buffer


class FormEvents:
    """The form's events, and as a source the bytes of the file part that is open."""

    def __init__(self, body: ByteSource, parser: FormParser) -> None:
        self._body = body
        self._parser = parser
        self._pending: list[FormEvent] = []
        self._part_is_open = False
        self.file_bytes = 0
        self.limit = 0

    async def next(self) -> FormEvent | None:
        """The next event; None once the form has ended. Raises ClientGone, BadRequest. Cancelling it loses nothing."""
        while not self._pending:
            data = await self._body.read()
            if data is None:
                self._parser.finish()
                return None
            self._pending = self._parser.feed(bytes(data))
        event = self._pending.pop(0)
        self._part_is_open = not isinstance(event, PartEnded)
        return event

    async def read(self) -> Buffer | None:
        """ByteSource: the open part's next bytes, None at its end. Raises FileTooLarge past the limit of all files."""
        event = await self.next()
        if not isinstance(event, PartData):
            return None
        self.file_bytes += len(event.data)
        if self.file_bytes > self.limit:
            raise FileTooLarge(self.limit, self.file_bytes, what="form's files together")
        return event.data

    async def skip(self) -> None:
        """Pass over the rest of the open part, if it has not ended yet."""
        while self._part_is_open and await self.read() is not None:
            pass
