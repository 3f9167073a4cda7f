"""The pages. Anybody may load them; their scripts call the API with the visitor's own credential."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from windlass import conf
from windlass.files.api import profiles
from windlass.kernel import urls
from windlass.kernel.document_policies import page_policy


@require_safe
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    with_trash = [profile.name for profile in profiles().values() if profile.trash_hours]
    return render_page(request, "windlass/files.html", "files", {"trashing": " ".join(with_trash)})


def render_page(request: HttpRequest, template: str, page_name: str, context: dict[str, Any]) -> HttpResponse:
    """Render a page that extends ``windlass/base.html``, with the Content-Security-Policy of pages."""
    settings = conf.get()
    shared = {"root": urls.path(""), "page_name": page_name, "open_mode": not settings.credentials_required}
    response = render(request, template, shared | context)
    response["Content-Security-Policy"] = page_policy(settings.media_url)
    return response
