"""Verify the chain of the audit log: find entries that were changed, removed or inserted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from windlass.events.audit.actions import AuditAction
from windlass.events.audit.chain import hash_of
from windlass.events.audit.identities import identity_digest
from windlass.events.audit.models import AuditChain, AuditEntry, AuditIdentity

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class AuditHead:
    """An entry's number and hash, written down elsewhere: the chain up to it must still lead to this hash."""

    sequence: int
    hash: str


@dataclass(slots=True)
class AuditReport:
    """``findings``: sentences. ``head``: the last entry; write it down elsewhere, and give it to the next
    verification. ``erased``: identities whose names were deleted with their owner."""

    entries: int = 0
    head: AuditHead = field(default_factory=lambda: AuditHead(0, ""))
    erased: int = 0
    findings: list[str] = field(default_factory=list)


def verify_audit_log(known: AuditHead | None = None) -> AuditReport:
    """Read the whole chain. ``known``: the head of an earlier report, without which a log that was made anew, or cut
    at its end together with the row of the chain, would pass."""
    report = AuditReport()
    chain = AuditChain.objects.filter(id=AuditChain.ROW).first() or AuditChain()
    hashes = {chain.base_sequence: chain.base_hash}
    expected, previous = chain.base_sequence + 1, chain.base_hash
    named: set[str] = set()
    erased: set[str] = set()
    for entry in _entries():
        report.entries += 1
        report.findings.extend(_gap(expected, entry.sequence))
        if entry.sequence == expected and hash_of(previous, entry) != entry.hash:
            report.findings.append(f"entry {entry.sequence} was changed, or the one before it")
        expected, previous = max(expected, entry.sequence + 1), entry.hash
        if known is not None and entry.sequence == known.sequence:
            hashes[entry.sequence] = entry.hash
        named.update(key for key in (entry.actor_id, entry.owner_id) if key)
        if entry.action == AuditAction.OWNER_ERASED:
            erased.update(entry.detail.get("identities", []))
    report.head = AuditHead(expected - 1, previous)
    report.findings.extend(_end(chain, report.head))
    report.findings.extend(_identity_findings(named, erased, report))
    if known is not None and hashes.get(known.sequence) != known.hash:
        report.findings.append(f"entry {known.sequence} is not the one that was known: its hash was {known.hash}")
    return report


def _entries() -> Iterator[AuditEntry]:
    """In batches, each with a query of its own: the log may be long, and is added to meanwhile."""
    after: int | None = None
    while True:
        rows = AuditEntry.objects.order_by("sequence")
        batch = list((rows if after is None else rows.filter(sequence__gt=after))[:_BATCH])
        yield from batch
        if len(batch) < _BATCH:
            return
        after = batch[-1].sequence


def _gap(expected: int, sequence: int) -> Iterator[str]:
    if sequence < expected:
        yield f"entry {sequence} was inserted before the beginning of the log"
    elif sequence == expected + 1:
        yield f"entry {expected} was removed"
    elif sequence > expected:
        yield f"entries {expected} to {sequence - 1} were removed"


def _end(chain: AuditChain, head: AuditHead) -> Iterator[str]:
    if head.sequence < chain.sequence:
        yield f"the entries after {head.sequence} were removed: there were {chain.sequence}"
    elif (head.sequence, head.hash) != (chain.sequence, chain.hash):
        # Entries that were chained while this read the log are no finding.
        now = AuditChain.objects.filter(id=AuditChain.ROW).first() or AuditChain()
        if head.sequence > now.sequence or (head.sequence == now.sequence and head.hash != now.hash):
            yield f"the last entry, {head.sequence}, was not written by this server"


def _identity_findings(named: set[str], erased: set[str], report: AuditReport) -> Iterator[str]:
    ids = sorted(named)
    for begin in range(0, len(ids), _BATCH):
        wanted = ids[begin : begin + _BATCH]
        found = AuditIdentity.objects.in_bulk(wanted)
        for key in wanted:
            identity = found.get(key)
            if identity is None:
                yield f"the name of {key} was removed"
            elif identity.erased_at is not None:
                report.erased += 1
                if key not in erased:
                    yield f"the name of {key} was removed, and no entry says that its owner was erased"
            elif identity_digest(identity.salt, identity.name, identity.address) != key:
                yield f"the name of {key} was changed"
