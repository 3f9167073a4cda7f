"""What Django's URL patterns have for a path, looked up once per request: several layers ask, and it takes 50 µs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import Resolver404, ResolverMatch, resolve

from windlass.http.middleware import Scope

_MATCHES = "windlass.matches"


def begin(scope: Scope) -> None:
    """From now on this scope and its copies share what is looked up."""
    scope[_MATCHES] = {}


def match(scope: Scope, path: str) -> ResolverMatch | None:
    """The match of ``path``, which is relative to the scope's ``root_path``; None where there is no pattern for it."""
    known: dict[str, ResolverMatch | None] = scope.get(_MATCHES, {})
    if path not in known:
        known[path] = _resolve(path)
    return known[path]


def view(scope: Scope, path: str) -> Callable[..., Any] | None:
    found = match(scope, path)
    return None if found is None else found.func


def _resolve(path: str) -> ResolverMatch | None:
    try:
        return resolve(path or "/")
    except Resolver404:
        return None
