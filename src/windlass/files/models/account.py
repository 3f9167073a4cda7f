from __future__ import annotations

from django.db import models


class OwnerAccount(models.Model):
    """What one owner has stored and what is promised to their uploads under way, in one row, so that a quota holds
    whoever writes at the same time. An owner has one from the first moment that a limit holds for them.

    A limit of null is the settings' limit, 0 is none. Uploads that are parts of another count no file.
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
