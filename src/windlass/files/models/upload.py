from __future__ import annotations

import uuid

from django.db import models

from windlass.files.states import UploadStatus
from windlass.kernel.ids import new_id


class UploadSession(models.Model):
    """One upload on its way in. ``offset`` is what has been acknowledged: every byte below it is stored.

    The lease says which process may write: ``lease_epoch`` rises with each holder and fences the earlier ones,
    ``lease_wanted`` asks the holder to let go.

    ``concat`` is tus's word for an upload that is a part of another (``partial``: it never becomes a file, and stays
    active when it is whole) or made of others (``final;…``). ``parts`` are the ids that it is made of, in order, and
    ``concat_key`` stands for its owner, parts and metadata, so that asking for it twice makes it once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    dialect = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=UploadStatus.choices, default=UploadStatus.ACTIVE)
    profile = models.CharField(max_length=64)
    filename = models.CharField(max_length=255)
    declared_type = models.CharField(max_length=255, null=True)  # noqa: DJ001  null: the client claimed none
    reference = models.CharField(max_length=255, null=True)  # noqa: DJ001  null: the client gave none
    metadata = models.JSONField(default=dict)
    client_metadata = models.TextField(null=True)  # noqa: DJ001  null and empty are echoed differently
    expected_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: none was announced
    expected_sha512 = models.CharField(max_length=128, null=True)  # noqa: DJ001  likewise
    concat = models.TextField(null=True)  # noqa: DJ001  null: neither a part nor made of parts
    parts = models.JSONField(null=True)
    concat_key = models.CharField(max_length=64, default="", blank=True)

    size = models.BigIntegerField(null=True)
    offset = models.BigIntegerField(default=0)
    store = models.CharField(max_length=64)
    store_key = models.CharField(max_length=200)
    store_state = models.JSONField(default=dict)

    lease_holder = models.CharField(max_length=200, default="", blank=True)
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_wanted = models.BooleanField(default=False)

    file_id = models.UUIDField(null=True, blank=True)
    failure = models.TextField(default="", blank=True)
    last_append_offset = models.BigIntegerField(null=True, blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["lease_holder"], name="upload_by_holder", condition=~models.Q(lease_holder="")),
            models.Index(fields=["status", "expires_at"], name="upload_by_expiry"),
            models.Index(fields=["owner", "-created_at"], name="upload_of_owner"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["concat_key"],
                name="upload_joined_once",
                condition=~models.Q(concat_key="") & models.Q(status__in=["active", "completed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.status})"

    @property
    def is_partial(self) -> bool:
        return self.concat is not None and self.parts is None

    @property
    def part_ids(self) -> list[uuid.UUID]:
        """What it is made of, in order; empty for every other upload."""
        return [uuid.UUID(part) for part in self.parts or []]
