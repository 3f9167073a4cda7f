"""One call that carries bytes, as the OpenAPI document describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


def model(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def json_of(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": model(name)}}


@dataclass(frozen=True, slots=True)
class ByteCall:
    """One method of one path. ``replies``: status -> (what it means, content by media type). ``refusal``: the content
    of every other reply, where that is no problem."""

    method: str
    path: str
    name: str
    summary: str
    replies: Mapping[int, tuple[str, Mapping[str, Any]]]
    tag: str
    parameters: Sequence[Mapping[str, Any]] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    public: bool = False
    #: Whether a GET is answered to HEAD too, without its body.
    head: bool = True
    refusal: Mapping[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> frozenset[str]:
        return frozenset({self.method, "HEAD"} if self.method == "GET" and self.head else {self.method})

    @property
    def query_names(self) -> frozenset[str]:
        return frozenset(str(each["name"]) for each in self.parameters if each["in"] == "query")

    def operation(self, path: str) -> dict[str, Any]:
        """The call as an OpenAPI operation. ``path`` is ours, perhaps with other names for its parameters."""
        found: dict[str, Any] = {
            "operationId": self.name,
            "summary": self.summary,
            "tags": [self.tag],
            "parameters": [*_path_parameters(path), *self.parameters],
            "responses": {
                str(status): {"description": meaning} | ({"content": dict(content)} if content else {})
                for status, (meaning, content) in self.replies.items()
            },
        }
        if self.refusal:
            found["responses"]["default"] = {"description": "A refusal", "content": dict(self.refusal)}
        if self.description:
            found["description"] = self.description
        if self.body:
            found["requestBody"] = {"required": True, "content": dict(self.body)}
        if not self.public:
            found["security"] = [{"Credential": []}]
        return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in names]


def query(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    return {"in": "query", "name": name, "required": False, "description": description, "schema": {"type": kind}}


def header(name: str, description: str, kind: str = "string", *, required: bool = False) -> dict[str, Any]:
    return {"in": "header", "name": name, "required": required, "description": description, "schema": {"type": kind}}
