"""multipart/form-data (RFC 7578), streamed: browser forms, ``curl -F``."""

from windlass.protocols.form.fields import FieldCollector
from windlass.protocols.form.parser import FormEvent, FormParser, PartBegan, PartData, PartEnded
from windlass.protocols.form.upload_form import FormFields, FormRequest, LateFields, parse

__all__ = [
    "FieldCollector",
    "FormEvent",
    "FormFields",
    "FormParser",
    "FormRequest",
    "LateFields",
    "PartBegan",
    "PartData",
    "PartEnded",
    "parse",
]
