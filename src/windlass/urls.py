"""URL patterns of the record plane, for ``path("", include("windlass.urls"))`` in any project.

The web page is included separately: ``path("windlass/", include("windlass.web.urls"))``. Paths of the byte plane are
answered before Django, in ``windlass.asgi``.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

from windlass.http.rest.routing import patterns

urlpatterns: list[URLPattern | URLResolver] = patterns()
