"""Base classes and checks of the Pydantic models that describe requests and replies.

They are Pydantic's own and not Ninja's, which the byte plane does not need and which takes long to import.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from windlass.kernel.clock import rfc3339


class ReplyModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @classmethod
    def of(cls, source: object, **members: Any) -> dict[str, Any]:
        """The JSON of this model: ``members``, and for every other one the attribute of ``source`` of its name."""
        return {
            name: _json_value(members[name] if name in members else getattr(source, name)) for name in cls.model_fields
        }


def _json_value(value: Any) -> Any:
    match value:
        case datetime():
            return rfc3339(value)
        case UUID() | str():  # a text may be a member of an enumeration
            return str(value)
    return value


class ProblemDocument(BaseModel):
    """RFC 9457. Members beyond these belong to the type of problem."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None


def within(low: int, high: int, unit: str = "") -> WrapValidator:
    """Check that a field is an integer from ``low`` to ``high``; the error names both bounds and ``unit``."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> int:
        try:
            if not isinstance(value, bool):  # Pydantic accepts true as 1
                return int(handler(value))
        except ValidationError:
            pass
        raise ValueError(f"must be an integer from {low} to {high} {unit}".rstrip())

    return WrapValidator(check)
