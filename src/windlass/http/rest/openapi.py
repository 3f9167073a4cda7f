"""The Ninja API of the record plane, and the OpenAPI document of both planes: Ninja's operations and the byte
endpoints, which Ninja does not serve."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.parser import Parser
from ninja.schema import NinjaGenerateJsonSchema
from pydantic import BaseModel, TypeAdapter

import windlass
from windlass.http import idempotency
from windlass.http.byte_endpoints import BYTE_ENDPOINTS
from windlass.http.endpoints import ByteEndpoint, Content, Parameter, Shape
from windlass.http.json_models import ProblemDocument
from windlass.http.rest import (
    audit,
    circuit_breakers,
    error_handling,
    files,
    grants,
    graph,
    media,
    operations,
    passages,
    problems,
    profiles,
    quota,
    search,
    service_level,
    sign_in,
    webhooks,
)
from windlass.http.rest.api_page import ApiPage
from windlass.protocols import json_fields

Definitions = dict[str, Any]

_DESCRIPTION = """Receives files of any size, detects their types by content, processes them and serves them.

Trailing slashes are optional everywhere. Errors are RFC 9457 problem documents."""

#: Of every reply; those of a rate limit where the call is limited.
_REPLY_HEADERS: dict[str, Any] = {
    name: {"description": description, "required": required, "schema": {"type": kind}}
    for name, description, kind, required in (
        ("X-Request-ID", "The id of the request in logs and problems.", "string", True),
        ("Cache-Control", "Whether the reply may be stored.", "string", True),
        ("Retry-After", "Seconds after which a refused request may be repeated.", "integer", False),
        ("RateLimit", "What is left of the limit of this call, and when it is restored.", "string", False),
        ("RateLimit-Policy", "The limit of this call.", "string", False),
    )
}


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
        _add_byte_endpoints(document, prefix.rstrip("/"))
        return document


def _add_byte_endpoints(document: dict[str, Any], prefix: str = "") -> None:
    """Add the byte endpoints and their models to Ninja's document, and to every operation its reply to a refusal and
    the headers of each reply."""
    paths, definitions = document["paths"], document["components"]["schemas"]
    by_template = {without_names(path): path for path in paths}
    for declared in BYTE_ENDPOINTS:
        # To OpenAPI, two paths that differ in the names of their parameters are one path.
        path = by_template.setdefault(without_names(prefix + declared.path), prefix + declared.path)
        operations = paths.setdefault(path, {})
        operations[declared.method.lower()] = _operation(declared, path, definitions)
        if declared.head_name:
            operations["head"] = operations["get"] | {
                "operationId": declared.head_name,
                "responses": {status: {"description": "The headers of GET"} for status in map(str, declared.replies)},
            }
    problem = {"application/problem+json": {"schema": _schema(ProblemDocument, definitions)}}
    for operations in paths.values():
        for operation in operations.values():
            refusal = {"description": "A problem document; `type` identifies the problem", "content": problem}
            operation["responses"].setdefault("default", refusal)
            for reply in operation["responses"].values():
                reply["headers"] = _REPLY_HEADERS


def without_names(template: str) -> str:
    """``/files/{}/download`` of ``/files/{file_id}/download``."""
    return re.sub(r"{[^}]*}", "{}", template)


def _operation(declared: ByteEndpoint, path: str, definitions: Definitions) -> dict[str, Any]:
    """The OpenAPI operation. ``path`` is the endpoint's, perhaps with other names for its parameters."""
    in_path = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    operation: dict[str, Any] = {
        "operationId": declared.name,
        "summary": declared.summary,
        "tags": [declared.tag],
        "parameters": [
            *(_parameter(Parameter("path", name, "", required=True)) for name in in_path),
            *map(_parameter, declared.parameters),
            *([_parameter(idempotency.PARAMETER)] if declared.takes_idempotency_key else []),
        ],
        "responses": {
            str(status): {"description": meaning} | _content(shape, definitions)
            for status, (meaning, shape) in declared.replies.items()
        },
    }
    if declared.refusal is not None:
        operation["responses"]["default"] = {"description": "An error"} | _content(declared.refusal, definitions)
    if declared.description:
        operation["description"] = declared.description
    if declared.body is not None:
        operation["requestBody"] = {"required": True} | _content(declared.body, definitions)
    if not declared.access.public:
        operation["security"] = [{"Credential": []}]
    return operation


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"description": parameter.description} if parameter.description else {}
    return {
        "in": parameter.place,
        "name": parameter.name,
        "required": parameter.required,
        "schema": {"type": parameter.kind},
        **described,
    }


def _content(shape: Shape, definitions: Definitions) -> dict[str, Any]:
    if shape is None:
        return {}
    content = shape if isinstance(shape, Content) else Content({"application/json": shape})
    return {"content": {kind: {"schema": _schema(each, definitions)} for kind, each in content.by_media_type.items()}}


def _schema(shape: Shape, definitions: Definitions) -> dict[str, Any]:
    """The JSON schema of a shape; of a model a reference to ``definitions``, to which it is added."""
    if isinstance(shape, dict):
        return shape
    schema = TypeAdapter(shape).json_schema(
        ref_template=REF_TEMPLATE, schema_generator=NinjaGenerateJsonSchema, mode="serialization"
    )
    definitions.update(schema.pop("$defs", {}))
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        definitions[shape.__name__] = schema
        return {"$ref": REF_TEMPLATE.format(model=shape.__name__)}
    return schema


api = RecordApi(
    title="Windlass",
    version=windlass.__version__,
    description=_DESCRIPTION,
    openapi_url="/api/openapi.json",
    docs=ApiPage(),
    docs_url="/api/docs",
    urls_namespace="windlass",
    parser=JsonParser(),
)
api.add_router("", profiles.router)
api.add_router("", files.router)
api.add_router("", search.router)
api.add_router("", graph.router)
api.add_router("", passages.router)
api.add_router("", grants.router)
api.add_router("/api/v1/media", media.router)
api.add_router("/api/v1", quota.router)
api.add_router("/api/v1/auth", sign_in.router)
api.add_router("/api/v1/webhooks", webhooks.router)
api.add_router(audit.PATH, audit.router)
api.add_router("/error-handling", circuit_breakers.router)
api.add_router("/error-handling", error_handling.router)
api.add_router("/error-handling", service_level.router)
api.add_router("/error-handling", operations.router)
