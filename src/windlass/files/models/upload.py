from __future__ import annotations

import uuid

from django.db import models

from windlass.files.states import ChunkState, UploadStatus
from windlass.kernel.ids import new_id


class UploadSession(models.Model):
    """One upload on its way in. ``offset`` is what has been acknowledged: every byte below it is stored; of an upload
    in numbered chunks it is how many bytes are. ``max_size`` is what it may become where its profile would allow more.

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
    max_size = models.BigIntegerField(null=True)
    offset = models.BigIntegerField(default=0)
    chunk_size = models.BigIntegerField(null=True)
    #: What its owner's quota counts for it: its size, or while that is not known as much as has come.
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
    actual_sha256 = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: it was not proved wrong
    #: False for a form or a raw body: once its request is gone, nobody can send the rest.
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
        """What it is made of, in order; empty for every other upload."""
        return [uuid.UUID(part) for part in self.parts or []]


class UploadChunk(models.Model):
    """One numbered chunk of an upload: the right to bring it, then the proof that it is in.

    The claim works like the session's lease: ``claim_epoch`` rises with each holder and fences the earlier ones,
    ``claim_wanted`` asks a holder whose client has gone silent to let go.
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
