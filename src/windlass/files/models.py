"""Tables of the files app: stored bytes, file records, upload sessions, quota accounts."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Coalesce

from windlass.files.states import ChunkState, FileStatus, StepState, UploadStatus
from windlass.kernel import filenames
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


class RetainedObject(models.Model):
    """An object that no record names and that the sweep keeps until a given time: the copy that a move is making, or
    the old copy after a move, whose key a reader may have read a moment ago."""

    id = models.BigAutoField(primary_key=True)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_retained_object_per_key")]
        indexes = [models.Index(fields=["until"], name="retained_object_by_end")]

    def __str__(self) -> str:
        return self.key


class BackupRun(models.Model):
    """A backup of this server. Until ``held_until``, or until it has finished, no stored object is deleted: the backup
    is copying those that its snapshot of the database names. The process that makes it extends ``held_until``.

    The counts: objects in the backup and their bytes, and objects that could not be copied.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    target = models.CharField(max_length=1000)
    started_at = models.DateTimeField()
    held_until = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    objects_count = models.BigIntegerField(default=0, db_default=0)
    bytes_count = models.BigIntegerField(default=0, db_default=0)
    missing_count = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        indexes = [models.Index(fields=["held_until"], name="backup_hold", condition=models.Q(finished_at=None))]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} to {self.target}"


class PeriodicTaskState(models.Model):
    """What a periodic task keeps between its runs, in whichever process they are: figures that it has counted, or the
    row at which it goes on. ``seconds``: how long its last run took. ``claimed_at``: since when a process runs it, if
    only one is to."""

    name = models.CharField(max_length=64, primary_key=True)
    value = models.JSONField(default=dict)
    seconds = models.FloatField(default=0.0)
    updated_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class PresentFiles(models.Manager["FileAsset"]):
    """Files that are not in the trash."""

    def get_queryset(self) -> models.QuerySet[FileAsset]:
        return super().get_queryset().filter(trashed_at=None)


