"""The rule of the project that Windlass is an app of: who may use the uploads and files of other owners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from windlass import conf
from windlass.kernel.principals import PermissionRule, Principal, Scope


def with_rule(principal: Principal, action: Scope) -> Principal:
    """The principal of a call that does ``action``, with the rule of PERMISSION_RULE, if that is set."""
    name = conf.get().permission_rule
    return replace(principal, action=action, rule=_rule(name)) if name else principal


def check_rule() -> None:
    """Import the rule, so that a wrong name stops the start. Raises BadSetting."""
    name = conf.get().permission_rule
    if name:
        _rule(name)


@cache
def _rule(name: str) -> PermissionRule:
    try:
        function: Callable[..., Any] = import_string(name)
    except ImportError as error:
        raise conf.BadSetting(f"PERMISSION_RULE is {name!r}, which cannot be imported: {error}") from error
    if not callable(function):
        raise conf.BadSetting(f"PERMISSION_RULE is {name!r}, which is no function")
    # Only True permits: a function that forgets to return something refuses.
    return lambda principal, action, owner: function(principal, str(action), owner) is True
