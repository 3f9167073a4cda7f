"""The record plane's API."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

import windlass
from windlass.http.rest import files, grants, media, openapi, problems, quota
from windlass.http.rest import profiles as rules
from windlass.protocols import json_fields

_DESCRIPTION = """Takes files of any size, checks what they really are, processes them and hands them out.

Trailing slashes are optional everywhere. Refusals are RFC 9457 problem documents."""


class JsonParser(Parser):
    """Reads bodies as every other call does: a JSON object of bounded depth.

    Ninja makes an HttpError of what it raises (``problems.problem_of``).
    """

    def parse_body(self, request: HttpRequest) -> Any:
        return json_fields.read(request.body)


class RecordApi(NinjaAPI):
    """Ninja's API, whose document tells of the byte plane too, and whose every error is a problem."""

    def set_default_exception_handlers(self) -> None:
        self.add_exception_handler(Exception, problems.answer)

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        prefix = self.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        document = super().get_openapi_schema(path_prefix=prefix, path_params=path_params)
        openapi.complete(document, prefix.rstrip("/"))
        return document


def _build() -> RecordApi:
    made = RecordApi(
        title="Windlass",
        version=windlass.__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        urls_namespace="windlass",
        parser=JsonParser(),
    )
    made.add_router("", rules.router)
    made.add_router("", files.router)
    made.add_router("", grants.router)
    made.add_router("/api/v1/media", media.router)
    made.add_router("/api/v1", quota.router)
    return made


api = _build()
