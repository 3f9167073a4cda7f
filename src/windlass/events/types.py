"""The kinds of event, as clients see them."""

from __future__ import annotations

from django.db import models


class EventType(models.TextChoices):
    UPLOAD_CREATED = "upload.created"  # a session was admitted
    UPLOAD_COMPLETED = "upload.completed"  # every byte is in and recorded
    UPLOAD_EXPIRED = "upload.expired"  # its life ended before it was whole
    UPLOAD_CANCELLED = "upload.cancelled"  # the client gave it up
    FILE_CREATED = "file.created"  # a record exists; processing begins
    FILE_STAGE = "file.stage"  # a stage began
    FILE_STEP = "file.step"  # a step ended
    FILE_READY = "file.ready"  # everything asked for is done
    FILE_REJECTED = "file.rejected"  # a rule said no
    FILE_QUARANTINED = "file.quarantined"  # malware: never served
    FILE_FAILED = "file.failed"  # processing gave up; it can be retried
    FILE_RELEASED = "file.released"  # bytes deleted on purpose, record kept
    FILE_TRASHED = "file.trashed"  # moved to the trash: gone for everybody, but it can be restored for a while
    FILE_RESTORED = "file.restored"  # taken out of the trash, as it was
    FILE_DELETED = "file.deleted"  # bytes and record gone
    FILE_DAMAGED = "file.damaged"  # its stored bytes are not what was received; they are not served
    FILE_MENDED = "file.mended"  # its stored bytes are right again
    JOB_DEAD = "job.dead"  # a job used up its attempts
    SYSTEM_BREAKER = "system.breaker"  # a part that the server talks to is left alone, tried, or used again; for staff


#: The owner of what is nobody's: events that staff alone see. No principal is called so.
SYSTEM = ""
