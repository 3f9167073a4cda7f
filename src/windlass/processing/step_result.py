"""Convert a step's result to JSON and back. On the way back everything is checked: the file may have compromised the
child that parsed it, and a plug-in may have faults."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from windlass.kernel.ids import parse_id
from windlass.processing.contract import (
    About,
    MadeRendition,
    Makes,
    PermanentError,
    Quarantine,
    Rejection,
    StepResult,
    Verdict,
)

LONGEST_TEXT = 4000
LONGEST_DETAIL = 500
MOST_ITEMS = 200
MOST_NOTES = 5
DEEPEST = 3  # levels of a nested fact
LARGEST_COLUMN = 2**31 - 1
LARGEST_NUMBER = 2**53 - 1

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
#: How many widths of one sized rendition a step may make.
MOST_SIZES = 16
_RULE = re.compile(r"[a-z][a-z0-9-]{0,63}")
#: Characters that a database cannot store as text, or that control a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class InvalidResult(PermanentError):
    """The step's result is not one that it may give."""


def log_notes(error: BaseException) -> list[str]:
    """Return an error's notes and the messages of its causes. They are for the log, not for the file's owner."""
    notes = list(getattr(error, "__notes__", ()))
    cause = error.__cause__
    while cause is not None and len(notes) < MOST_NOTES:
        notes.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    return notes


def to_json(result: StepResult) -> dict[str, Any]:
    verdict: dict[str, Any] | None = None
    if isinstance(result.verdict, Quarantine):
        verdict = {"kind": "quarantine", **asdict(result.verdict)}
    elif result.verdict is not None:
        verdict = {"kind": "rejection", **result.verdict.document()}
    return {
        "facts": dict(result.facts),
        "renditions": [asdict(made) for made in result.renditions],
        "verdict": verdict,
        "detail": result.detail,
        "skipped": result.skipped,
    }


def checked_result(about: About, answer: Mapping[str, Any], output_size: int) -> StepResult:
    """Check an answer against what the step announces and the size of its output (bytes). Raises InvalidResult."""
    facts, renditions = answer.get("facts"), answer.get("renditions")
    most = sum(makes.numbered or (MOST_SIZES if makes.sized else 1) for makes in about.makes)
    if not isinstance(facts, dict) or not isinstance(renditions, list) or len(renditions) > most:
        raise InvalidResult("The step's answer has the wrong shape.")
    checked = tuple(_rendition(about, described, output_size) for described in renditions)
    if len({rendition.name for rendition in checked}) < len(checked):
        raise InvalidResult("The step made one rendition twice.")
    return StepResult(
        {name: _fact(about, name, value) for name, value in facts.items()},
        checked,
        _verdict(answer.get("verdict")),
        checked_text(answer.get("detail"), LONGEST_DETAIL),
        answer.get("skipped") is True,
    )


def announced(about: About, name: str) -> Makes | None:
    """Return the step's announcement of the rendition of this name; None if it has none."""
    for makes in about.makes:
        if name == makes.name and not makes.numbered:
            return makes
        base, _, number = name.rpartition("-")
        if base == makes.name and _NUMBER.fullmatch(number) and (makes.sized or int(number) <= makes.numbered):
            return makes
    return None


def checked_text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return text without control characters and lone surrogates, so that any database and terminal can take it.

    Every fact and every reason passes here before it is recorded. Raises InvalidResult for another type.
    """
    if not isinstance(value, str):
        raise InvalidResult("The step gave another type where text is expected.")
    whole = value[: 2 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _CONTROL.sub("", whole)[:longest]


def _fact(about: About, name: str, value: Any) -> Any:
    if name not in about.gives:
        raise InvalidResult(f"The step was not announced to give {checked_text(name, 64)!r}.")
    return _COLUMNS.get(name, _json_value)(value)


def _json_value(value: Any, depth: int = 0) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return checked_text(value)
        case int() if abs(value) <= LARGEST_NUMBER:
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple() if depth < DEEPEST and len(value) <= MOST_ITEMS:
            return [_json_value(item, depth + 1) for item in value]
        case dict() if depth < DEEPEST and len(value) <= MOST_ITEMS:
            return {checked_text(key, 100): _json_value(item, depth + 1) for key, item in value.items()}
        case _:
            raise InvalidResult("The step gave a fact that is too large or is no JSON value.")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COLUMN:
        raise InvalidResult("The step gave a number that is out of range.")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= LARGEST_NUMBER:
        raise InvalidResult("The step gave an invalid duration.")
    return float(value)


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidResult("The step gave a text of the wrong form.")
        return value

    return check


def _id_or_none(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or parse_id(value) is None):
        raise InvalidResult("The step gave an invalid id.")
    return value


#: Checks of the facts that have a column of their own.
_COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "mime_type": _matching(_TYPE),
    "checksum": _matching(_SHA256),
    "width": _count,
    "height": _count,
    "page_count": _count,
    "duration": _seconds,
    "duplicate_of": _id_or_none,
}


def _rendition(about: About, described: Any, output_size: int) -> MadeRendition:
    try:
        rendition = MadeRendition(**described)
    except TypeError as error:
        raise InvalidResult("The step described a rendition wrongly.") from error
    makes = announced(about, rendition.name) if isinstance(rendition.name, str) else None
    if makes is None or rendition.mime_type not in makes.mime_types:
        raise InvalidResult("The step made a rendition that it was not announced to make.")
    if _count(rendition.offset) + _count(rendition.length) > output_size:
        raise InvalidResult("The step described a rendition that is not in its output.")
    for side in (rendition.width, rendition.height):
        if side is not None:
            _count(side)
    return rendition


def _verdict(answer: Any) -> Verdict | None:
    match answer:
        case None:
            return None
        case {"kind": "quarantine", "detail": detail, "signature": signature}:
            return Quarantine(checked_text(detail, LONGEST_DETAIL), checked_text(signature, LONGEST_DETAIL))
        case {"kind": "rejection", "rule": str(rule), "detail": detail, "limit": limit, "actual": actual}:
            if _RULE.fullmatch(rule):
                return Rejection(rule, checked_text(detail, LONGEST_DETAIL), _json_value(limit), _json_value(actual))
    raise InvalidResult("The step gave an invalid verdict.")