class SearchName(models.TextField):  # type: ignore[type-arg]  # takes no parameter at run time
    """``original_filename`` normalized for search (``filenames.comparable``), set whenever the row is saved."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        name = filenames.comparable(str(getattr(model_instance, "original_filename", "")))
        setattr(model_instance, self.attname, name)
        return name


class FileAsset(models.Model):
    """File record: what a completed upload becomes, with what the client declared, detected facts and processing state.

    ``run`` counts how often it was processed from the start; ``progress`` never falls within a run. ``gate_passed``:
    type, scan and rules accepted the file, so that it may be served.

    A file in the trash keeps its status: use ``present`` for what clients see.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.CharField(max_length=200)
    upload_id = models.UUIDField(null=True, blank=True)
    blob = models.ForeignKey(Blob, null=True, blank=True, on_delete=models.PROTECT, related_name="files")
    status = models.CharField(max_length=16, choices=FileStatus.choices, default=FileStatus.PENDING)
    gate_passed = models.BooleanField(default=False)

    original_filename = models.CharField(max_length=255)
    search_name = SearchName(default="", blank=True, editable=False)
    #: ``search_facts.searchable_facts`` of ``extra_attributes``.
    search_facts = models.TextField(default="", db_default="", blank=True, editable=False)
    size = models.BigIntegerField()
    profile = models.CharField(max_length=64)
    reference = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  null: not given
    metadata = models.JSONField(default=dict, blank=True)
    #: Bytes that the quota counts for the client's metadata, in addition to the size.
    metadata_size = models.PositiveIntegerField(default=0)
    declared_mime_type = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  null: not declared
    expected_sha256 = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  null: not declared

    mime_type = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  null: not known yet
    checksum = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  null: not known yet
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    duration = models.FloatField(null=True, blank=True)
    page_count = models.PositiveIntegerField(null=True, blank=True)
    extra_attributes = models.JSONField(default=dict, blank=True)
    duplicate_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="copies")
    rejection = models.JSONField(null=True, blank=True)

    run = models.PositiveIntegerField(default=1)
    stage = models.CharField(max_length=32, default="", blank=True)
    message = models.CharField(max_length=500, default="", blank=True)
    progress = models.PositiveSmallIntegerField(default=0)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    #: When the profile deletes the file, and when it releases the bytes before that.
    expires_at = models.DateTimeField(null=True, blank=True)
    release_at = models.DateTimeField(null=True, blank=True)
    #: When it was put into the trash, and until when it can be restored; null if it is not in the trash.
    trashed_at = models.DateTimeField(null=True, blank=True)
    trash_until = models.DateTimeField(null=True, blank=True)

    objects = models.Manager()
    present = PresentFiles()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-created_at", "-id"], name="file_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="file_by_time"),
            models.Index(fields=["owner", "search_name", "id"], name="file_of_owner_by_name"),
            models.Index(fields=["search_name", "id"], name="file_by_name"),
            models.Index(fields=["owner", "size", "id"], name="file_of_owner_by_size"),
            models.Index(fields=["size", "id"], name="file_by_size"),
            models.Index(fields=["checksum", "owner"], name="file_by_checksum"),
            # Each filter of the list gives its files in the list's order, so that a page reads a page of rows.
            models.Index(fields=["owner", "status", "-created_at", "-id"], name="file_of_owner_by_status"),
            models.Index(fields=["status", "-created_at", "-id"], name="file_by_status_and_time"),
            models.Index(fields=["owner", "mime_type", "-created_at", "-id"], name="file_of_owner_by_type"),
            models.Index(fields=["mime_type", "-created_at", "-id"], name="file_by_type"),
            models.Index(
                fields=["owner", "reference", "-created_at", "-id"],
                name="file_of_owner_by_reference",
                condition=models.Q(reference__isnull=False),
            ),
            models.Index(
                fields=["reference", "-created_at", "-id"],
                name="file_by_reference_and_time",
                condition=models.Q(reference__isnull=False),
            ),
            models.Index(
                fields=["owner", "-created_at", "-id"],
                name="file_of_owner_in_trash",
                condition=models.Q(trash_until__isnull=False),
            ),
            models.Index(fields=["expires_at"], name="file_by_end", condition=models.Q(expires_at__isnull=False)),
            models.Index(fields=["release_at"], name="file_by_release", condition=models.Q(release_at__isnull=False)),
            models.Index(fields=["trash_until"], name="file_by_trash", condition=models.Q(trash_until__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.original_filename

    @property
    def original_id(self) -> uuid.UUID | None:
        """The earlier file with the same content; None if there is none or it is in the trash."""
        original = self.duplicate_of
        return None if original is None or original.trashed_at is not None else original.id


class Rendition(models.Model):
    """A derived object of a file: a thumbnail, a preview, its text. ``run`` is the run that last wrote it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    file = models.ForeignKey(FileAsset, on_delete=models.CASCADE, related_name="renditions")
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=32)
    mime_type = models.CharField(max_length=255)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    run = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "name"], name="one_rendition_per_name")]
        indexes = [models.Index(fields=["key"], name="rendition_by_key")]

    def __str__(self) -> str:
        return f"{self.name} of {self.file_id}"


class StepRun(models.Model):
    """One step of one run of a file: its state, duration and detail."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(FileAsset, on_delete=models.CASCADE, related_name="steps")
    run = models.PositiveIntegerField()
    stage = models.CharField(max_length=32)
    step = models.CharField(max_length=64)
    position = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=16, choices=StepState.choices, default=StepState.PENDING)
    seconds = models.FloatField(null=True, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    detail = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["file", "run", "step"], name="one_step_per_run")]
        # Usually few, and queried every few seconds.
        indexes = [models.Index(fields=["step", "id"], condition=models.Q(state=StepState.OWED), name="owed_steps")]

    def __str__(self) -> str:
        return f"{self.step} of {self.file_id} ({self.state})"


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
    #: Keyed hash of the address at which it was begun, while it is open; empty where addresses are not counted.
    address_key = models.CharField(max_length=32, default="", db_default="", blank=True)
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
            models.Index(fields=["status", "id"], name="upload_of_one_request", condition=models.Q(resumable=False)),
            models.Index(fields=["ended_at", "id"], name="upload_by_end", condition=models.Q(ended_at__isnull=False)),
            models.Index(
                fields=["status", "owner", "created_at"],
                name="upload_made_of_others",
                condition=models.Q(parts__isnull=False),
            ),
            models.Index(
                fields=["-updated_at", "-id"],
                name="upload_by_last_write",
                condition=models.Q(status__in=["active", "assembling"]),
            ),
            models.Index(
                fields=["updated_at"],
                name="direct_upload_by_last_write",
                condition=models.Q(status="active", dialect="s3"),
            ),
            models.Index(fields=["store_key"], name="upload_by_key"),
            models.Index(fields=["-created_at", "-id"], name="upload_by_time"),
            models.Index(fields=["owner", "-created_at"], name="upload_of_owner"),
            models.Index(fields=["address_key"], name="upload_by_address", condition=~models.Q(address_key="")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["concat_key"],
                name="upload_joined_once",
                condition=~models.Q(concat_key="") & models.Q(status__in=["active", "completed"]),
            )
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


class IdempotencyKey(models.Model):
    """A key that a client sent with a creating request, and the answer to that request (http-api, conventions).

    ``caller`` sent it; other callers' keys are independent. ``fingerprint``: of the request's head. ``body_digest`` and
    ``body_size``: of its body, null if that did not arrive completely. ``done``: the request was answered; until then
    the claim tells whether it runs. ``uploads``: the upload sessions that it created. ``answer_status`` null: the
    answer is made of its upload session.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    caller = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    body_digest = models.CharField(max_length=64, null=True)  # noqa: DJ001  null: not known
    body_size = models.BigIntegerField(null=True)
    done = models.BooleanField(default=False)
    uploads = models.JSONField(default=list)
    answer_status = models.PositiveSmallIntegerField(null=True)
    answer_headers = models.JSONField(default=list)
    answer_body = models.BinaryField(default=b"")

    claim_holder = models.CharField(max_length=200, default="", blank=True)
    claim_epoch = models.BigIntegerField(default=0)
    claim_until = models.DateTimeField(null=True, blank=True)
    claim_wanted = models.BooleanField(default=False)

    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="one_row_per_idempotency_key")]
        indexes = [
            models.Index(fields=["expires_at"], name="idempotency_key_by_expiry"),
            models.Index(
                fields=["claim_holder"], name="idempotency_key_by_holder", condition=~models.Q(claim_holder="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.caller}"
