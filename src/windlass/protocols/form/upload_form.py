"""The meaning of the fields of an upload form, and their order (http-api section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from windlass.kernel import filenames
from windlass.kernel.errors import BadRequest
from windlass.protocols import description_fields, media_types
from windlass.protocols.form.fields import FieldCollector
from windlass.protocols.form.parser import FormEvent, FormParser, PartBegan
from windlass.protocols.heads import body_length, refuse_content_encoding
from windlass.protocols.intents import Description, Head


@dataclass(frozen=True, slots=True)
class LateFields:
    """Fields that may follow the bytes. Final once the form has ended; the same for each of its files."""

    reference: str | None = None
    sha256: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def applied_to(self, description: Description) -> Description:
        return replace(description, reference=self.reference, sha256=self.sha256, metadata=self.metadata)


class FormFields:
    """Collects the fields of an upload form. A field takes precedence over the parameter of the query."""

    def __init__(self, query: Mapping[str, str]) -> None:
        """Raises BadRequest for an invalid parameter of the query."""
        self._query = query
        self._collector = FieldCollector()
        self._files = 0
        self.late = LateFields()
        for name in ("reference", "sha256", "metadata"):
            self._apply(name)

    @property
    def values(self) -> Mapping[str, str]:
        """The values of the fields received so far."""
        return self._collector.values

    def take(self, event: FormEvent) -> bool:
        """Process an event of an ordinary field; False for an event of a file, which the caller processes.

        Raises BadRequest for an invalid value and for ``profile`` after bytes, BodyTooLarge.
        """
        is_field = self._collector.take(event)
        match event:
            case PartBegan(filename=str()):
                self._files += 1
            case PartBegan(name="profile") if self._files:
                raise _profile_too_late()
        if self._collector.ended is not None:
            self._apply(self._collector.ended)
        if self.late.sha256 and self._files > 1:
            raise BadRequest("sha256 is the digest of one file, but the form has several.", field="sha256")
        return is_field

    def description_for(self, part: PartBegan) -> Description:
        """Describe the file in ``part`` by the fields received so far."""
        description = Description(
            filename=filenames.clean(part.filename),
            declared_type=media_types.declared(part.content_type),
            profile=description_fields.profile(self._value("profile")) or "default",
        )
        return self.late.applied_to(description)

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
        found = [source.get(name) for source in (self._collector.values, self._query) for name in names]
        return next(filter(None, found), "")


def _profile_too_late() -> BadRequest:
    return BadRequest(
        "profile comes after the bytes of a file, but it decides what is admitted. "
        "Put it before the file in the form, or in the query: ?profile=NAME.",
        field="profile",
    )


@dataclass(frozen=True, slots=True)
class FormRequest:
    """A form to receive. ``body_length``: the Content-Length of all parts together, None if not announced."""

    parser: FormParser
    fields: FormFields
    body_length: int | None


def parse(head: Head) -> FormRequest:
    """Raises BadRequest, UnsupportedMediaType."""
    refuse_content_encoding(head)
    parser = FormParser(head.headers.get("content-type", ""))
    return FormRequest(parser, FormFields(head.query), body_length(head))
