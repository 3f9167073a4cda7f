"""XML out of hostile files: elements as they begin, without entities, without trees."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from windlass.processing.contract import Unreadable

#: Elements that are looked at, at most.
MOST_ELEMENTS = 100_000

Element = tuple[str, dict[str, str]]


def elements(data: bytes) -> list[Element]:
    """Local name and attributes of every element, in order. Raises Unreadable, for entities of its own too."""
    found: list[Element] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(found) >= MOST_ELEMENTS:
            raise Unreadable("The document cannot be read: it has too many elements.")
        found.append((_local(name), {_local(key): value for key, value in attributes.items()}))

    def refuse(*_: Any) -> None:
        raise Unreadable("The document cannot be read: it defines entities.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begin
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unreadable(f"The document cannot be read: {error}.") from error
    return found


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
