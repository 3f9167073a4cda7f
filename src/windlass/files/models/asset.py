from __future__ import annotations

import uuid

from django.db import models

from windlass.files.models.blob import Blob
from windlass.files.states import FileStatus, StepState
from windlass.kernel import filenames
from windlass.kernel.ids import new_id


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
            models.Index(fields=["owner", "checksum"], name="file_by_content"),
            models.Index(fields=["reference"], name="file_by_reference"),
            models.Index(fields=["status"], name="file_by_status"),
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
