"""The pages. Anybody may load them; their scripts call the API with the visitor's own credential."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from windlass import conf
from windlass.files.api import profiles
from windlass.kernel import urls
from windlass.kernel.document_policies import page_policy
from windlass.kernel.ids import parse_id
from windlass.storage.redirection import redirect_origins


@require_safe
@gzip_page
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    return render_page(request, "windlass/files.html", "files", _trash())


@require_safe
@gzip_page
@ensure_csrf_cookie
def file_page(request: HttpRequest, file_id: str) -> HttpResponse:
    """The page of one file. Whether there is such a file is known to the API, which the script asks as the visitor."""
    known = parse_id(file_id)
    response = render_page(
        request, "windlass/file.html", "files", _trash() | {"file_id": known, "known": known is not None}
    )
    response.status_code = 404 if known is None else 200
    return response


def _trash() -> dict[str, str]:
    """The profiles whose deleted files can be restored."""
    return {"trashing": " ".join(profile.name for profile in profiles().values() if profile.trash_hours)}


def render_page(request: HttpRequest, template: str, page_name: str, context: dict[str, Any]) -> HttpResponse:
    """Render a page that extends ``windlass/base.html``, with the Content-Security-Policy of pages."""
    settings = conf.get()
    shared = {"root": urls.path(""), "page_name": page_name, "open_mode": not settings.credentials_required}
    response = render(request, template, shared | context)
    response["Content-Security-Policy"] = page_policy(settings.media_url, *redirect_origins())
    return response
