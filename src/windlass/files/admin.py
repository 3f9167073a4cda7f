"""Admin pages of files and uploads, read-only: changes there would leave jobs and bytes behind.

Only the quotas of owners can be changed.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from windlass.database.connection import atomic
from windlass.database.read_only_admin import ReadOnly
from windlass.events.api import AuditAction, record_action
from windlass.files.models import (
    BackupRun,
    Blob,
    FileAsset,
    IdempotencyKey,
    OwnerAccount,
    Rendition,
    RetainedObject,
    StepRun,
    UploadChunk,
    UploadSession,
)


class RenditionInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Rendition
    fields = ["name", "kind", "mime_type", "size", "width", "height", "store", "key"]


class StepRunInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = StepRun
    fields = ["run", "stage", "step", "state", "seconds", "detail"]


@admin.register(FileAsset)
class FileAssetAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["original_filename", "owner", "status", "mime_type", "size", "profile", "created_at", "trash_until"]
    list_filter = ["status", "profile", "created_at", ("trashed_at", admin.EmptyFieldListFilter)]
    search_fields = ["id", "original_filename", "owner", "reference", "checksum"]
    date_hierarchy = "created_at"
    inlines = [StepRunInline, RenditionInline]


@admin.register(UploadSession)
class UploadSessionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "filename", "owner", "dialect", "status", "offset", "size", "lease_holder", "expires_at"]
    list_filter = ["status", "dialect", "profile"]
    search_fields = ["id", "filename", "owner", "reference"]


@admin.register(UploadChunk)
class UploadChunkAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "session", "index", "size", "state", "claim_holder", "claim_until"]
    list_filter = ["state"]
    search_fields = ["session__id"]
    list_select_related = ["session"]


@admin.register(OwnerAccount)
class OwnerAccountAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """The limits can be changed; usage is counted, and accounts are created by uploads or ``windlass quota``."""

    list_display = [
        "owner",
        "bytes_used",
        "bytes_reserved",
        "bytes_limit",
        "files_used",
        "files_reserved",
        "files_limit",
    ]
    search_fields = ["owner"]
    readonly_fields = ["owner", "bytes_used", "bytes_reserved", "files_used", "files_reserved"]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: OwnerAccount, form: object, change: bool) -> None:
        """Save the limits only, so that uploads counted since the page was loaded stay counted."""
        with atomic():
            obj.save(update_fields=["bytes_limit", "files_limit"])
            limits = {"bytes": obj.bytes_limit, "files": obj.files_limit}
            record_action(AuditAction.QUOTA_CHANGED, owner=obj.owner, detail=limits)


@admin.register(Blob)
class BlobAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["key", "store", "owner", "size", "references", "created_at", "verified_at", "damage", "damaged_at"]
    list_filter = ["store", "damage", ("damaged_at", admin.EmptyFieldListFilter)]
    search_fields = ["key", "owner", "sha256"]


@admin.register(RetainedObject)
class RetainedObjectAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["key", "store", "size", "until"]
    list_filter = ["store"]
    search_fields = ["key"]


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Without the answers, which may contain grants and signed URLs."""

    list_display = ["key", "caller", "done", "answer_status", "created_at", "expires_at"]
    list_filter = ["done"]
    search_fields = ["key", "caller"]
    exclude = ["answer_headers", "answer_body"]


@admin.register(BackupRun)
class BackupRunAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["started_at", "finished_at", "target", "objects_count", "bytes_count", "missing_count"]
