"""The record plane's paths, for ``path("", include("windlass.urls"))`` in any project.

The page has an address of its own there: ``path("windlass/", include("windlass.web.urls"))``.

Byte-carrying paths are answered before Django, in ``windlass.asgi``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

from windlass.http.rest.routing import patterns

urlpatterns: list[URLPattern | URLResolver] = patterns()
