"""One OpenAPI document of both planes: Ninja's calls and the byte calls that it cannot see."""

from __future__ import annotations

import re
from typing import Any

from ninja import Schema
from ninja.openapi.schema import REF_TEMPLATE
from ninja.schema import NinjaGenerateJsonSchema

from windlass.http.rest.byte_calls import BYTE_CALLS
from windlass.http.rest.chunk_schemas import CHUNK_MODELS
from windlass.http.rest.media_schemas import MEDIA_MODELS
from windlass.http.rest.schemas import ProblemDocument, UploadStatusOut
from windlass.http.rest.straight_schemas import STRAIGHT_MODELS

_REFUSAL = {
    "description": "A problem: its `type` says which",
    "content": {"application/problem+json": {"schema": {"$ref": REF_TEMPLATE.format(model="ProblemDocument")}}},
}
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})


def complete(document: dict[str, Any], prefix: str = "") -> None:
    """Add the byte calls to Ninja's document, the shapes they refer to, and what every call may answer besides."""
    paths = document["paths"]
    by_shape = {shape(path): path for path in paths}
    for call in BYTE_CALLS:
        # Two paths that differ in their parameters' names only are one path to OpenAPI.
        path = by_shape.setdefault(shape(prefix + call.path), prefix + call.path)
        paths.setdefault(path, {})[call.method.lower()] = call.operation(path)
    models: tuple[type[Schema], ...] = (ProblemDocument, UploadStatusOut, *CHUNK_MODELS, *MEDIA_MODELS)
    for model in (*models, *STRAIGHT_MODELS):
        document["components"]["schemas"].update(_definitions(model))
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"].setdefault("default", _REFUSAL)


def shape(path: str) -> str:
    """The path with its parameters' names left out."""
    return re.sub(r"{[^}]*}", "{}", path)


def methods_by_pattern(document: dict[str, Any]) -> list[tuple[re.Pattern[str], frozenset[str]]]:
    """Which methods each path of the document takes: by it a refusal tells 405 from 404."""
    found = []
    for path, operations in document["paths"].items():
        methods = {method.upper() for method in operations if method in _METHODS}
        pattern = re.escape(shape(path)).replace(re.escape("{}"), "[^/]+")
        found.append((re.compile(pattern), frozenset(methods | ({"HEAD"} if "GET" in methods else set()))))
    return found


def _definitions(model: type[Schema]) -> dict[str, Any]:
    schema = model.model_json_schema(
        ref_template=REF_TEMPLATE, schema_generator=NinjaGenerateJsonSchema, mode="serialization"
    )
    return {**schema.pop("$defs", {}), model.__name__: schema}
