"""What the audit log records."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models

from windlass.events.types import EventType


class AuditAction(models.TextChoices):
    UPLOAD_CREATED = "upload.created"  # an upload was admitted
    UPLOAD_CANCELLED = "upload.cancelled"  # it was cancelled by a client
    UPLOAD_EXPIRED = "upload.expired"  # it expired before it was complete
    FILE_CREATED = "file.created"  # every byte was received; the file record exists
    FILE_REJECTED = "file.rejected"  # a rule refused the file
    FILE_QUARANTINED = "file.quarantined"  # malware was found in it
    FILE_DOWNLOADED = "file.downloaded"  # its bytes were requested and may be served (AUDIT_DOWNLOADS)
    FILE_RELEASED = "file.released"  # its bytes were deleted, its record is kept
    FILE_TRASHED = "file.trashed"  # it was moved to the trash
    FILE_RESTORED = "file.restored"  # it was taken out of the trash
    FILE_DELETED = "file.deleted"  # its bytes and its record were deleted
    FILE_DAMAGED = "file.damaged"  # its stored bytes differ from those received
    LEVEL_CHANGED = "level.changed"  # a person pinned or released the service level
    SIGN_IN = "sign_in.succeeded"  # a user signed in with a password, or began a session with a token (AUDIT_SIGN_INS)
    SIGN_IN_REFUSED = "sign_in.refused"  # name, password or token were wrong (AUDIT_SIGN_INS)
    SIGN_IN_REFRESHED = "sign_in.refreshed"  # a refresh token was exchanged (AUDIT_SIGN_INS)
    SIGN_IN_REUSED = "sign_in.reused"  # a refresh token was used again, so its sign-in ended (AUDIT_SIGN_INS)
    SIGN_IN_ENDED = "sign_in.ended"  # a user signed out (AUDIT_SIGN_INS)
    USER_CREATED = "user.created"  # an account was made
    USER_PASSWORD_CHANGED = "user.password_changed"  # noqa: S105  its password was changed
    USER_DISABLED = "user.disabled"  # it may not sign in any more
    USER_ENABLED = "user.enabled"  # it may sign in again
    USER_PROMOTED = "user.promoted"  # it was made staff
    USER_DEMOTED = "user.demoted"  # it is no longer staff
    USER_DELETED = "user.deleted"  # it was deleted; after an erasure, OWNER_ERASED says so
    TOKEN_CREATED = "token.created"  # noqa: S105  an API token was made
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  an API token was deleted
    GRANT_CREATED = "grant.created"  # a grant for one upload was made
    WEBHOOK_CREATED = "webhook.created"  # a webhook was made
    WEBHOOK_CHANGED = "webhook.changed"  # its URL or types were changed, or it was enabled or disabled
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105  it has a new secret
    WEBHOOK_DELETED = "webhook.deleted"  # it was deleted
    DEAD_LETTER_RETRIED = "dead_letter.retried"  # a person had a failed job run again
    DEAD_LETTER_DELETED = "dead_letter.deleted"  # a person deleted a failed job; its file stays
    BREAKER_RESET = "breaker.reset"  # a person closed a circuit breaker
    BACKUP_MADE = "backup.made"  # a backup was completed
    BACKUP_RESTORED = "backup.restored"  # the records before this entry are those of a backup
    QUOTA_CHANGED = "quota.changed"  # limits of an owner were set
    OWNER_EXPORTED = "owner.exported"  # what is stored of an owner was exported
    OWNER_ERASED = "owner.erased"  # what was stored of an owner was deleted, and the owner's name here
    AUDIT_PRUNED = "audit.pruned"  # the oldest entries were deleted (AUDIT_RETENTION_DAYS)


#: The events of the journal that are recorded here as well.
ACTIONS_OF_EVENTS: Mapping[str, AuditAction] = {
    EventType.UPLOAD_CREATED: AuditAction.UPLOAD_CREATED,
    EventType.UPLOAD_CANCELLED: AuditAction.UPLOAD_CANCELLED,
    EventType.UPLOAD_EXPIRED: AuditAction.UPLOAD_EXPIRED,
    EventType.FILE_CREATED: AuditAction.FILE_CREATED,
    EventType.FILE_REJECTED: AuditAction.FILE_REJECTED,
    EventType.FILE_QUARANTINED: AuditAction.FILE_QUARANTINED,
    EventType.FILE_RELEASED: AuditAction.FILE_RELEASED,
    EventType.FILE_TRASHED: AuditAction.FILE_TRASHED,
    EventType.FILE_RESTORED: AuditAction.FILE_RESTORED,
    EventType.FILE_DELETED: AuditAction.FILE_DELETED,
    EventType.FILE_DAMAGED: AuditAction.FILE_DAMAGED,
    EventType.SYSTEM_LEVEL: AuditAction.LEVEL_CHANGED,
}
