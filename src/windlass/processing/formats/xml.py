"""XML as events, from blocks of bytes. Entities are refused, so nothing can be expanded; nothing is ever fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from windlass.processing.contract import Unreadable

_DEEPEST = 500


@dataclass(frozen=True, slots=True)
class Event:
    """``kind`` is start, end or text; ``name`` without its namespace; so are the attributes' names."""

    kind: str
    name: str = ""
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Text comes in pieces. Where the blocks end too early, so do they. Raises Unreadable for what is wrong."""
    found: list[Event] = []
    parser = _parser(found)
    try:
        for block in blocks:
            parser.Parse(block, False)
            yield from found
            found.clear()
    except expat.ExpatError as error:
        raise Unreadable(f"The XML in it is not well-formed (line {error.lineno}).") from error
    except (LookupError, ValueError) as error:  # Python's own words for what the declaration may say
        raise Unreadable(
            "The XML in it is wrong: it names an encoding that is none, or that XML cannot have."
        ) from error


def _parser(found: list[Event]) -> expat.XMLParserType:
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise Unreadable(f"The XML in it is nested more than {_DEEPEST} deep.")
        found.append(Event("start", _local(name), attributes={_local(key): each for key, each in attributes.items()}))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        found.append(Event("end", _local(name)))

    def refuse(*_: object) -> None:
        raise Unreadable("The XML in it declares entities, which are never expanded.")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: found.append(Event("text", text=text))
    parser.EntityDeclHandler = refuse
    return parser


def _local(name: str) -> str:
    return name.rpartition("}")[2]
