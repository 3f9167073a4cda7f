"""Parse untrusted JSON of request bodies and fields, with limits on its nesting and its number of values."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from windlass.kernel.problem_types import BadRequest

#: Most levels of nested lists and objects.
MAX_DEPTH = 64
#: Most values in one text, about 60 MB as Python objects; ``[[],[],…`` of 24 MB would take half a GB.
MAX_VALUES = 250_000


def parse(text: bytes | str) -> Any:
    """Any JSON value (RFC 8259). Raises BadRequest for invalid JSON, more than MAX_DEPTH levels or MAX_VALUES values.

    Large texts are parsed outside of the event loop (``http.uploads.json_bodies.decode``): 4 MiB take up to 0.1 s.
    """
    if _max_value_count(text) > MAX_VALUES:
        raise BadRequest(f"The JSON has more than {MAX_VALUES} values, which is the limit.", limit=MAX_VALUES)
    try:
        # Decoded here, because json.loads accepts unpaired surrogates in bytes.
        decoded = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        value = json.loads(decoded, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise BadRequest("The body is not valid JSON in UTF-8.") from error
    if exceeds_depth(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _max_value_count(text: bytes | str) -> int:
    """An upper bound: every value but the first follows a comma, or the start of a list or an object."""
    if isinstance(text, str):
        return sum(text.count(sign) for sign in ",[{")
    return sum(text.count(sign) for sign in (b",", b"[", b"{"))


def exceeds_depth(value: Any, limit: int) -> bool:
    """Whether lists and objects are nested in more than ``limit`` levels. Not recursive, so that depth is harmless."""
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
    """json.loads accepts NaN and the infinities, which are not JSON."""
    raise ValueError(constant)
