"""Event types, as clients see them."""

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
    JOB_DEAD = "job.dead"  # a job became a dead letter: its attempts are used up, or it cannot succeed
    SYSTEM_BREAKER = "system.breaker"  # a circuit breaker opened, or closed again; for staff
    SYSTEM_LEVEL = "system.level"  # the service level rose, fell, was pinned or returned to automatic; for staff


#: The owner of events that only staff may see. No principal has this name.
SYSTEM = ""
