"""Whether a webhook of this owner can receive what it is asked to follow."""

from __future__ import annotations

from collections.abc import Sequence

from windlass.accounts import users
from windlass.accounts.permission_rule import has_rule
from windlass.events.api import is_system_type


class MayNotFollow(Exception):
    """The owner of the webhook would never receive these events. The message says why."""


def require_may_follow(owner: str, types: Sequence[str], *, all_owners: bool, as_staff: bool = True) -> None:
    """Raises MayNotFollow. ``as_staff``: whether the caller may use the rights of staff. Blocks on the database.

    At each delivery, the rights of ``owner`` are looked up among the users of this server: a claim of a JSON Web Token
    does not outlast the token.
    """
    is_staff = users.is_staff_owner(owner)
    if is_staff and as_staff:
        return
    system = next(filter(is_system_type, types), None)
    if system is not None:
        raise MayNotFollow(f"Events of the type {system} are sent to staff who are users of this server.")
    if all_owners and (is_staff or not has_rule()):
        raise MayNotFollow(
            "The events of other owners are sent to staff who are users of this server, and to those whom the setting "
            "PERMISSION_RULE lets read their files."
        )
