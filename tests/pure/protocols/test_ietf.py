"""The IETF's resumable uploads by the numbers of the design's checklist: what parsing and rendering owe to each."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from windlass.kernel.problem_types import (
    BadRequest,
    BodyDigestMismatch,
    ChecksumMismatch,
    FileTooLarge,
    InconsistentLength,
    MethodNotAllowed,
    NotFound,
    OffsetMismatch,
    PastDeclaredLength,
    Problem,
    UnsupportedMediaType,
    UploadComplete,
)
from windlass.protocols import ietf
from windlass.protocols.digests import Checksum
from windlass.protocols.intents import Abort, Append, Create, Description, Discover, Head, Query, UploadState

ID = uuid.UUID("3fa85f64-5717-4562-b3fc-2c963f66afa6")
NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
HERE = f"/uploads/{ID}"
PARTIAL = {"content-type": "application/partial-upload"}
STATE = UploadState(ID, 4, 9, False, expires_at=NOW + timedelta(hours=1), max_size=1000)
IANA = "https://iana.org/assignments/http-problem-types#"


def version(number: int | None) -> dict[str, str]:
    return {} if number is None else {"upload-draft-interop-version": str(number)}


def spoken(number: int | None) -> ietf.Interop:
    return ietf.interop_of(Head("POST", "/files", version(number)))


def create(query: dict[str, str] | None = None, **headers: str) -> Create:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    intent = ietf.parse(Head("POST", "/files", fields, query or {}), None)
    assert isinstance(intent, Create)
    return intent


def patch(number: int | None = None, **headers: str) -> Append:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    intent = ietf.parse(Head("PATCH", HERE, PARTIAL | version(number) | fields), ID)
    assert isinstance(intent, Append)
    return intent


def digest(algorithm: str, value: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


# 22. Creation


def test_a_complete_creation_is_the_whole_file() -> None:
    assert create(upload_complete="?1", content_length="9") == Create(
        Description(), 9, has_body=True, body_length=9, completes=True
    )
    assert create(upload_complete="?1").size == 0
    chunked = create(upload_complete="?1", transfer_encoding="chunked")
    assert (chunked.size, chunked.body_length, chunked.completes) == (None, None, True)


def test_an_incomplete_creation_is_resumable() -> None:
    empty = create(upload_complete="?0")
    assert (empty.size, empty.has_body, empty.completes) == (None, False, False)
    first = create(upload_complete="?0", upload_length="9", content_length="4", **{"content-type": "image/png"})
    assert (first.size, first.body_length, first.description.declared_type) == (9, 4, "image/png")


@pytest.mark.parametrize("value", ["", "1", "true", "?2", '"?1"', "?1, ?1"])
def test_an_upload_complete_of_another_type_is_missing(value: str) -> None:
    with pytest.raises(BadRequest, match="Upload-Complete"):
        create(upload_complete=value)


@pytest.mark.parametrize("number", ["-1", "1.0", "9" * 16, "nine"])
def test_an_invalid_upload_length_is_ignored(number: str) -> None:
    assert create(upload_complete="?0", upload_length=number).size is None


def test_parameters_of_structured_fields_are_ignored() -> None:
    assert create(upload_complete="?0;a=1", upload_length="7;b").size == 7


def test_name_and_type_come_from_metadata_header_and_query() -> None:
    metadata = "filename " + base64.b64encode(b"told.png").decode()
    fields = {"content-disposition": 'inline; filename="field.png"', "content-type": "image/png"}
    intent = create({"filename": "asked.png", "profile": "p"}, upload_complete="?0", upload_metadata=metadata, **fields)
    assert (intent.description.filename, intent.description.profile) == ("told.png", "p")
    assert intent.description.client_metadata == metadata
    assert create({"filename": "asked.png"}, upload_complete="?0", **fields).description.filename == "field.png"
    assert create({"filename": "asked.png"}, upload_complete="?0").description.filename == "asked.png"
    assert create(upload_complete="?0", **PARTIAL).description.declared_type is None


def test_a_content_encoding_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        create(upload_complete="?1", content_encoding="gzip")


def test_the_interim_response_goes_to_a_known_version_only() -> None:
    assert [number for number in (None, 3, 5, 6, 7, 8, 9, 10, 11) if spoken(number).sends_104] == [6, 7, 8, 9, 10]
    assert ietf.interim_fields(STATE, HERE, spoken(6), NOW) == {
        "Upload-Draft-Interop-Version": "6",
        "Location": HERE,
        "Upload-Limit": "max-size=1000, expires=3600",
    }


# 23., 24. Replies


def test_an_incomplete_request_is_answered_with_the_state() -> None:
    told = {"Upload-Complete": "?0", "Upload-Offset": "4", "Upload-Limit": "max-size=1000, max-age=3600"}
    made = ietf.received(STATE, HERE, spoken(8), NOW, creation=True)
    assert (made.status, made.headers, made.body) == (201, told | {"Location": HERE}, None)
    assert (ietf.received(STATE, HERE, spoken(8), NOW).status, ietf.received(STATE, HERE, spoken(6), NOW).status) == (
        204,
        201,
    )
    assert ietf.received(STATE, HERE, spoken(None), NOW).headers == told


def test_the_completing_request_is_answered_with_the_record() -> None:
    whole = replace(STATE, offset=9, complete=True, file_id=ID, expires_at=None)
    reply = ietf.received(whole, HERE, spoken(8), NOW, {"id": "x"})
    assert (reply.status, reply.body) == (201, {"id": "x"})
    assert reply.headers["Upload-Complete"] == "?1"
    assert reply.headers["Upload-Offset"] == "9"
    assert reply.headers["Windlass-File"] == f"/files/{ID}/"


def test_head_returns_offset_length_and_completeness() -> None:
    assert ietf.parse(Head("HEAD", HERE), ID) == Query(ID)
    reply = ietf.queried(STATE, spoken(8), NOW)
    assert reply.status == 204
    assert reply.headers["Upload-Length"] == "9"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Upload-Length" not in ietf.queried(replace(STATE, size=None), spoken(8), NOW).headers


@pytest.mark.parametrize("field", ["upload-offset", "upload-complete", "upload-length"])
@pytest.mark.parametrize("method", ["HEAD", "DELETE"])
def test_version_6_refuses_state_fields_in_queries(method: str, field: str) -> None:
    with pytest.raises(BadRequest, match=r"(?i)" + field):
        ietf.parse(Head(method, HERE, {field: "1"} | version(6)), ID)
    ietf.parse(Head(method, HERE, {field: "1"} | version(8)), ID)


def test_a_limit_above_the_largest_integer_is_clamped() -> None:
    huge = replace(STATE, max_size=10**18)
    assert ietf.queried(huge, spoken(8), NOW).headers["Upload-Limit"].startswith("max-size=999999999999999,")


# 25., 26. PATCH


def test_a_patch_has_offset_and_completeness() -> None:
    assert patch(upload_offset="4", upload_complete="?0", content_length="3") == Append(ID, 4, 3, completes=False)
    assert patch(upload_offset="4", upload_complete="?1", content_length="3") == Append(
        ID, 4, 3, size=7, completes=True
    )
    assert patch(upload_offset="4", upload_complete="?1", transfer_encoding="chunked") == Append(ID, 4, completes=True)
    assert patch(upload_offset="7", upload_complete="?1") == Append(ID, 7, 0, size=7, completes=True)


def test_upload_complete_is_required_from_version_10() -> None:
    for number in (3, 6, 8, 9):
        assert patch(number, upload_offset="4").completes is False
    for newest in (10, 12, None):
        with pytest.raises(BadRequest, match="Upload-Complete"):
            patch(newest, upload_offset="4")


@pytest.mark.parametrize("offset", ["", "-1", "?1", "1.0"])
def test_a_patch_without_an_offset_is_refused(offset: str) -> None:
    with pytest.raises(BadRequest, match="Upload-Offset"):
        patch(upload_offset=offset, upload_complete="?0")


def test_a_patch_of_another_type_is_refused_with_accept_patch() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        ietf.parse(Head("PATCH", HERE, {"content-type": "text/plain"}), ID)
    assert ietf.refused(caught.value).headers["Accept-Patch"] == "application/partial-upload"


def test_a_wrong_offset_is_refused_with_the_expected_one() -> None:
    refusal = ietf.refused(OffsetMismatch(4, 7))
    assert refusal.status == 409
    assert (refusal.headers["Upload-Complete"], refusal.headers["Upload-Offset"]) == ("?0", "4")
    assert refusal.body["type"] == IANA + "mismatching-upload-offset"
    assert (refusal.body["expected-offset"], refusal.body["provided-offset"]) == (4, 7)


# 27. Lengths


@pytest.mark.parametrize(
    "headers",
    [
        {"upload_complete": "?1", "upload_length": "9", "content_length": "8"},
        {"upload_complete": "?1", "upload_length": "9"},
        {"upload_complete": "?0", "upload_length": "9", "content_length": "10"},
    ],
)
def test_inconsistent_lengths_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InconsistentLength):
        create(**headers)


@pytest.mark.parametrize(
    ("problem", "status", "name"),
    [
        (InconsistentLength("No."), 400, "inconsistent-upload-length"),
        (PastDeclaredLength("No."), 400, "inconsistent-upload-length"),
        (UploadComplete("No."), 400, "completed-upload"),
        (BodyDigestMismatch("No.", offset=4), 400, "digest-mismatching-values"),
    ],
)
def test_problems_have_the_types_of_the_iana_registry(problem: Problem, status: int, name: str) -> None:
    refusal = ietf.refused(problem)
    assert (refusal.status, refusal.body["type"], refusal.body["status"]) == (status, IANA + name, status)


def test_other_problems_keep_their_own_types() -> None:
    assert ietf.refused(NotFound("No.")).body == {}
    assert ietf.refused(FileTooLarge(5)).headers["Upload-Limit"] == "max-size=5"
    assert ietf.refused(ChecksumMismatch("No.")).headers["Upload-Complete"] == "?1"


# 28. DELETE, OPTIONS


def test_delete_aborts_and_options_discovers() -> None:
    assert ietf.parse(Head("DELETE", HERE), ID) == Abort(ID)
    assert (ietf.aborted().status, ietf.aborted().headers) == (204, {})
    assert ietf.parse(Head("OPTIONS", "/files"), None) == Discover()
    told = ietf.discovered(1000, 0, 60, spoken(None))
    assert told["Upload-Limit"] == "max-size=1000, min-size=0, max-age=60"
    assert "application/partial-upload" in told["Accept-Patch"]


@pytest.mark.parametrize(("method", "upload_id"), [("POST", ID), ("PATCH", None), ("GET", ID)])
def test_other_methods_are_405_with_allow(method: str, upload_id: uuid.UUID | None) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        ietf.parse(Head(method, "/", {"upload-complete": "?1"}), upload_id)
    assert "Allow" in caught.value.headers


# 29. Digests


def test_body_and_file_digests_are_read() -> None:
    short, long = hashlib.sha256(b"x").digest(), hashlib.sha512(b"x").digest()
    both = f"{digest('sha-256', short)}, {digest('sha-512', long)}, {digest('md5', bytes(16))}"
    intent = create(upload_complete="?0", content_digest=both, repr_digest=both)
    assert intent.body_digests == (Checksum("sha256", short), Checksum("sha512", long))
    assert (intent.description.sha256, intent.description.sha512) == (short.hex(), long.hex())
    last = patch(upload_offset="0", upload_complete="?1", content_digest=both, repr_digest=digest("sha-256", short))
    assert (last.body_digests, last.upload_digests) == (intent.body_digests, (Checksum("sha256", short),))


@pytest.mark.parametrize("field", ["sha-256=:AAAA:", "sha-256=?1", "sha-512=1", "sha-256=(:AAAA:)"])
def test_an_invalid_digest_is_refused(field: str) -> None:
    with pytest.raises(BadRequest, match="Content-Digest"):
        create(upload_complete="?0", content_digest=field)


@pytest.mark.parametrize("field", ["", "crc32c=:AAAA:", "sha-256", "not a dictionary!", "ü"])
def test_unsupported_digests_are_ignored(field: str) -> None:
    if field == "sha-256":
        with pytest.raises(BadRequest):
            create(upload_complete="?0", content_digest=field)
    else:
        assert create(upload_complete="?0", content_digest=field).body_digests == ()
