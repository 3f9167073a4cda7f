"""One OpenAPI document of both planes: Ninja's calls and the byte calls that it cannot see."""

from __future__ import annotations

from typing import Any

from ninja import Schema
from ninja.openapi.schema import REF_TEMPLATE
from ninja.schema import NinjaGenerateJsonSchema

from windlass.http.rest.byte_calls import BYTE_CALLS
from windlass.http.rest.chunk_schemas import CHUNK_MODELS
from windlass.http.rest.media_schemas import MEDIA_MODELS
from windlass.http.rest.path_templates import shape
from windlass.http.rest.schemas import ProblemDocument, UploadStatusOut
from windlass.http.rest.straight_schemas import STRAIGHT_MODELS

_REFUSAL = {
    "description": "A problem: its `type` says which",
    "content": {"application/problem+json": {"schema": {"$ref": REF_TEMPLATE.format(model="ProblemDocument")}}},
}


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


def _definitions(model: type[Schema]) -> dict[str, Any]:
    schema = model.model_json_schema(
        ref_template=REF_TEMPLATE, schema_generator=NinjaGenerateJsonSchema, mode="serialization"
    )
    return {**schema.pop("$defs", {}), model.__name__: schema}
