"""Scopes as texts: separated by spaces, in tokens, claims and columns."""

from __future__ import annotations

from collections.abc import Iterable

from windlass.kernel.principals import Scope


def parse_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """The scopes that are named. Names of other applications' scopes are ignored."""
    known = {str(scope): scope for scope in Scope}
    return frozenset(known[word] for word in words if word in known)


def scopes_text(scopes: Iterable[Scope]) -> str:
    """In the order of their definition."""
    given = set(scopes)
    return " ".join(scope for scope in Scope if scope in given)
