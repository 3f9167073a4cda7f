"""A step's result as a message, and back again. On the way back nothing is believed: a child may have been taken over
by the file it read, and a plug-in may have faults."""

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
DEEPEST = 3
LARGEST_COLUMN = 2**31 - 1
LARGEST_NUMBER = 2**53 - 1

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WIDTH = re.compile(r"[1-9][0-9]{0,4}")
#: Widths in which a sized rendition may come.
MOST_SIZES = 16
_RULE = re.compile(r"[a-z][a-z0-9-]{0,63}")
#: What a database's text cannot hold, or a terminal would obey.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Misbehaved(PermanentError):
    """The step's answer is not one that it may give."""


def log_notes(error: BaseException) -> list[str]:
    """What an error says for the log alone: its notes, and the words of the errors that caused it."""
    notes = list(getattr(error, "__notes__", ()))
    cause = error.__cause__
    while cause is not None and len(notes) < MOST_NOTES:
        notes.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    return notes


def document(result: StepResult) -> dict[str, Any]:
    """The result as JSON can say it."""
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
    }


def accept(about: About, said: Mapping[str, Any], output_size: int) -> StepResult:
    """The result, checked against what was announced and the bytes that are there. Raises Misbehaved."""
    facts, renditions = said.get("facts"), said.get("renditions")
    if not isinstance(facts, dict) or not isinstance(renditions, list) or len(renditions) > _most_made(about):
        raise Misbehaved("The step's answer has the wrong shape.")
    made = tuple(_rendition(about, one, output_size) for one in renditions)
    if len({one.name for one in made}) < len(made):
        raise Misbehaved("The step made one rendition twice.")
    return StepResult(
        {name: _fact(about, name, value) for name, value in facts.items()},
        made,
        _verdict(said.get("verdict")),
        text(said.get("detail"), LONGEST_DETAIL),
    )


def announced(about: About, name: str) -> Makes | None:
    """What the step said of the rendition that it would make under this name; None where it said nothing."""
    for makes in about.makes:
        if name == makes.name:
            return makes
        sized, _, width = name.rpartition("-")
        if makes.sized and sized == makes.name and _WIDTH.fullmatch(width):
            return makes
    return None


def text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text that every database holds and every terminal shows: without NUL, other controls and halves of
    surrogates. Every fact and every reason goes through here before it is recorded. Raises Misbehaved."""
    if not isinstance(value, str):
        raise Misbehaved("The step gave something else where text belongs.")
    whole = value[: 2 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _UNFIT.sub("", whole)[:longest]


def _fact(about: About, name: str, value: Any) -> Any:
    if name not in about.gives:
        raise Misbehaved(f"The step was not announced to give {text(name, 64)!r}.")
    check = _COLUMNS.get(name, _any)
    return check(value)


def _any(value: Any, depth: int = 0) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return text(value)
        case int() if abs(value) <= LARGEST_NUMBER:
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple() if depth < DEEPEST and len(value) <= MOST_ITEMS:
            return [_any(item, depth + 1) for item in value]
        case dict() if depth < DEEPEST and len(value) <= MOST_ITEMS:
            return {text(key, 100): _any(item, depth + 1) for key, item in value.items()}
        case _:
            raise Misbehaved("The step gave a fact that is too large, or no JSON value.")


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COLUMN:
        raise Misbehaved("The step gave a number that cannot be.")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= LARGEST_NUMBER:
        raise Misbehaved("The step gave a duration that cannot be.")
    return float(value)


def _spelled(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Misbehaved("The step gave a text that cannot be.")
        return value

    return check


def _id_or_none(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or parse_id(value) is None):
        raise Misbehaved("The step gave an id that cannot be.")
    return value


#: Facts that have a column of their own in the record.
_COLUMNS: Mapping[str, Callable[[Any], Any]] = {
    "mime_type": _spelled(_TYPE),
    "checksum": _spelled(_SHA256),
    "width": _count,
    "height": _count,
    "page_count": _count,
    "duration": _seconds,
    "duplicate_of": _id_or_none,
}


def _rendition(about: About, said: Any, output_size: int) -> MadeRendition:
    try:
        made = MadeRendition(**said)
    except TypeError as error:
        raise Misbehaved("The step described a rendition wrongly.") from error
    makes = announced(about, made.name) if isinstance(made.name, str) else None
    if makes is None or made.mime_type not in makes.mime_types:
        raise Misbehaved("The step made a rendition that it was not announced to make.")
    if _count(made.offset) + _count(made.length) > output_size:
        raise Misbehaved("The step described a rendition that is not in its output.")
    for side in (made.width, made.height):
        if side is not None:
            _count(side)
    return made


def _most_made(about: About) -> int:
    return sum(MOST_SIZES if makes.sized else 1 for makes in about.makes)


def _verdict(said: Any) -> Verdict | None:
    match said:
        case None:
            return None
        case {"kind": "quarantine", "detail": detail, "signature": signature}:
            return Quarantine(text(detail, LONGEST_DETAIL), text(signature, LONGEST_DETAIL))
        case {"kind": "rejection", "rule": str(rule), "detail": detail, "limit": limit, "actual": actual}:
            if _RULE.fullmatch(rule):
                return Rejection(rule, text(detail, LONGEST_DETAIL), _any(limit), _any(actual))
    raise Misbehaved("The step gave a verdict that cannot be.")
