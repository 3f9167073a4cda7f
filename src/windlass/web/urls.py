"""The web page, for ``path("windlass/", include("windlass.web.urls"))`` in any project."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from windlass.web.operations import operations
from windlass.web.sign_in import sign_in
from windlass.web.views import file_page, page

urlpatterns: list[URLPattern | URLResolver] = [
    path("", page, name="windlass-page"),
    path("f/<str:file_id>", file_page, name="windlass-file"),
    path("sign-in/", sign_in, name="windlass-sign-in"),
    path("operations/", operations, name="windlass-operations"),
]
