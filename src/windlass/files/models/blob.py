from __future__ import annotations

from django.db import models
from django.db.models.functions import Coalesce

from windlass.kernel.ids import new_id


class Blob(models.Model):
    """Stored bytes. Several file records of one owner may refer to one blob; the bytes go with the last reference.

    ``verified_at``: when they were last compared with this row; null: not since they were received. ``damaged_at``:
    since when they are known not to be what was received; ``damage`` says in what way, one of ``integrity.Damage``.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: nobody has read every byte yet
    references = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    damaged_at = models.DateTimeField(null=True, blank=True)
    damage = models.CharField(max_length=16, default="", blank=True)
    damage_detail = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_blob_per_key")]
        indexes = [
            models.Index(fields=["owner", "sha256"], name="blob_by_content"),
            models.Index(Coalesce("verified_at", "created_at"), "id", name="blob_by_verification"),
            models.Index(fields=["damaged_at"], name="blob_by_damage", condition=models.Q(damaged_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.key
