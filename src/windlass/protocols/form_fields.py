"""The ordinary fields of a form, in bounded memory, and what they mean in an upload form (http-api section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from windlass.kernel import filenames
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, InvalidField
from windlass.protocols import description_fields, media_types
from windlass.protocols.form_parser import FormEvent, PartBegan, PartData, PartEnded
from windlass.protocols.intents import Description

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


@dataclass(frozen=True, slots=True)
class LateFields:
    """Fields that may follow the bytes. Final once the form has ended; the same for each of its files."""

    reference: str | None = None
    sha256: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class FormFields(FieldCollector):
    """Collects the fields of an upload form. A field takes precedence over the parameter of the query."""

    def __init__(self, query: Mapping[str, str]) -> None:
        """Raises BadRequest for an invalid parameter of the query."""
        super().__init__()
        self._query = query
        self._files = 0
        self.late = LateFields()
        for name in ("reference", "sha256", "metadata"):
            self._apply(name)

    def take(self, event: FormEvent) -> bool:
        """Process an event of an ordinary field; False for an event of a file, which the caller processes. Raises
        BadRequest for an invalid value and for ``profile`` after bytes, BodyTooLarge."""
        is_field = super().take(event)
        match event:
            case PartBegan(filename=str()):
                self._files += 1
            case PartBegan(name="profile") if self._files:
                raise BadRequest(
                    "profile comes after the bytes of a file, but it decides what is admitted. "
                    "Put it before the file in the form, or in the query: ?profile=NAME.",
                    field="profile",
                )
        if self.ended is not None:
            self._apply(self.ended)
        if self.late.sha256 and self._files > 1:
            raise BadRequest("sha256 is the digest of one file, but the form has several.", field="sha256")
        return is_field

    def description_for(self, part: PartBegan) -> Description:
        """Describe the file in ``part`` by the fields received so far."""
        return Description(
            filename=filenames.clean(part.filename),
            declared_type=media_types.declared(part.content_type),
            profile=description_fields.profile(self._value("profile")) or "default",
            reference=self.late.reference,
            sha256=self.late.sha256,
            metadata=self.late.metadata,
        )

    def finish(self) -> LateFields:
        """Return the late fields of the ended form. Raises BadRequest if it had no file."""
        if not self._files:
            raise BadRequest(
                "The form has no file: a file is a part with a filename, as `curl -F file=@NAME` sends it."
            )
        return self.late

    def _apply(self, name: str) -> None:
        """Check the value now, so that an error before the bytes is reported before the bytes are sent."""
        match name:
            case "reference" | "post_id":
                self.late = replace(
                    self.late, reference=description_fields.reference(self._value("reference", "post_id"))
                )
            case "sha256":
                self.late = replace(self.late, sha256=description_fields.sha256(self._value(name)))
            case "metadata":
                self.late = replace(self.late, metadata=description_fields.metadata(self._value(name)))

    def _value(self, *names: str) -> str:
        values = [source.get(name) for source in (self.values, self._query) for name in names]
        return next(filter(None, values), "")
