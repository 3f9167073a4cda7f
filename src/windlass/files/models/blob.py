from __future__ import annotations

from django.db import models

from windlass.kernel.ids import new_id


class Blob(models.Model):
    """Stored bytes. Several file records of one owner may refer to one blob; the bytes go with the last reference."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: nobody has read every byte yet
    references = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_blob_per_key")]
        indexes = [models.Index(fields=["owner", "sha256"], name="blob_by_content")]

    def __str__(self) -> str:
        return self.key
