"""Select rows by their owner."""

from __future__ import annotations

from django.db.models import Q

from windlass.database import rows
from windlass.kernel.owners import Owners


def owned_by(owners: Owners) -> Q:
    """The condition on rows with a column ``owner`` that one of these owners has them.

    It may be combined with others by ``|`` also where it is true for all rows or for none, other than an empty ``Q``.
    """
    if not owners.names:
        nobody = Q(pk__in=[])
        return ~nobody if owners.all_others else nobody
    if owners.all_others:
        return ~Q(owner__in=sorted(owners.names))
    # One owner by equality: the indexes that begin with the owner then give the order as well.
    return Q(owner=next(iter(owners.names))) if len(owners.names) == 1 else Q(owner__in=sorted(owners.names))


def rows_owned_by(owners: Owners) -> rows.Conditions:
    """``owned_by`` for ``rows``."""
    if owners.only is not None:
        return {"owner": owners.only}
    names = sorted(owners.names)
    return {"owner": rows.NoneOf(names) if owners.all_others else rows.OneOf(names)}
