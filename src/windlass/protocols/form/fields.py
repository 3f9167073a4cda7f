"""The ordinary fields of a form, collected in bounded memory."""

from __future__ import annotations

from windlass.kernel.errors import BadRequest, BodyTooLarge, InvalidField
from windlass.protocols.form.parser import FormEvent, PartBegan, PartData, PartEnded

MAX_FIELD_BYTES = 64 * 1024
MAX_ALL_FIELDS_BYTES = 1024 * 1024


class FieldCollector:
    """Collects the values of ordinary fields from the events of a form; of a repeated field the last value.

    ``ended``: the field that the last event completed, None if it completed none.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.ended: str | None = None
        self._open: str | None = None
        self._typed = False
        self._pieces = bytearray()
        self._total = 0

    def take(self, event: FormEvent) -> bool:
        """Process an event of an ordinary field; False for an event of a file. Raises BodyTooLarge, BadRequest,
        InvalidField."""
        self.ended = None
        match event:
            case PartBegan(filename=None):
                self._open, self._typed = event.name, event.content_type is not None
                self._pieces.clear()
                self._count(len(event.name))
                return True
            case PartData() if self._open is not None:
                self._add(self._open, event.data)
                return True
            case PartEnded() if self._open is not None:
                self._set_value(self._open, self._pieces)
                self.ended, self._open = self._open, None
                return True
        return False

    def _add(self, name: str, data: memoryview) -> None:
        if len(self._pieces) + len(data) > MAX_FIELD_BYTES:
            self._refuse_if_probably_a_file()
            raise BodyTooLarge(
                f"The field {name[:40]!r} is larger than {MAX_FIELD_BYTES // 1024} KiB, the most that one field "
                "may have. The bytes of a file belong in a part with a filename.",
                limit=MAX_FIELD_BYTES,
            )
        self._count(len(data))
        self._pieces += data

    def _count(self, size: int) -> None:
        """Count bytes of names and values towards the limit of all fields. Raises BodyTooLarge."""
        self._total += size
        if self._total > MAX_ALL_FIELDS_BYTES:
            raise BodyTooLarge(
                f"The form's fields are larger than {MAX_ALL_FIELDS_BYTES // 1024} KiB together.",
                limit=MAX_ALL_FIELDS_BYTES,
            )

    def _set_value(self, name: str, value: bytearray) -> None:
        try:
            self.values[name] = value.decode()
        except UnicodeDecodeError as error:
            self._refuse_if_probably_a_file()
            raise BadRequest(f"The field {name[:40]!r} is not UTF-8 text.", field=name[:40]) from error

    def _refuse_if_probably_a_file(self) -> None:
        """Raises InvalidField for a part with a Content-Type: it is probably a file without a filename."""
        if self._typed and self._open is not None:
            raise InvalidField(
                f"The part {self._open[:40]!r} has a Content-Type but no filename, so it was taken for a field, which "
                f"is text of at most {MAX_FIELD_BYTES // 1024} KiB. Give a file's part a filename.",
                field=self._open[:40],
            )
