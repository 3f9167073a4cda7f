"""The page of the API: Swagger UI from the static files of Ninja's wheel, under a strict Content Security Policy."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger

from windlass.http.rest import problems
from windlass.kernel.document_policies import page_policy
from windlass.kernel.problem_types import NotFound


class ApiPage(Swagger):
    """Ninja's page without its fallback, which loads scripts of other origins where the app ``ninja`` is missing."""

    #: No badge of validator.swagger.io, which would learn the address of the document.
    default_settings = {**Swagger.default_settings, "validatorUrl": None}

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        if not (apps.is_installed("ninja") or apps.is_installed("windlass.web.ninja_files")):
            return problems.response(
                NotFound('This page needs "ninja" in INSTALLED_APPS. The document is at /api/openapi.json.'), request
            )
        described = {**self.settings, "url": self.get_openapi_url(api, kwargs)}
        context = {"swagger_settings": json.dumps(described), "api": api}
        response = render(request, self.template, context)
        response["Content-Security-Policy"] = page_policy()
        return response
