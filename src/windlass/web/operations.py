"""The page for staff: what needs attention, and what to do about it. Its script calls ``/error-handling/``."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from windlass.accounts import api as accounts
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import Problem
from windlass.web.views import render_page


@require_safe
@gzip_page
@ensure_csrf_cookie
def operations(request: HttpRequest) -> HttpResponse:
    visitor = _visitor(request)
    if visitor is None:
        asked = urlencode({"next": request.get_full_path()})
        return HttpResponseRedirect(f"{reverse('windlass-sign-in')}?{asked}")
    if not visitor.staff:
        raise Http404
    return render_page(request, "windlass/operations.html", "operations", {})


def _visitor(request: HttpRequest) -> Principal | None:
    """Who asks for the page; None without a credential that is accepted. Blocks on the database."""
    try:
        return accounts.authenticate(request, accounts.OWNER, {})
    except Problem:
        return None
