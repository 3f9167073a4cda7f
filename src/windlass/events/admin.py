"""The event journal in the Django admin, read-only."""

from django.contrib import admin

from windlass.database.read_only_admin import ReadOnly
from windlass.events.models import Event


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    list_display = ["id", "type", "owner", "file_id", "upload_id", "at"]
    list_filter = ["type", "at"]
    search_fields = ["file_id", "upload_id", "owner"]
