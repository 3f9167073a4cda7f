"""The names behind the entries of the audit log, and their erasure."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q

from windlass.events.audit.models import AuditEntry, AuditIdentity
from windlass.kernel.clock import now


def identity_digest(salt: str, name: str, address: str) -> str:
    """The id of an identity: without the salt, 128 random bits, nobody can find out the name by trying names."""
    return hashlib.sha256(json.dumps([salt, name, address]).encode()).hexdigest()


def identity_ids(wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The ids of the identities of these names and addresses; missing ones are created. The chain must be locked."""
    named = {name for name, _ in wanted}
    known = AuditIdentity.objects.filter(erased_at=None, name__in=named).values_list("name", "address", "id")
    ids = {(name, address): key for name, address, key in known}
    missing = [_new_identity(name, address) for name, address in sorted(set(wanted) - ids.keys())]
    AuditIdentity.objects.bulk_create(missing)
    return ids | {(each.name, each.address): each.id for each in missing}


def erase_identities(name: str) -> list[str]:
    """Delete the name, the addresses and the salts of a person; return the ids, which are pseudonyms from now on.

    The chain must be locked, and the caller must record the ids as erased.
    """
    found = AuditIdentity.objects.filter(erased_at=None, name=name)
    ids = list(found.values_list("id", flat=True))
    found.update(name="", address="", salt="", erased_at=now())
    return ids


def delete_unused_identities() -> int:
    """Delete identities that no entry names any more; return how many. The chain must be locked."""
    named = AuditEntry.objects.filter(Q(actor=OuterRef("pk")) | Q(owner=OuterRef("pk")))
    deleted, _ = AuditIdentity.objects.filter(~Exists(named)).delete()
    return deleted


def _new_identity(name: str, address: str) -> AuditIdentity:
    salt = secrets.token_hex(16)
    return AuditIdentity(id=identity_digest(salt, name, address), name=name, address=address, salt=salt)
