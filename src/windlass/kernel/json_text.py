"""JSON that somebody else wrote: the one parser of request bodies and fields, with bounded nesting."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from windlass.kernel.errors import BadRequest

#: Levels of lists and objects within each other.
MAX_DEPTH = 64


def parse(text: bytes | str) -> Any:
    """Any JSON value (RFC 8259). Raises BadRequest for text that is not JSON or is nested too deep.

    Large texts are parsed beside the event loop (``http.uploads.json_bodies.decode``): 4 MiB take up to 0.1 s.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise BadRequest("The body is not valid JSON in UTF-8.") from error
    if is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested in more than ``limit`` levels. Takes no stack of its own."""
    level = [value] if isinstance(value, (list, dict)) else []
    for _ in range(limit):
        if not level:
            return False
        level = [child for parent in level for child in _children(parent) if isinstance(child, (list, dict))]
    return bool(level)


def _children(parent: Any) -> Any:
    return parent.values() if isinstance(parent, dict) else parent


def _too_deep() -> BadRequest:
    return BadRequest(
        f"The JSON is nested more than {MAX_DEPTH} levels deep, which is the limit. Send it flatter.", limit=MAX_DEPTH
    )


def _refuse_constant(constant: str) -> NoReturn:
    """NaN and the infinities are no JSON, though the library reads them."""
    raise ValueError(constant)
