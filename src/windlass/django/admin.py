"""For the admin of the project: ``FileFieldsAdmin`` gives file fields the upload widget and the signed-in user."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from windlass.database.read_only_admin import ReadOnly
from windlass.django.fields import FileAssetField
from windlass.django.models import SignalCursor


class FileFieldsAdmin:
    """Mixin of a ``ModelAdmin`` or an inline whose model has a ``FileAssetField``; put it before that class."""

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **options: Any) -> Any:
        if isinstance(db_field, FileAssetField):
            return db_field.formfield(user=request.user, **options)
        return super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]  # of ModelAdmin


@admin.register(SignalCursor)
class SignalCursorAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """How far the events are sent as signals."""

    list_display = ["event_id", "holder", "held_until"]
