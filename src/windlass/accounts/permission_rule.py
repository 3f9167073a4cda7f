"""The rule of the project that Windlass is an app of: whose uploads and files a caller may use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import users
from windlass.kernel.owners import Owners
from windlass.kernel.principals import CredentialKind, Principal, Scope

#: Names that the rule may return: they become parameters of SQL statements, which databases limit.
MAX_NAMES = 10_000


class BadAnswer(Exception):
    """The rule returned something else than a set of owners. The caller may use nothing."""


def has_rule() -> bool:
    return bool(conf.get().permission_rule)


def under_rule(principal: Principal, action: Scope) -> Principal:
    """The principal of a call that does ``action``, with the owners that PERMISSION_RULE permits, if that is set.

    May query the project's database. Raises BadAnswer, and whatever the rule raises.
    """
    if not has_rule():
        return principal
    permitted = _permitted(principal, action)
    if principal.grant is not None:
        permitted &= {principal.owner}
    return replace(principal, permitted=permitted)


def readable_by_owner(owner: str) -> Owners:
    """Whose uploads and files this owner may read, where no request is made: for the events of a webhook.

    Blocks on the database. Raises as ``under_rule``.
    """
    principal = Principal(
        owner,
        staff=users.is_staff_owner(owner),
        user_id=users.user_id_of(owner),
        credential=CredentialKind.WEBHOOK,
        scopes=frozenset({Scope.READ}),
    )
    return under_rule(principal, Scope.READ).owners


def check_rule() -> None:
    """Import the rule, so that a wrong name stops the start. Raises BadSetting."""
    if has_rule():
        _rule(conf.get().permission_rule)


def _permitted(principal: Principal, action: Scope) -> Owners:
    name = conf.get().permission_rule
    answer = _rule(name)(principal, str(action), principal.owners)
    try:
        permitted = Owners.of(answer)
    except TypeError as error:
        raise BadAnswer(f"PERMISSION_RULE {name} returned {type(answer).__name__}; it {error}") from error
    if len(permitted.names) > MAX_NAMES:
        raise BadAnswer(f"PERMISSION_RULE {name} returned {len(permitted.names)} owners; it may return {MAX_NAMES}")
    return permitted


@cache
def _rule(name: str) -> Callable[[Principal, str, Owners], Any]:
    try:
        function: Callable[..., Any] = import_string(name)
    except ImportError as error:
        raise conf.BadSetting(f"PERMISSION_RULE is {name!r}, which cannot be imported: {error}") from error
    if not callable(function):
        raise conf.BadSetting(f"PERMISSION_RULE is {name!r}, which is no function")
    try:
        inspect.signature(function).bind(None, "read", None)
    except TypeError as error:
        raise conf.BadSetting(
            f"PERMISSION_RULE is {name!r}, which must take (principal, action, owners): {error}"
        ) from error
    return function
