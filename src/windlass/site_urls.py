"""URL patterns of the standalone server: Windlass, its page and the admin. Every other path is a problem document."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from windlass.web.first_run import first_run

admin.site.site_header = admin.site.site_title = "Windlass"
admin.site.index_title = "Records"
admin.site.login_template = "windlass/admin_login.html"

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("first-run/", first_run, name="windlass-first-run"),
    path("", include("windlass.web.urls")),
    path("", include("windlass.urls")),
]

handler400 = "windlass.http.rest.routing.bad_request"
handler403 = "windlass.http.rest.routing.permission_denied"
handler404 = "windlass.http.rest.routing.not_found"
handler500 = "windlass.http.rest.routing.server_error"
