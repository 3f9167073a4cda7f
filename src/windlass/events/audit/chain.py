"""The chain of the audit log: each entry's hash covers the hash before it, so that no entry can be changed, removed or
inserted unnoticed.

A chain needs an order, and giving one out in the transactions of uploads would make them wait for each other. So they
insert pending entries, and one process at a time moves these into the chain, in the order of their ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from windlass.database import rows
from windlass.database.connection import atomic
from windlass.events.audit.actions import AuditAction
from windlass.events.audit.identities import delete_unused_identities, erase_identities, identity_ids
from windlass.events.audit.models import AuditChain, AuditEntry, PendingAuditEntry, delete_entries_through
from windlass.events.audit.recording import record_action
from windlass.kernel.clock import now, rfc3339

#: Entries of one transaction, which on SQLite lets uploads wait.
BATCH = 100
#: Erased identities that one entry lists.
_LISTED_IDENTITIES = 100


def content_of(entry: AuditEntry) -> dict[str, Any]:
    """What the hash of an entry covers: everything but the hash."""
    return {
        "sequence": entry.sequence,
        "at": rfc3339(entry.at),
        "action": entry.action,
        "actor": entry.actor_id,
        "credential": entry.credential,
        "request_id": entry.request_id,
        "owner": entry.owner_id,
        "file_id": None if entry.file_id is None else str(entry.file_id),
        "upload_id": None if entry.upload_id is None else str(entry.upload_id),
        "subject": entry.subject,
        "detail": entry.detail,
    }


def hash_of(previous: str, entry: AuditEntry) -> str:
    """SHA-256 of the previous hash, a newline and the content as JSON with sorted keys, no spaces, in ASCII."""
    content = json.dumps(content_of(entry), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


def chain_pending() -> int:
    """Move all pending entries into the chain; return how many. Several processes may do this at once."""
    count = 0
    while moved := _chain_batch():
        count += moved
    return count


def prune_audit_log(days: float) -> int:
    """Delete the entries before the first one that is younger than ``days``; return how many. 0 days: none.

    An entry says up to which one, and its hash: the rest of the chain is verified from there.
    """
    if not days:
        return 0
    chain_pending()
    with atomic():
        chain = _locked_chain()
        horizon = now() - timedelta(days=days)
        first_kept = AuditEntry.objects.filter(at__gte=horizon).order_by("sequence").first()
        end = chain.sequence if first_kept is None else first_kept.sequence - 1
        last = AuditEntry.objects.filter(sequence=end).first()
        if last is None or end <= chain.base_sequence:
            return 0
        count = AuditEntry.objects.filter(sequence__lte=end).count()
        record_action(AuditAction.AUDIT_PRUNED, detail={"through": end, "hash": last.hash})
        AuditChain.objects.filter(id=AuditChain.ROW).update(base_sequence=end, base_hash=last.hash)
        delete_entries_through(end)
        delete_unused_identities()
    chain_pending()
    return count


def pseudonymize(owner: str) -> int:
    """Delete the name and the addresses of an owner from the log; return how many identities that concerned.

    The entries stay, and with them the chain. Pending entries are chained first. Repeatable.
    """
    chain_pending()
    with atomic():
        _locked_chain()
        ids = erase_identities(owner)
        for begin in range(0, len(ids), _LISTED_IDENTITIES):
            detail = {"identities": ids[begin : begin + _LISTED_IDENTITIES]}
            record_action(AuditAction.OWNER_ERASED, detail=detail)
    chain_pending()
    return len(ids)


def _chain_batch() -> int:
    if not PendingAuditEntry.objects.exists():
        return 0  # without a lock: the sweep looks every few seconds
    with atomic():
        chain = _locked_chain()
        pending = list(PendingAuditEntry.objects.order_by("id")[:BATCH])
        if not pending:
            return 0
        _append(chain, pending)
        PendingAuditEntry.objects.filter(id__in=[each.id for each in pending]).delete()
    return len(pending)


def _append(chain: AuditChain, pending: Sequence[PendingAuditEntry]) -> None:
    ids = identity_ids(_identities_of(pending))
    entries = []
    for each in pending:
        chain.sequence += 1
        entry = AuditEntry(
            sequence=chain.sequence,
            at=each.at,
            action=each.action,
            actor_id=ids.get((each.actor, each.address)),
            credential=each.credential,
            request_id=each.request_id,
            owner_id=ids.get((each.owner, "")),
            file_id=each.file_id,
            upload_id=each.upload_id,
            subject=each.subject,
            detail=each.detail,
        )
        chain.hash = entry.hash = hash_of(chain.hash, entry)
        entries.append(entry)
    rows.insert(entries)
    chain.save(update_fields=["sequence", "hash"])


def _identities_of(pending: Collection[PendingAuditEntry]) -> set[tuple[str, str]]:
    """The names and addresses that need an identity. An unknown caller has an address only."""
    actors = {(each.actor, each.address) for each in pending}
    owners = {(each.owner, "") for each in pending}
    return (actors | owners) - {("", "")}


def _locked_chain() -> AuditChain:
    """The row of the chain, locked until the end of the transaction."""
    AuditChain.objects.get_or_create(id=AuditChain.ROW)
    return AuditChain.objects.select_for_update().get(id=AuditChain.ROW)
