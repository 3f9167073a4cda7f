"""The events of a multipart form while its body arrives, and the bytes of its open part."""

from __future__ import annotations

from windlass.kernel.problem_types import FileTooLarge
from windlass.protocols.dialects import require_whole_body
from windlass.protocols.form_parser import FormEvent, PartData, PartEnded, parser_of
from windlass.protocols.intents import Head
from windlass.receiving.body import BodySocket, RequestBody
from windlass.storage.contract import Buffer


class FormEvents:
    """The events of a form as it arrives; also the ``ByteSource`` of the file part that is open.

    ``limit``: bytes that all files together may have.
    """

    def __init__(self, head: Head, body: RequestBody, limit: int) -> None:
        """Raises BadRequest, UnsupportedMediaType for a body that is no form, or only a part of one."""
        require_whole_body(head)
        self._body = body
        self._parser = parser_of(head)
        self._pending: list[FormEvent] = []
        self._part_is_open = False
        self.file_bytes = 0
        self.limit = limit

    async def next(self) -> FormEvent | None:
        """The next event; None once the form has ended. Cancelling it loses no event. Raises ClientGone, BadRequest."""
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
        """The open part's next bytes, None at its end. Raises FileTooLarge beyond ``limit``."""
        event = await self.next()
        if not isinstance(event, PartData):
            return None
        self._count(len(event.data))
        return event.data

    def take_socket(self) -> BodySocket | None:
        """See ``ByteSource``: the thread that reads the socket then searches for the boundary."""
        if self._pending or not self._part_is_open:
            return None
        socket = self._body.take_socket()
        return None if socket is None else _PartSocket(socket, self)

    def leaves_in_socket(self, size: int) -> bool:
        """See ``ByteSource``; not while events wait here, which may be the end of the part."""
        return not self._pending and self._part_is_open and self._body.leaves_in_socket(size)

    def parse(self, received: memoryview) -> list[Buffer]:
        """The open part's bytes in what was received; the events from its end on are kept. Raises BadRequest,
        FileTooLarge beyond ``limit``."""
        events = self._parser.feed(bytes(received))
        content: list[Buffer] = []
        for number, event in enumerate(events):
            if not isinstance(event, PartData):
                self._pending = events[number:]
                break
            content.append(event.data)
            self._count(len(event.data))
        return content

    @property
    def has_pending(self) -> bool:
        """Whether events have been parsed that nobody has taken."""
        return bool(self._pending)

    def _count(self, size: int) -> None:
        self.file_bytes += size
        if self.file_bytes > self.limit:
            raise FileTooLarge(self.limit, self.file_bytes, what="form's files together")

    async def skip(self) -> None:
        """Skip the rest of the open part, if it has not ended yet."""
        while self._part_is_open and await self.read() is not None:
            pass


class _PartSocket:
    """The socket of a form's body, as that of its open part; a ``BodySocket``."""

    def __init__(self, socket: BodySocket, events: FormEvents) -> None:
        self._socket, self._events = socket, events
        self.receive_into, self.poll = socket.receive_into, socket.poll
        self.report, self.wait, self.close = socket.report, socket.wait, socket.close

    @property
    def left(self) -> int:
        return self._socket.left

    @property
    def last_received_at(self) -> float:
        return self._socket.last_received_at

    @property
    def ended(self) -> bool:
        return self._socket.ended or self._events.has_pending

    def content(self, received: memoryview) -> list[Buffer]:
        return self._events.parse(received)
