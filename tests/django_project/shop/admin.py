from django.contrib import admin
from shop.models import Product

from windlass.django.admin import FileFieldsAdmin


@admin.register(Product)
class ProductAdmin(FileFieldsAdmin, admin.ModelAdmin):
    list_display = ("name", "photo")
