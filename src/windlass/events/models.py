from __future__ import annotations

from django.db import models


class EventType(models.TextChoices):
    UPLOAD_CREATED = "upload.created"  # a session was admitted
    UPLOAD_COMPLETED = "upload.completed"  # every byte is received and recorded
    UPLOAD_EXPIRED = "upload.expired"  # it expired before it was complete
    UPLOAD_CANCELLED = "upload.cancelled"  # the client cancelled it
    FILE_CREATED = "file.created"  # the file record exists; processing starts
    FILE_STAGE = "file.stage"  # a stage started
    FILE_STEP = "file.step"  # a step ended
    FILE_READY = "file.ready"  # processing is done
    FILE_REJECTED = "file.rejected"  # a rule refused it
    FILE_QUARANTINED = "file.quarantined"  # malware: never served
    FILE_FAILED = "file.failed"  # processing failed; it can be retried
    FILE_RELEASED = "file.released"  # its bytes were deleted, its record is kept
    FILE_TRASHED = "file.trashed"  # moved to the trash, from which it can be restored for a while
    FILE_RESTORED = "file.restored"  # taken out of the trash
    FILE_DELETED = "file.deleted"  # its bytes and its record were deleted
    FILE_DAMAGED = "file.damaged"  # its stored bytes differ from those received; they are not served
    FILE_MENDED = "file.mended"  # its stored bytes are correct again
    JOB_DEAD = "job.dead"  # a job used up its attempts
    SYSTEM_BREAKER = "system.breaker"  # a circuit breaker opened, half-opened or closed; for staff


#: The owner of events that only staff may see. No principal has this name.
SYSTEM = ""


class Event(models.Model):
    """One event. Ids are in the order in which events were committed."""

    id = models.BigAutoField(primary_key=True)
    type = models.CharField(max_length=32, choices=EventType.choices)
    owner = models.CharField(max_length=200)
    file_id = models.UUIDField(null=True)
    upload_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["file_id", "id"], name="event_of_file"),
            models.Index(fields=["upload_id", "id"], name="event_of_upload"),
            models.Index(fields=["owner", "id"], name="event_of_owner"),
            models.Index(fields=["at"], name="event_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.type}"
