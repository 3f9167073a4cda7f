from __future__ import annotations

import uuid

from django.db import models

from windlass.files.states import ChunkState, UploadStatus
from windlass.kernel.ids import new_id


class UploadSession(models.Model):
    """Upload session: the record of an upload in progress.

    ``offset``: every byte below it is stored and acknowledged; for a chunked upload the number of stored bytes.
    ``max_size``: the limit of this upload, where it is below its profile's.

    The lease determines which process may write: ``lease_epoch`` increases with each holder and fences earlier ones,
    ``lease_wanted`` asks the holder to release it.

    ``concat`` is tus's ``Upload-Concat``: ``partial`` for a part of another upload, which never becomes a file and
    stays active when complete, or ``final;…`` for a concatenation. ``parts`` are the ids of a concatenation's parts in
    order; ``concat_key`` is derived from its owner, parts and metadata, so that a repeated request creates it once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    dialect = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=UploadStatus.choices, default=UploadStatus.ACTIVE)
    profile = models.CharField(max_length=64)
    filename = models.CharField(max_length=255)
    declared_type = models.CharField(max_length=255, null=True)  # noqa: DJ001  null: not declared
    reference = models.CharField(max_length=255, null=True)  # noqa: DJ001  null: not given
    metadata = models.JSONField(default=dict)
    client_metadata = models.TextField(null=True)  # noqa: DJ001  null and empty are echoed differently
    expected_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: not declared
    expected_sha512 = models.CharField(max_length=128, null=True)  # noqa: DJ001  likewise
    concat = models.TextField(null=True)  # noqa: DJ001  null: neither partial nor final
    parts = models.JSONField(null=True)
    concat_key = models.CharField(max_length=64, default="", blank=True)

    size = models.BigIntegerField(null=True)
    max_size = models.BigIntegerField(null=True)
    offset = models.BigIntegerField(default=0)
    chunk_size = models.BigIntegerField(null=True)
    #: Bytes that the owner's quota counts for it: its size, or the bytes received while the size is unknown.
    reserved = models.BigIntegerField(default=0)
    store = models.CharField(max_length=64)
    store_key = models.CharField(max_length=200)
    store_state = models.JSONField(default=dict)

    lease_holder = models.CharField(max_length=200, default="", blank=True)
    lease_epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_wanted = models.BooleanField(default=False)

    file_id = models.UUIDField(null=True, blank=True)
    failure = models.TextField(default="", blank=True)
    actual_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: no mismatch
    #: False for a form or a raw body: the rest cannot be sent once its request has ended.
    resumable = models.BooleanField(default=True)
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
        """The parts of a concatenation, in order; empty for other uploads."""
        return [uuid.UUID(part) for part in self.parts or []]


class UploadChunk(models.Model):
    """One numbered chunk of an upload: first the claim of the request that sends it, then the record of its bytes.

    The claim works like the session's lease: ``claim_epoch`` increases with each holder and fences earlier ones,
    ``claim_wanted`` asks a holder whose client is silent to release it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    session = models.ForeignKey(UploadSession, on_delete=models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    size = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=ChunkState.choices, default=ChunkState.CLAIMED)
    sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: not received yet
    store_state = models.JSONField(default=dict)

    claim_holder = models.CharField(max_length=200, default="", blank=True)
    claim_epoch = models.BigIntegerField(default=0)
    claim_until = models.DateTimeField(null=True, blank=True)
    claim_wanted = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "index"], name="one_row_per_chunk")]
        indexes = [models.Index(fields=["claim_holder"], name="chunk_by_holder", condition=~models.Q(claim_holder=""))]

    def __str__(self) -> str:
        return f"chunk {self.index} of {self.session_id} ({self.state})"
