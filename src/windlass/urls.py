"""The record plane's paths. Byte-carrying paths are answered before Django, in ``windlass.asgi``."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]
