"""What is wrong with a field, in sentences of ours: the library that checks it has words of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from windlass.kernel.errors import InvalidField

#: Pydantic's type of an error -> what the field must be, with the figures of its context.
_SENTENCES = {
    "missing": "is missing",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "contains a character that is not allowed here",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be greater than {gt}",
    "less_than": "must be less than {lt}",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "list_type": "must be a list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "value_error": "{error}",
}


def problem(errors: Sequence[Mapping[str, Any]]) -> InvalidField:
    """Names each field, where it stands, and what is allowed. ``errors`` are Ninja's: ``loc``, ``type``, ``ctx``."""
    told = [_told(error) for error in errors]
    return InvalidField("; ".join(each["message"] for each in told) + ".", field=told[0]["field"], errors=told)


def _told(error: Mapping[str, Any]) -> dict[str, str]:
    place, *names = (str(part) for part in error["loc"])
    # The first name in a body is that of our function's argument, which no client knows.
    field = ".".join(names[1:] if place == "body" else names)
    if not field:
        return {"field": place, "in": place, "message": "the request needs a body: a JSON object"}
    return {"field": field, "in": place, "message": f"{field} {_sentence(error)}"}


def _sentence(error: Mapping[str, Any]) -> str:
    context = {name: _plain(value) for name, value in (error.get("ctx") or {}).items()}
    try:
        return _SENTENCES[error["type"]].format_map(context)
    except KeyError:
        return "has a value that is not allowed"


def _plain(value: object) -> str:
    """``'A', 'B' or 'C'`` without its quotation marks."""
    return re.sub(r"'([^']*)'", r"\1", str(value))
