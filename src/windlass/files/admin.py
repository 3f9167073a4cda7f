"""Admin pages of files and uploads. Columns cannot be edited, because jobs and bytes belong to them: actions change
files as the API does. Only the quotas of owners have a form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from windlass import conf
from windlass.database.connection import atomic
from windlass.database.read_only_admin import ReadOnly
from windlass.database.record_admin import MOST_COUNTED, NOTHING, KnownValuesFilter, RecordAdmin, address_of
from windlass.events.api import AuditAction, record_action
from windlass.files.admin_actions import FileAction, file_actions
from windlass.files.assets import IllegalTransition
from windlass.files.blobs import stores_in_service
from windlass.files.deletion import end_upload
from windlass.files.models import (
    BackupRun,
    Blob,
    FileAsset,
    IdempotencyKey,
    OwnerAccount,
    PeriodicTaskState,
    Rendition,
    RetainedObject,
    StepRun,
    UploadChunk,
    UploadSession,
)
from windlass.files.name_index import by_name_index, has_part
from windlass.files.profiles import profiles
from windlass.files.states import UNFINISHED_UPLOADS, FileStatus, UploadStatus
from windlass.kernel import filenames, urls
from windlass.kernel.problem_types import Problem
from windlass.kernel.process_counters import DIALECTS
from windlass.kernel.sizes import human_size
from windlass.storage.contract import StoreError

_CHECKSUM = re.compile("[0-9a-f]{64}")
#: Names that a page of confirmation lists.
MOST_LISTED = 20


class RenditionInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = Rendition
    fields = ["link", "kind", "mime_type", "human_size", "width", "height", "store", "key"]
    readonly_fields = ["link", "human_size"]

    @admin.display(description="name")
    def link(self, rendition: Rendition) -> str:
        address = _media_link(rendition.file_id, f"renditions/{rendition.name}/")
        return format_html('<a href="{}">{}</a>', address, rendition.name)

    @admin.display(description="size")
    def human_size(self, rendition: Rendition) -> str:
        return human_size(rendition.size)


class StepRunInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    model = StepRun
    fields = ["run", "stage", "step", "state", "seconds", "detail"]


class ProfileFilter(KnownValuesFilter):
    title, parameter_name = "profile", "profile"

    def known_values(self) -> Iterable[str]:
        return profiles()


class DialectFilter(KnownValuesFilter):
    title, parameter_name = "dialect", "dialect"

    def known_values(self) -> Iterable[str]:
        return DIALECTS


@admin.register(FileAsset)
class FileAssetAdmin(ReadOnly, RecordAdmin):
    list_display = [
        *("thumbnail", "original_filename", "owner_link", "status", "mime_type", "human_size", "profile"),
        *("created_at", "trash_until", "links"),
    ]
    list_display_links = ["original_filename"]
    list_filter = ["status", ProfileFilter, "created_at", ("trashed_at", admin.EmptyFieldListFilter)]
    list_prefetch = ["renditions"]
    id_fields = ("id", "upload_id")
    exact_fields = ("owner", "reference")
    search_help_text = "An id, a checksum, an owner or a reference as a whole, or a part of the name."
    ordering = ["-created_at", "-id"]
    sortable_by = ["created_at", "human_size"]
    position_field = "created_at"
    readonly_fields = ["thumbnail", "links", "owner_link", "size_in_bytes"]
    inlines = [StepRunInline, RenditionInline]
    actions = ["reprocess_selected", "release_selected", "delete_selected_files", "restore_selected"]

    def get_fieldsets(self, request: HttpRequest, obj: FileAsset | None = None) -> Any:
        shown = ["thumbnail", "links", "owner_link", "size_in_bytes"]
        hidden = ("id", "search_name", "owner", "size")
        others = [field.name for field in FileAsset._meta.fields if field.name not in hidden]
        return [(None, {"fields": ["id", *shown, *others]})]

    def get_readonly_fields(self, request: HttpRequest, obj: FileAsset | None = None) -> Any:
        return ["id", *self.readonly_fields]

    def text_condition(self, rows: QuerySet[Any], text: str) -> Q:
        if _CHECKSUM.fullmatch(text.lower()):
            return Q(checksum=text.lower())
        part, name = filenames.comparable(text), has_part(filenames.comparable(text))
        near = self.is_recent(rows)
        if not near or rows.filter(near, name).order_by()[: self.list_per_page].count() == self.list_per_page:
            return (name & near) | super().text_condition(rows, text)
        found = by_name_index(rows.order_by(), part).filter(name).values_list("id", flat=True)
        return Q(id__in=list(found[: MOST_COUNTED + 1])) | super().text_condition(rows, text)

    def has_process_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_files.change_fileasset")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_files.delete_fileasset")

    @admin.display(description="size")
    def size_in_bytes(self, file: FileAsset) -> str:
        exact = f"{file.size:,} bytes"
        return exact if file.size < 1024 else f"{self.human_size(file)} ({exact})"

    @admin.display(description="picture")
    def thumbnail(self, file: FileAsset) -> str:
        if not any(rendition.name == "thumbnail" for rendition in file.renditions.all()):
            return ""
        return format_html('<img src="{}" alt="" height="40" loading="lazy">', _media_link(file.id, "thumbnail/"))

    @admin.display(description="open")
    def links(self, file: FileAsset) -> str:
        page = address_of("windlass-file", str(file.id))
        parts = [format_html('<a href="{}">page</a>', page)] if page else []
        if file.gate_passed and file.trashed_at is None and file.status in (FileStatus.READY, FileStatus.FAILED):
            parts.append(format_html('<a href="{}">download</a>', _media_link(file.id, "download/")))
        return format_html(" ".join("{}" for _ in parts), *parts) if parts else NOTHING

    @admin.action(description="Process selected files again", permissions=["process"])
    def reprocess_selected(self, request: HttpRequest, selected: QuerySet[FileAsset]) -> None:
        self._apply(request, selected, file_actions().reprocess, "Processed again")

    @admin.action(description="Release selected files: delete their bytes, keep their records", permissions=["remove"])
    def release_selected(self, request: HttpRequest, selected: QuerySet[FileAsset]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            question = "The bytes of these files will be deleted for good. Their records stay."
            return confirmation(self, request, selected, "release_selected", question, "Yes, release them")
        self._apply(request, selected, file_actions().release, "Released")
        return None

    @admin.action(description="Delete selected files, into the trash if there is one", permissions=["remove"])
    def delete_selected_files(self, request: HttpRequest, selected: QuerySet[FileAsset]) -> HttpResponse | None:
        if "confirmed" not in request.POST:
            question = "These files will be deleted: for good, or into the trash if their profile has one."
            return confirmation(self, request, selected, "delete_selected_files", question, "Yes, delete them")
        self._apply(request, selected, file_actions().delete_or_trash, "Deleted")
        return None

    @admin.action(description="Restore selected files from the trash", permissions=["process"])
    def restore_selected(self, request: HttpRequest, selected: QuerySet[FileAsset]) -> None:
        self._apply(request, selected.filter(trashed_at__isnull=False), file_actions().restore, "Restored")

    def _apply(self, request: HttpRequest, selected: QuerySet[FileAsset], act: FileAction, done: str) -> None:
        """Each file by itself: one that cannot be changed does not stop the others."""
        changed = 0
        for file in selected.select_related("blob"):
            try:
                act(file)
            except Problem as problem:
                self.message_user(request, f"{file}: {problem.detail}", messages.ERROR)
            except IllegalTransition as error:
                self.message_user(request, f"{file}: {error}", messages.ERROR)
            else:
                changed += 1
        self.message_user(request, f"{done}: {changed} {'file' if changed == 1 else 'files'}.")


@admin.register(UploadSession)
class UploadSessionAdmin(ReadOnly, RecordAdmin):
    list_display = [
        *("id", "filename", "owner_link", "dialect", "status", "received", "file_link", "lease_holder"),
        *("updated_at", "expires_at"),
    ]
    list_filter = ["status", DialectFilter, ProfileFilter, "created_at"]
    id_fields = ("id", "file_id")
    exact_fields = ("owner",)
    recent_fields = ("filename", "reference")
    search_help_text = "An id or an owner as a whole, or a part of the name or reference of one of the newest uploads."
    ordering = ["-created_at", "-id"]
    sortable_by = ["updated_at"]
    position_field = "created_at"
    actions = ["cancel_selected", "expire_selected"]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("windlass_files.delete_uploadsession")

    @admin.display(description="received", ordering="offset")
    def received(self, session: UploadSession) -> str:
        if session.size is None:
            return human_size(session.offset)
        part = 100 * session.offset // session.size if session.size else 100
        return f"{human_size(session.offset)} of {human_size(session.size)} ({part} %)"

    @admin.action(description="Cancel selected uploads and delete their bytes", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, selected: QuerySet[UploadSession]) -> HttpResponse | None:
        question = "These uploads will be cancelled, and what was received of them deleted. Completed ones stay."
        if "confirmed" not in request.POST:
            running = selected.filter(status__in=UNFINISHED_UPLOADS)
            return confirmation(self, request, running, "cancel_selected", question, "Yes, cancel them")
        self._end(request, selected, UploadStatus.CANCELLED, "Cancelled by staff.")
        return None

    @admin.action(description="Expire selected uploads now and delete their bytes", permissions=["cancel"])
    def expire_selected(self, request: HttpRequest, selected: QuerySet[UploadSession]) -> HttpResponse | None:
        question = "These uploads will expire now, and what was received of them is deleted. Completed ones stay."
        if "confirmed" not in request.POST:
            running = selected.filter(status__in=UNFINISHED_UPLOADS)
            return confirmation(self, request, running, "expire_selected", question, "Yes, let them expire")
        self._end(request, selected, UploadStatus.EXPIRED, "Expired by staff.")
        return None

    def _end(self, request: HttpRequest, selected: QuerySet[UploadSession], end: UploadStatus, reason: str) -> None:
        """End the unfinished ones, and say how many and how many bytes that freed."""
        ended = freed = 0
        for session in selected.filter(status__in=UNFINISHED_UPLOADS):
            try:
                bytes_freed = end_upload(session, end, reason)
            except StoreError as error:  # it has ended; the sweep deletes the bytes
                self.message_user(request, f"{session.filename}: {error}", messages.WARNING)
                bytes_freed = 0
            ended, freed = ended + (bytes_freed is not None), freed + (bytes_freed or 0)
        uploads = "1 upload is" if ended == 1 else f"{ended} uploads are"
        self.message_user(request, f"{uploads} {end.value}. {human_size(freed)} are freed.")


def confirmation(
    page: RecordAdmin, request: HttpRequest, selected: QuerySet[Any], action: str, question: str, button: str
) -> HttpResponse:
    """Ask before an action that cannot be undone. The form sends the action again, with ``confirmed``."""
    rows: list[Model] = list(selected)
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": "Are you sure?",
        "question": question,
        "button": button,
        "action": action,
        "rows": [str(row) for row in rows[:MOST_LISTED]],
        "more": max(len(rows) - MOST_LISTED, 0),
        "ids": [str(row.pk) for row in rows],
    }
    return TemplateResponse(request, "admin/windlass_files/confirm_action.html", context)


def _media_link(file_id: object, rest: str) -> str:
    return urls.media_url(conf.get().media_url, f"/files/{file_id}/{rest}")


@admin.register(UploadChunk)
class UploadChunkAdmin(ReadOnly, RecordAdmin):
    list_display = ["id", "session", "index", "human_size", "state", "claim_holder", "claim_until"]
    list_filter = ["state"]
    list_select_related = ["session"]
    id_fields = ("id", "session_id")
    search_fields = ["claim_holder"]


@admin.register(OwnerAccount)
class OwnerAccountAdmin(RecordAdmin):
    """The limits can be changed; usage is counted, and accounts are created by uploads or ``windlass quota``."""

    list_display = ["owner", "user", "used", "reserved", "limit", "files_used", "files_limit"]
    search_fields = ["owner"]
    id_fields = ()
    readonly_fields = ["owner", "used", "reserved", "files_used", "files_reserved"]
    fields = ["owner", "bytes_limit", "files_limit", "used", "reserved", "files_used", "files_reserved"]

    @admin.display(description="user")
    def user(self, account: OwnerAccount) -> str:
        return getattr(account, "owner_name", "") or NOTHING

    @admin.display(description="used", ordering="bytes_used")
    def used(self, account: OwnerAccount) -> str:
        return human_size(account.bytes_used)

    @admin.display(description="reserved", ordering="bytes_reserved")
    def reserved(self, account: OwnerAccount) -> str:
        return human_size(account.bytes_reserved)

    @admin.display(description="limit", ordering="bytes_limit")
    def limit(self, account: OwnerAccount) -> str:
        if account.bytes_limit == 0:
            return "no limit"
        return human_size(account.bytes_limit) or "QUOTA_BYTES"

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
class BlobAdmin(ReadOnly, RecordAdmin):
    list_display = [
        "key",
        "store",
        "owner_link",
        "human_size",
        "references",
        "created_at",
        "verified_at",
        "damage",
        "damaged_at",
    ]
    list_filter = [("damaged_at", admin.EmptyFieldListFilter), "created_at"]
    exact_fields = ("owner",)
    search_help_text = "An id, a key, an owner or a checksum as a whole."
    sortable_by = ["damaged_at"]

    def text_condition(self, rows: QuerySet[Any], text: str) -> Q:
        if _CHECKSUM.fullmatch(text.lower()):
            return Q(id__in=FileAsset.objects.filter(checksum=text.lower()).values("blob"))
        return Q(key=text, store__in=stores_in_service()) | super().text_condition(rows, text)


@admin.register(PeriodicTaskState)
class PeriodicTaskStateAdmin(ReadOnly, RecordAdmin):
    list_display = ["name", "seconds", "updated_at"]
    id_fields = ()
    search_fields = ["name"]


@admin.register(RetainedObject)
class RetainedObjectAdmin(ReadOnly, RecordAdmin):
    list_display = ["key", "store", "human_size", "until"]
    search_fields = ["key", "store"]
    id_fields = ()


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnly, RecordAdmin):
    """Without the answers, which may contain grants and signed URLs."""

    list_display = ["key", "caller", "done", "answer_status", "created_at", "expires_at"]
    list_filter = ["done"]
    search_fields = ["key", "caller"]
    exclude = ["answer_headers", "answer_body"]


@admin.register(BackupRun)
class BackupRunAdmin(ReadOnly, RecordAdmin):
    list_display = ["started_at", "finished_at", "target", "objects_count", "bytes", "missing_count"]
    ordering = ["-started_at"]

    @admin.display(description="bytes", ordering="bytes_count")
    def bytes(self, run: BackupRun) -> str:
        return human_size(run.bytes_count)
