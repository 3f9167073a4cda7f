"""The page on which a visitor signs in. Its script calls ``POST /api/v1/auth/session``."""

from __future__ import annotations

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from windlass import conf
from windlass.accounts import api as accounts
from windlass.conf.loading import is_standalone
from windlass.web.views import render_page


@require_safe
@gzip_page
@ensure_csrf_cookie
def sign_in(request: HttpRequest) -> HttpResponse:
    """Inside another project passwords are asked for on the project's own page (LOGIN_URL)."""
    standalone = is_standalone()
    next_url = next_of(request)
    context = {
        "next": next_url,
        "project_page": None if standalone else resolve_url(django_settings.LOGIN_URL),
        "is_first_run": standalone and conf.get().credentials_required and not accounts.has_staff(),
    }
    return render_page(request, "windlass/sign_in.html", "sign-in", context)


def next_of(request: HttpRequest) -> str:
    """Where the visitor goes after signing in: ``?next=`` if it is a path of this server, else the page of files."""
    wanted = request.GET.get("next", "")
    is_here = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_here and not wanted.startswith(request.path) else reverse("windlass-page")
