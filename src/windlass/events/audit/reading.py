"""Entries of the audit log as the API, the export and the admin show them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from windlass.events.audit.chain import content_of
from windlass.events.audit.models import AuditEntry, AuditIdentity

_BATCH = 1000


def audit_document(entry: AuditEntry) -> dict[str, Any]:
    """The entry's content, its hash, and the names that are still known: ``actor_name``, ``actor_address``,
    ``owner_name`` (null: none, or erased). The entry was loaded with its identities."""
    actor, owner = entry.actor, entry.owner
    return content_of(entry) | {
        "actor_name": _known(actor, "name"),
        "actor_address": _known(actor, "address"),
        "owner_name": _known(owner, "name"),
        "hash": entry.hash,
    }


def audit_entries(since: datetime | None = None, *, concerning: str | None = None) -> Iterator[dict[str, Any]]:
    """Documents of entries in order. ``concerning``: only those that this owner made or that concern the owner."""
    rows = AuditEntry.objects.select_related("actor", "owner").order_by("sequence")
    if since is not None:
        rows = rows.filter(at__gte=since)
    if concerning is not None:
        ids = list(AuditIdentity.objects.filter(name=concerning).values_list("id", flat=True))
        rows = rows.filter(actor__in=ids) | rows.filter(owner__in=ids)
    after = 0
    while batch := list(rows.filter(sequence__gt=after)[:_BATCH]):
        yield from map(audit_document, batch)
        after = batch[-1].sequence


def _known(identity: AuditIdentity | None, name: str) -> str | None:
    return (getattr(identity, name) or None) if identity is not None else None
