"""Permission rules for tests, as a project's module has them."""

from __future__ import annotations

from typing import Any

from windlass.kernel.principals import Principal

#: (caller's owner, action, owner of the resource) that are permitted.
permitted: set[tuple[str, str, str]] = set()


def listed(principal: Principal, action: str, owner: str) -> bool:
    return (principal.owner, action, owner) in permitted


def forgets_to_answer(principal: Principal, action: str, owner: str) -> Any:
    return 1


def fails(principal: Principal, action: str, owner: str) -> bool:
    raise RuntimeError("the project's database is away")


no_function = 5
