"""The headers of one part of a multipart body."""

from __future__ import annotations

from windlass.kernel.errors import BadRequest
from windlass.protocols import header_parameters

MAX_HEAD_BYTES = 16 * 1024

_PLAIN_ENCODINGS = {"", "7bit", "8bit", "binary"}


class PartHead:
    """``index`` counts the parts of the form from 1."""

    def __init__(self, index: int) -> None:
        self.index = index
        self._size = 0
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}

    def add_to_name(self, piece: bytes) -> None:
        self._count(len(piece))
        self._name += piece

    def add_to_value(self, piece: bytes) -> None:
        self._count(len(piece))
        self._value += piece

    def end_header(self) -> None:
        name = self._name.decode("latin-1").lower()
        self._headers.setdefault(name, self._value.decode("latin-1").strip())
        self._name.clear()
        self._value.clear()

    def disposition(self) -> tuple[str, str | None]:
        """Return the field's name, and the filename or None. Raises BadRequest for a part that is not a form field."""
        self._refuse_encoded_part()
        _, found = header_parameters.parse(self._headers.get("content-disposition", ""))
        name, filename = (
            header_parameters.text_of_form(found, "name"),
            header_parameters.text_of_form(found, "filename"),
        )
        if name is None and filename is None:
            raise BadRequest(
                f"Part {self.index} of the form has no name: each part needs "
                'Content-Disposition: form-data; name="...", and a file\'s part a filename too.'
            )
        return name or "", filename

    def content_type(self) -> str | None:
        return self._headers.get("content-type")

    def _refuse_encoded_part(self) -> None:
        """Raises BadRequest for an encoded part (deprecated by RFC 7578, 4.7), which would be stored encoded."""
        encoding = self._headers.get("content-transfer-encoding", "").lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise BadRequest(
                f"Part {self.index} of the form has Content-Transfer-Encoding {encoding[:40]!r}. "
                "Send its bytes as they are."
            )

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > MAX_HEAD_BYTES:
            raise BadRequest(f"The headers of part {self.index} of the form have more than {MAX_HEAD_BYTES} bytes.")
