"""One OpenAPI document of both planes: Ninja's operations and the byte endpoints, which Ninja does not serve."""

from __future__ import annotations

import re
from typing import Any

from ninja.openapi.schema import REF_TEMPLATE
from ninja.schema import NinjaGenerateJsonSchema
from pydantic import BaseModel, TypeAdapter

from windlass.http.byte_plane import BYTE_ENDPOINTS
from windlass.http.endpoints import ByteEndpoint, Content, Parameter, Shape
from windlass.http.json_models import ProblemDocument

Definitions = dict[str, Any]


def add_byte_endpoints(document: dict[str, Any], prefix: str = "") -> None:
    """Add the byte endpoints and their models to Ninja's document, and to every operation its reply to a refusal."""
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
                "responses": {"200": {"description": "The headers of GET"}},
            }
    problem = {"application/problem+json": {"schema": _schema(ProblemDocument, definitions)}}
    for operations in paths.values():
        for operation in operations.values():
            refusal = {"description": "A problem: its `type` says which", "content": problem}
            operation["responses"].setdefault("default", refusal)


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
        ],
        "responses": {
            str(status): {"description": meaning} | _content(shape, definitions)
            for status, (meaning, shape) in declared.replies.items()
        },
    }
    if declared.refusal is not None:
        operation["responses"]["default"] = {"description": "A refusal"} | _content(declared.refusal, definitions)
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
