"""The OpenAPI document describes both planes, and the models in it agree with the replies."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]


@pytest.fixture
def document(anybody: ApiClient) -> dict[str, Any]:
    response = anybody("GET", "/api/openapi.json")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def byte_routes() -> set[tuple[str, str]]:
    from windlass.asgi import BYTE_ROUTES
    from windlass.http.rest.openapi import without_names

    return {(method, without_names(route.path)) for route in BYTE_ROUTES for method in route.methods or ()}


def test_every_byte_route_is_described(document: dict[str, Any]) -> None:
    from windlass.http.rest.openapi import without_names

    described = {(method.upper(), without_names(path)) for path, item in document["paths"].items() for method in item}
    described |= {("HEAD", path) for method, path in described if method == "GET"}
    missing = byte_routes() - described
    assert not missing


def test_every_declared_byte_endpoint_is_served() -> None:
    from windlass.http.byte_endpoints import BYTE_ENDPOINTS
    from windlass.http.rest.openapi import without_names

    declared = {(method, without_names(each.path)) for each in BYTE_ENDPOINTS for method in each.methods}
    assert declared == byte_routes()


def test_every_reference_is_to_a_schema_of_the_document(document: dict[str, Any]) -> None:
    names = set(document["components"]["schemas"])

    def referred(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"].rsplit("/", 1)[-1]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(referred(child) for child in node.values()))
        return set().union(*(referred(child) for child in node)) if isinstance(node, list) else set()

    assert referred(document) - names == set()
    assert {"FileRecord", "ProblemDocument", "UploadStatusOut"} <= names


def test_operations_are_distinct_and_name_their_path_parameters(document: dict[str, Any]) -> None:
    from windlass.http.rest.openapi import without_names

    templates = [without_names(path) for path in document["paths"]]
    assert len(templates) == len(set(templates))
    ids = []
    for path, item in document["paths"].items():
        for operation in item.values():
            ids.append(operation["operationId"])
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
            refusal = "application/json" if path.startswith("/s3/") else "application/problem+json"
            assert refusal in operation["responses"]["default"]["content"]
    assert len(ids) == len(set(ids))


def test_every_reply_is_described_with_its_headers(document: dict[str, Any]) -> None:
    described = [
        reply["headers"]
        for item in document["paths"].values()
        for operation in item.values()
        for reply in operation["responses"].values()
    ]
    required = {name for name, header in described[0].items() if header["required"]}
    assert required == {"X-Request-ID", "Cache-Control"}
    assert all(each == described[0] for each in described)


def test_head_of_a_download_has_every_status_of_get(document: dict[str, Any]) -> None:
    """Such as 304, which If-None-Match gives; and no content."""
    for path in ("/files/{file_id}/download", "/files/{file_id}/thumbnail", "/files/zip"):
        get, head = (document["paths"][path][method]["responses"] for method in ("get", "head"))
        assert set(head) == set(get), path
        assert all("content" not in reply for status, reply in head.items() if status != "default")


def test_every_call_but_the_public_ones_requires_a_credential(document: dict[str, Any]) -> None:
    open_calls = {
        (method, path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if not operation.get("security")
    }
    assert open_calls == {
        ("get", "/livez"),
        ("get", "/problems/{slug}"),
        ("get", "/readyz"),
        ("post", "/api/v1/auth/refresh"),
        ("post", "/api/v1/auth/revoke"),
        ("post", "/api/v1/auth/session"),
        ("post", "/api/v1/auth/token"),
        ("get", "/healthz"),
        ("options", "/files"),
        ("options", "/uploads/{upload_id}"),
    }
    assert document["components"]["securitySchemes"]["Credential"]["scheme"] == "bearer"


def test_the_api_page_is_public_and_loads_nothing_external(anybody: ApiClient, configure: Callable[..., None]) -> None:
    configure(AUTH_MODE="required")
    page = anybody("GET", "/api/docs/")
    assert page.status_code == 200
    assert "/api/openapi.json" in page.text
    assert "https://" not in page.text


def test_replies_match_their_schemas(user: Callable[..., ApiClient]) -> None:
    from windlass.http.file_records import FileRecord, FileStatusOut
    from windlass.http.json_models import ProblemDocument
    from windlass.http.rest.files import FileList
    from windlass.http.rest.profiles import ProfileList, SecurityConfig

    caller = user()
    asset = make_file(caller.owner, rejection={"rule": "size", "detail": "It is too large."}, status="REJECTED")
    for path, model in (
        (f"/files/{asset.id}/", FileRecord),
        (f"/files/{asset.id}/status/", FileStatusOut),
        ("/files/", FileList),
        ("/files/security/config/", SecurityConfig),
        ("/profiles/", ProfileList),
        (f"/files/{'0' * 8}-0000-4000-8000-{'0' * 12}/", ProblemDocument),
    ):
        reply = caller("GET", path).json()
        assert set(model.model_fields) >= set(reply) or model is ProblemDocument
        model.model_validate(reply)


def test_upload_status_matches_its_schema() -> None:
    from datetime import UTC, datetime, timedelta

    from windlass.files.api import UploadSession
    from windlass.http.upload_status import UploadStatusOut, upload_status

    session = UploadSession(dialect="tus", size=200, offset=50, expires_at=datetime.now(UTC) + timedelta(hours=1))
    found = upload_status(session)
    UploadStatusOut.model_validate(found)
    assert found["progress"] == {"bytes_received": 50, "percentage": 25.0}
    assert (found["status"], found["is_expired"], found["protocol"]) == ("active", False, "tus")
    session.expires_at -= timedelta(hours=2)
    assert (upload_status(session)["status"], upload_status(session)["is_expired"]) == ("expired", True)


def test_replies_of_direct_uploads_match_their_schemas() -> None:

    from windlass.http.uploads import direct_uploads as schemas
    from windlass.kernel.problem_types import NotFound
    from windlass.protocols import s3multipart

    upload, said = uuid.uuid4(), {"fields": {"a": "b"}, "headers": {}, "seconds": 900}
    for reply, model in (
        (s3multipart.created(upload, "k", "b"), schemas.DirectUploadOut),
        (s3multipart.signed_request(upload, "k", method="POST", url="u", **said), schemas.DirectRequestOut),
        (s3multipart.signed_request(None, "k", method="POST", url="u", **said), schemas.DirectRequestOut),
        (s3multipart.signed_part("u", 900), schemas.PartUrl),
        (s3multipart.signed_parts({1: "u"}), schemas.PartUrls),
        (s3multipart.completed(uuid.uuid4(), "k", "b"), schemas.DirectUploadCompleted),
        (s3multipart.refused(NotFound("No.")), schemas.DirectRefusal),
    ):
        model.model_validate(reply.body)
    (listed,) = s3multipart.uploaded_parts([(1, "t", 5)]).body
    schemas.SentPart.model_validate(listed)


def test_replies_of_the_chunk_and_media_apis_match_their_schemas() -> None:
    from datetime import UTC, datetime

    from windlass.http.uploads import chunk_api, media_api
    from windlass.protocols import chunks, media
    from windlass.protocols.intents import ChunkProgress

    name, moment, progress = uuid.uuid4(), datetime.now(UTC), ChunkProgress(3, 1, 5, 33.33, [1])
    record = {
        "id": str(uuid.uuid4()),
        "original_filename": "a.txt",
        "size": 3,
        "mime_type": None,
        "declared_mime_type": "text/plain",
        "links": {"download": "/files/a/download/"},
    }
    layout = chunks.layout_document(name, 5, 3, moment)
    chunk_api.ChunkUploadOut.model_validate(chunks.created(layout).body)
    chunk_api.ChunkOut.model_validate(chunks.received(name, 1, progress, duplicate=False).body)
    chunk_api.ChunkUploadCompleted.model_validate(chunks.completed(record, name, "ab").body)
    chunk_api.ChunkUploadAssembling.model_validate(chunks.assembling(name).body)
    chunk_api.ChunkUploadCancelled.model_validate(chunks.cancelled(name).body)
    media_api.MediaUploadOut.model_validate(layout)
    media_api.MediaChunkOut.model_validate(media.received(name, 1, progress, 0).body)
    media_api.MediaUploadStatus.model_validate(media.status(name, "active", progress).body)


def test_a_media_record_matches_its_schema(user: Callable[..., ApiClient]) -> None:
    from windlass.http.media_records import MediaOut
    from windlass.http.rest.media import SupportedFormats

    caller = user()
    asset = make_file(caller.owner, profile="media", mime_type="image/png", extra_attributes={"codec": None})
    body = caller("GET", f"/api/v1/media/{asset.id}/").json()
    assert set(body) == set(MediaOut.model_fields)
    MediaOut.model_validate(body)
    formats = caller("GET", "/api/v1/media/supported-formats/").json()
    SupportedFormats.model_validate(formats)
    assert set(formats) == {"video", "image", "chunk_size", "max_images"}


def test_the_clients_models_agree_with_the_servers(user: Callable[..., ApiClient]) -> None:
    """The client imports nothing of the server, so it has models of its own."""
    from dataclasses import fields

    from windlass.client import models
    from windlass.http import file_records
    from windlass.http.rest.files import FileList, SignedUrlOut

    for ours, theirs, left_out in (
        (models.File, file_records.TrashedRecord, {"checksum_algorithm"}),
        (models.Check, file_records.Check, set()),
        (models.Rendition, file_records.RenditionOut, set()),
        (models.Rejection, file_records.Rejection, set()),
        (models.Status, file_records.FileStatusOut, set()),
        (models.Step, file_records.StepOut, set()),
        (models.SignedUrl, SignedUrlOut, set()),
        (models.Page, FileList, set()),
    ):
        names = {each.name for each in fields(ours)} - {"raw"}
        assert names == set(theirs.model_fields) - left_out, ours
    caller = user()
    asset = make_file(caller.owner, rejection={"rule": "size", "detail": "It is too large."}, status="REJECTED")
    record = models.file_of(caller("GET", f"/files/{asset.id}/").json())
    assert (record.id, record.status, record.rejection and record.rejection.rule) == (str(asset.id), "REJECTED", "size")
