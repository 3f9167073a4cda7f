from django.contrib import admin

from gallery.models import Picture
from windlass.django.admin import FileFieldsAdmin


@admin.register(Picture)
class PictureAdmin(FileFieldsAdmin, admin.ModelAdmin):
    list_display = ("title", "author", "file")
    list_select_related = ("author", "file")
