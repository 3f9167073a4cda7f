from __future__ import annotations

from django.db import models


class OwnerAccount(models.Model):
    """What one owner has stored and has reserved for unfinished uploads, in one row, so that concurrent uploads cannot
    exceed a quota. It is created when a limit first applies to the owner.

    A limit of null is the settings' limit, 0 is no limit. Partial uploads count no file.
    """

    owner = models.CharField(max_length=200, primary_key=True)
    bytes_limit = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: QUOTA_BYTES. 0: no limit.")
    files_limit = models.PositiveBigIntegerField(null=True, blank=True, help_text="Empty: QUOTA_FILES. 0: no limit.")
    bytes_used = models.BigIntegerField(default=0)
    bytes_reserved = models.BigIntegerField(default=0)
    files_used = models.BigIntegerField(default=0)
    files_reserved = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.owner
