"""What clients send over a WebSocket: JSON objects with one member each, which may have ``since`` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.problem_types import BadRequest, InvalidField

#: Bytes of the longest message.
MAX_BYTES = 4096
#: The highest number that an event may have.
_MAX_NUMBER = 2**63 - 1
_FORMS = (
    "A message is a JSON object with one of since (the number of an event), watch or unwatch (a file or an upload by "
    "its id) and ping; watch may have since beside it."
)
_KINDS = ("file", "upload")
_MEMBERS = ("since", "watch", "unwatch", "ping")


@dataclass(frozen=True, slots=True)
class Thing:
    """``kind``: ``file`` or ``upload``. ``name``: its id, as the client wrote it."""

    kind: str
    name: str

    def document(self) -> dict[str, str]:
        return {self.kind: self.name}


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after event ``since``."""

    since: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Follow a thing, from its first event on or after ``since``."""

    thing: Thing
    since: int


@dataclass(frozen=True, slots=True)
class Unwatch:
    thing: Thing


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with the same value, so that the client sees that the connection works, and with the event to resume
    after."""

    value: str | int | float | bool | None


ClientMessage = Resume | Watch | Unwatch | Ping


def parse_message(text: str | None) -> ClientMessage:
    """``text``: None for a binary message. Raises BadRequest and InvalidField, which say what is allowed."""
    if text is None:
        raise _malformed("Messages are text, not binary.")
    try:
        document = json_text.parse(text)
    except BadRequest as error:
        raise _malformed("The message is not JSON, or is nested too deep.") from error
    if not isinstance(document, dict):
        raise _malformed("The message is no JSON object.")
    match sorted(document):
        case ["since"]:
            return Resume(_number(document))
        case ["watch"] | ["since", "watch"]:
            return Watch(_thing(document, "watch"), _number(document) if "since" in document else 0)
        case ["unwatch"]:
            return Unwatch(_thing(document, "unwatch"))
        case ["ping"] if not isinstance(document["ping"], list | dict):
            return Ping(document["ping"])
    raise _malformed("There is no message with these members.")


def parse_since(text: str) -> int:
    """The number in a query. Raises InvalidField."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _MAX_NUMBER):
        raise _no_number()
    return int(text)


def _malformed(reason: str) -> BadRequest:
    return BadRequest(f"{reason} {_FORMS}", allowed=_MEMBERS)


def _number(document: Mapping[str, Any]) -> int:
    number = document["since"]
    if type(number) is not int or not 0 <= number <= _MAX_NUMBER:
        raise _no_number()
    return number


def _no_number() -> InvalidField:
    return InvalidField("since is the number of an event: the id of the last one seen, or 0.", field="since")


def _thing(document: Mapping[str, Any], field: str) -> Thing:
    match document[field]:
        case {"file": str(name), **rest} if not rest:
            return Thing("file", name)
        case {"upload": str(name), **rest} if not rest:
            return Thing("upload", name)
    raise InvalidField(
        f"{field} is an object with one member, file or upload, whose value is an id.", field=field, allowed=_KINDS
    )
