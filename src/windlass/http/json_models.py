"""Base classes and checks of the Pydantic models that describe requests and replies."""

from __future__ import annotations

from typing import Any

from ninja import Schema
from pydantic import ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator


class ReplyModel(Schema):
    model_config = ConfigDict(extra="forbid")


class ProblemDocument(Schema):
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
