"""Which event types an endpoint may receive, and which events of the journal are its."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from django.db.models import Q

from windlass.database.ownership import owned_by
from windlass.events.types import SYSTEM, EventType
from windlass.events.webhooks.models import WebhookEndpoint
from windlass.kernel.owners import Owners

_SYSTEM_PREFIX = "system."


class TypesRefused(Exception):
    """The list of event types is empty or has an unknown one. The message says which there are."""


def is_system_type(name: str) -> bool:
    """Whether events of this type belong to no owner; they are for staff."""
    return name.startswith(_SYSTEM_PREFIX)


def checked_types(names: Sequence[str]) -> list[str]:
    """The types, each once. Raises TypesRefused."""
    known = list(EventType.values)
    if not names:
        raise TypesRefused(f"types must name at least one event type. There are: {', '.join(known)}.")
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
            raise TypesRefused(
                f"There is no event type {name[:40]!r}. Did you mean {nearest}? There are: {', '.join(known)}."
            )
    return list(dict.fromkeys(names))


def followed_owners(endpoint: WebhookEndpoint, readable: Owners) -> Owners:
    """The owners whose events the endpoint receives. ``readable``: whose uploads and files its owner may read now."""
    return readable - {SYSTEM} if endpoint.all_owners else readable & {endpoint.owner}


def events_of(endpoint: WebhookEndpoint, readable: Owners, *, is_staff: bool) -> Q:
    """The condition on events that the endpoint receives. ``readable``: whose uploads and files its owner may read;
    ``is_staff``: whether its owner is staff now."""
    own = [name for name in endpoint.types if not is_system_type(name)]
    selected = owned_by(followed_owners(endpoint, readable)) & Q(type__in=own)
    system = [name for name in endpoint.types if is_system_type(name)]
    if system and is_staff:
        selected |= Q(owner=SYSTEM, type__in=system)
    return selected
