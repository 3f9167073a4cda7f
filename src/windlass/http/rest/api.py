"""The Ninja API of the record plane."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

import windlass
from windlass.http.rest import files, grants, media, openapi, problems, profiles, quota
from windlass.protocols import json_fields

_DESCRIPTION = """Takes files of any size, checks what they really are, processes them and hands them out.

Trailing slashes are optional everywhere. Refusals are RFC 9457 problem documents."""


class JsonParser(Parser):
    """Reads a body as a JSON object of bounded depth, as the byte plane does.

    Ninja wraps what it raises in an HttpError, which ``problems.problem_of`` unwraps.
    """

    def parse_body(self, request: HttpRequest) -> Any:
        return json_fields.read(request.body)


class RecordApi(NinjaAPI):
    """Ninja's API with problem documents for all errors, and an OpenAPI document that has the byte plane too."""

    def set_default_exception_handlers(self) -> None:
        self.add_exception_handler(Exception, problems.error_response)

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        document = super().get_openapi_schema(path_prefix=prefix, path_params=path_params)
        openapi.add_byte_endpoints(document, prefix.rstrip("/"))
        return document


def _build() -> RecordApi:
    api = RecordApi(
        title="Windlass",
        version=windlass.__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        urls_namespace="windlass",
        parser=JsonParser(),
    )
    api.add_router("", profiles.router)
    api.add_router("", files.router)
    api.add_router("", grants.router)
    api.add_router("/api/v1/media", media.router)
    api.add_router("/api/v1", quota.router)
    return api


api = _build()
