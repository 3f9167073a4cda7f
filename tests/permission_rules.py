"""Permission rules for tests, as a project's module has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from windlass.kernel.owners import EVERY_OWNER, Owners
from windlass.kernel.principals import Principal

#: The team of each owner who is in one.
team_of: dict[str, str] = {}
#: What members may do with each other's uploads and files.
shared_actions: set[str] = set()
#: Owners who may use nothing, not even their own.
suspended: set[str] = set()
#: The principals that ``teams`` was asked about.
asked: list[Principal] = []


def clear() -> None:
    team_of.clear()
    shared_actions.clear()
    suspended.clear()
    asked.clear()


def teams(principal: Principal, action: str, owners: Owners) -> Owners | set[str]:
    asked.append(principal)
    if principal.owner in suspended:
        return set()
    team = team_of.get(principal.owner)
    if team is None or action not in shared_actions:
        return owners
    return owners | {name for name, other in team_of.items() if other == team}


def everybody_reads_everything(principal: Principal, action: str, owners: Owners) -> Owners:
    return EVERY_OWNER


def staff_without_one_owner(principal: Principal, action: str, owners: Owners) -> Owners:
    return owners - suspended


#: What ``returns`` returns.
answer: Any = None


def returns(principal: Principal, action: str, owners: Owners) -> Any:
    return answer


def fails(principal: Principal, action: str, owners: Owners) -> Owners:
    raise RuntimeError("the project's database is away")


def old_signature(principal: Principal, owner: str) -> bool:
    return True


no_function: Callable[..., Any] | int = 5
