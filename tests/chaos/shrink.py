"""Reduce a list to a shortest part that still fails (delta debugging, Zeller and Hildebrandt 2002)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return a part of ``items``, in their order, that fails and of which no element can be left out.

    ``fails`` is called with parts of ``items``, which fails itself.
    """
    found, parts = list(items), 2
    while len(found) > 1:
        size = -(-len(found) // parts)
        pieces = [found[at : at + size] for at in range(0, len(found), size)]
        rests = [found[: at * size] + found[(at + 1) * size :] for at in range(len(pieces))]
        smaller = next((piece for piece in pieces if fails(piece)), None)
        rest = next((rest for rest in rests if fails(rest)), None) if smaller is None and len(pieces) > 2 else None
        if smaller is not None:
            found, parts = smaller, 2
        elif rest is not None:
            found, parts = rest, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(len(found), parts * 2)
    return found
