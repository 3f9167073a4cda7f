"""Tables of the audit log: entries that wait to be chained, the chain, and the names that its entries refer to.

An entry of the chain names a person by the key of an AuditIdentity, a salted hash of name and address. When the owner
is erased, name, address and salt are deleted there; the entry, and so the chain, stays as it is
(docs/decisions/0065).
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from windlass.events.audit.actions import AuditAction


class AppendOnlyError(Exception):
    """An entry of the audit log is never changed or deleted by the program, except by its retention."""


class PendingAuditEntry(models.Model):
    """An entry as it was written, in the transaction of what it records. The sweep moves it into the chain."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=40)
    actor = models.CharField(max_length=200, default="")
    address = models.CharField(max_length=64, default="")
    credential = models.CharField(max_length=16, default="")
    request_id = models.CharField(max_length=128, default="")
    owner = models.CharField(max_length=200, default="")
    file_id = models.UUIDField(null=True)
    upload_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=64, default="")
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "pending audit entries"

    def __str__(self) -> str:
        return f"{self.action} ({self.id})"


class AuditIdentity(models.Model):
    """A name and an address that entries refer to. ``id`` is the SHA-256 of ``salt``, ``name`` and ``address``.

    After an erasure the three are empty and ``erased_at`` says when; the id is a pseudonym then, which nothing leads
    back from.
    """

    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    address = models.CharField(max_length=64, default="", blank=True)
    salt = models.CharField(max_length=32, default="", blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "audit identities"
        constraints = [
            models.UniqueConstraint(
                fields=["name", "address"], name="one_audit_identity", condition=models.Q(erased_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.name or f"erased {self.id[:12]}"


class _AppendOnlyRows(models.QuerySet["AuditEntry"]):
    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnlyError("entries of the audit log are not changed or deleted")

    update = delete = bulk_update = update_or_create = _refuse


class AuditEntry(models.Model):
    """One entry of the chain. ``hash`` is the SHA-256 of the hash before it and this entry's content (``chain``).

    ``actor``: who acted; null for the server itself. ``owner``: whose record it concerns; null if there is none.
    ``subject``: the number or id of a token, a webhook or a grant. ``detail``: facts that name no person.
    Database triggers refuse to change it, and to delete it unless the chain's base is at or after it.
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=40, choices=AuditAction.choices)
    actor = models.ForeignKey(
        AuditIdentity, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    credential = models.CharField(max_length=16, default="")
    request_id = models.CharField(max_length=128, default="")
    owner = models.ForeignKey(
        AuditIdentity, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    file_id = models.UUIDField(null=True)
    upload_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=64, default="")
    detail = models.JSONField(default=dict)
    hash = models.CharField(max_length=64)

    objects = _AppendOnlyRows.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["at"], name="audit_by_time"),
            models.Index(fields=["actor", "sequence"], name="audit_of_actor"),
            models.Index(fields=["owner", "sequence"], name="audit_of_owner"),
            models.Index(fields=["file_id", "sequence"], name="audit_of_file"),
            models.Index(fields=["upload_id", "sequence"], name="audit_of_upload"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"

    def save(self, **options: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"entry {self.sequence} of the audit log is not changed")
        super().save(**options | {"force_insert": True})

    def delete(self, using: Any = None, keep_parents: bool = False) -> NoReturn:
        raise AppendOnlyError(f"entry {self.sequence} of the audit log is not deleted")


class AuditChain(models.Model):
    """Both ends of the chain: one row, with the id ROW. Whoever extends or shortens the chain locks it.

    ``base_sequence`` and ``base_hash``: of the last entry that the retention deleted; 0 and empty if there is none.
    ``sequence`` and ``hash``: of the last entry.
    """

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    base_sequence = models.BigIntegerField(default=0)
    base_hash = models.CharField(max_length=64, default="", blank=True)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="", blank=True)

    def __str__(self) -> str:
        return f"audit chain up to {self.sequence}"


def delete_entries_through(sequence: int) -> None:
    """Delete the entries up to this one for the retention, which has moved the chain's base there."""
    rows: models.QuerySet[AuditEntry] = models.QuerySet(AuditEntry).filter(sequence__lte=sequence)
    rows._raw_delete(rows.db)
