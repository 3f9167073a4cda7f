"""The web page. Anybody may load it; its script calls the API with the visitor's own credential."""

from __future__ import annotations

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
    context = {"needs_token": conf.get().credentials_required, "trashing": " ".join(with_trash), "root": urls.path("")}
    response = render(request, "windlass/page.html", context)
    response["Content-Security-Policy"] = page_policy(conf.get().media_url)
    return response
