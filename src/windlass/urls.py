"""The record plane's paths and the page, for ``path("", include("windlass.urls"))`` in any project.

Byte-carrying paths are answered before Django, in ``windlass.asgi``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from windlass.http.rest.routing import patterns
from windlass.web.views import page

urlpatterns: list[URLPattern | URLResolver] = [path("", page, name="windlass-page"), *patterns()]
