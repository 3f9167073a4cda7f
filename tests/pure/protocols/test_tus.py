"""tus 1.0.0 by the numbers of the design's checklist: what parsing and rendering owe to each."""

from __future__ import annotations

import base64
import hashlib
import string
import uuid
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.problem_types import (
    BadRequest,
    Conflict,
    MethodNotAllowed,
    NotFound,
    PastDeclaredLength,
    Problem,
    UnsupportedMediaType,
    WrongProtocolVersion,
)
from windlass.protocols import tus, upload_metadata
from windlass.protocols.digests import Checksum, Proof
from windlass.protocols.intents import (
    Abort,
    Append,
    Concatenate,
    Create,
    Description,
    Discover,
    Head,
    Query,
    UploadState,
)

ID = uuid.UUID("3fa85f64-5717-4562-b3fc-2c963f66afa6")
OTHER = uuid.UUID("9b2f1c44-0000-4562-b3fc-2c963f66afa6")
VERSION = {"tus-resumable": "1.0.0"}
OFFSET = {"content-type": "application/offset+octet-stream"}


def create(**headers: str) -> Create:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    intent = tus.parse(Head("POST", "/files", VERSION | fields), None)
    assert isinstance(intent, Create)
    return intent


def patch(headers: dict[str, str]) -> Append:
    intent = tus.parse(Head("PATCH", "/uploads/x", VERSION | headers), ID)
    assert isinstance(intent, Append)
    return intent


def encoded(**pairs: str | bytes) -> str:
    def one(value: str | bytes) -> str:
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()

    return ",".join(f"{key} {one(value)}" for key, value in pairs.items())


def described(**pairs: str | bytes) -> Description:
    return create(upload_length="1", upload_metadata=encoded(**pairs)).description


# 1. Version


@pytest.mark.parametrize("headers", [{}, {"tus-resumable": "0.2.2"}, {"tus-resumable": ""}])
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE", "GET"])
def test_another_version_is_refused_before_other_checks(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(WrongProtocolVersion) as caught:
        tus.parse(Head(method, "/uploads/x", headers | {"upload-offset": "junk"}), ID)
    assert tus.refused(caught.value)["Tus-Version"] == "1.0.0"


def test_refusals_have_their_own_headers_and_no_store() -> None:
    headers = tus.refused(MethodNotAllowed("No.", headers={"Allow": "POST"}))
    assert headers == {"Tus-Resumable": "1.0.0", "Allow": "POST", "Cache-Control": "no-store"}
    assert "Upload-Offset" not in tus.refused(NotFound("No."))


# 2. and 3. Discovery and method


def test_options_ignores_the_version_and_announces_extensions() -> None:
    assert tus.parse(Head("OPTIONS", "/files", {"tus-resumable": "9"}), None) == Discover()
    assert tus.parse(Head("OPTIONS", "/uploads/x"), ID) == Discover()
    reply = tus.discovered(4096)
    assert reply.status == 204
    assert reply.headers == {
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,"
        "concatenation,concatenation-unfinished",
        "Tus-Max-Size": "4096",
        "Tus-Checksum-Algorithm": "sha1,sha256,sha512,md5,crc32",
    }


def test_the_method_override_is_applied() -> None:
    head = Head("POST", "/uploads/x", VERSION | OFFSET | {"x-http-method-override": "PATCH", "upload-offset": "7"})
    assert tus.parse(head, ID) == Append(ID, 7)


@pytest.mark.parametrize(("method", "upload_id"), [("POST", ID), ("PUT", ID), ("PATCH", None), ("HEAD", None)])
def test_other_methods_are_405_with_allow(method: str, upload_id: uuid.UUID | None) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        tus.parse(Head(method, "/", VERSION), upload_id)
    assert ("POST" in caught.value.headers["Allow"]) == (upload_id is None)


# 4. HEAD


def test_head_returns_offset_length_and_metadata() -> None:
    assert tus.parse(Head("HEAD", "/uploads/x", VERSION), ID) == Query(ID)
    reply = tus.queried(UploadState(ID, 0, 10, False, client_metadata="filename YQ==,odd "))
    assert reply.status == 200
    assert reply.headers == {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Upload-Length": "10",
        "Upload-Metadata": "filename YQ==,odd ",
        "Cache-Control": "no-store",
    }


def test_head_names_the_file_of_a_complete_upload_and_no_unknown_length() -> None:
    file_id = uuid.uuid4()
    whole = tus.queried(UploadState(ID, 10, 10, True, file_id=file_id)).headers
    assert whole["Upload-Offset"] == "10"
    assert whole["Windlass-File"] == f"/files/{file_id}/"
    assert "Upload-Metadata" not in whole
    boundless = tus.queried(UploadState(ID, 3, None, False, client_metadata="")).headers
    assert "Upload-Length" not in boundless
    assert boundless["Upload-Defer-Length"] == "1"
    assert boundless["Upload-Metadata"] == ""


# 5. and 6. PATCH, offsets, lengths


def test_a_patch_has_an_offset_and_returns_the_new_one() -> None:
    assert patch(OFFSET | {"upload-offset": "5"}) == Append(ID, 5)
    assert patch(OFFSET | {"upload-offset": "5", "content-length": "9"}) == Append(ID, 5, 9)
    reply = tus.appended(UploadState(ID, 14, 20, False))
    assert (reply.status, reply.headers) == (204, {"Tus-Resumable": "1.0.0", "Upload-Offset": "14"})


@pytest.mark.parametrize("content_type", [{}, {"content-type": "application/octet-stream"}])
def test_another_media_type_is_415(content_type: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType, match="application/offset"):
        patch(content_type | {"upload-offset": "0"})


@pytest.mark.parametrize("number", ["-1", "+1", "0x1", "1.0", "1e3", "", "one", "٣", "1_0"])
@pytest.mark.parametrize("field", ["upload-offset", "content-length"])
def test_numbers_that_are_not_plain_digits_are_refused(field: str, number: str) -> None:
    with pytest.raises(BadRequest, match=r"(?i)" + field):
        patch(OFFSET | {"upload-offset": "0"} | {field: number})
    with pytest.raises(BadRequest, match="Upload-Length"):
        create(upload_length=number)


@pytest.mark.parametrize("number", ["9" * 30, "9" * 31, "0" * 40 + "9" * 40, "9" * 5000])
def test_a_huge_number_is_parsed(number: str) -> None:
    """So that it is refused as too much, not as malformed."""
    size = create(upload_length=number).size
    assert size is not None
    assert size >= 10**30 - 1
    assert create(upload_length="0" * 40 + "7").size == 7


def test_a_patch_needs_an_offset() -> None:
    with pytest.raises(BadRequest, match="Upload-Offset"):
        patch(OFFSET)


# 7. Creation


def test_creation_is_answered_with_a_location() -> None:
    assert create(upload_length="0") == Create(Description(), 0)
    reply = tus.created(UploadState(ID, 0, 5, False), "/uploads/x", received_body=False)
    assert (reply.status, reply.headers) == (201, {"Tus-Resumable": "1.0.0", "Location": "/uploads/x"})


def test_creation_requires_a_length_and_no_offset() -> None:
    with pytest.raises(BadRequest, match="Upload-Length"):
        create()
    with pytest.raises(BadRequest, match="Upload-Offset"):
        create(upload_length="3", upload_offset="2")


def test_known_metadata_keys_are_read_and_others_kept() -> None:
    header = encoded(
        filename="C:\\dir\\naïve.PNG",
        filetype="Image/PNG; q=1",
        profile="media",
        reference="post 7",
        sha256="AB" * 32,
        relativePath="a/b",
        binary=b"\xff\x00",
        nul=b"\0",
    )
    found = create(upload_length="1", upload_metadata=header).description
    assert found == Description(
        filename="naïve.PNG",
        declared_type="image/png",
        profile="media",
        reference="post 7",
        sha256="ab" * 32,
        metadata={"relativePath": "a/b", "binary": "/wA=", "nul": "AA=="},
        client_metadata=header,
    )


def test_aliases_are_used_if_the_name_is_missing_or_empty() -> None:
    assert described(name="a.txt", type="text/plain").filename == "a.txt"
    assert described(name="a.txt", filename="b.txt").filename == "b.txt"
    assert described(name="a.txt", filename="").filename == "a.txt"
    assert described(type="text/plain").declared_type == "text/plain"
    assert described(filetype="application/octet-stream").declared_type is None
    assert described(filename=b"\xff.txt").filename == "\ufffd.txt"


def test_the_profile_may_be_in_the_query() -> None:
    def profile(metadata: str) -> str:
        headers = VERSION | {"upload-length": "1", "upload-metadata": metadata}
        intent = tus.parse(Head("POST", "/files", headers, {"profile": "asked"}), None)
        assert isinstance(intent, Create)
        return intent.description.profile

    assert profile("") == "asked"
    assert profile(encoded(profile="named")) == "named"


def test_an_empty_metadata_header_differs_from_a_missing_one() -> None:
    assert create(upload_length="1", upload_metadata="").description == Description(client_metadata="")
    assert create(upload_length="1").description.client_metadata is None


@pytest.mark.parametrize(
    "header",
    [
        *("a YQ==,a YQ==", "a YQ", "a  YQ==", "a !!!!", ",", "a YQ==,", "a YQ==,,b YQ==", "a YQ== YQ==", "a ü"),
        *(encoded(sha256="x" * 64), encoded(sha256="ab"), encoded(reference="a\nb"), encoded(reference="r" * 256)),
        encoded(profile=b"\xff"),
    ],
)
def test_malformed_metadata_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        create(upload_length="1", upload_metadata=header)


KEYS = st.text(alphabet=string.ascii_letters + string.digits + "-_./", min_size=1, max_size=12)


@given(st.dictionaries(KEYS, st.binary(max_size=40), max_size=6), st.sampled_from([",", ", ", " , "]))
def test_metadata_round_trips(values: dict[str, bytes], comma: str) -> None:
    """Invariant: what a client encodes by the specification is what we read, in order; bare keys are empty values."""
    header = comma.join(f"{key} {base64.b64encode(value).decode()}" if value else key for key, value in values.items())
    assert list(upload_metadata.decode(header).items()) == list(values.items())


# 8. A deferred length


def test_a_deferred_length_is_declared_by_a_patch() -> None:
    assert create(upload_defer_length="1") == Create(Description(), None)
    assert patch(OFFSET | {"upload-offset": "4", "upload-length": "9"}) == Append(ID, 4, size=9)


@pytest.mark.parametrize("headers", [{}, {"upload_length": "3", "upload_defer_length": "1"}])
def test_a_creation_has_a_length_or_defers_it(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="either Upload-Length"):
        create(**headers)


@pytest.mark.parametrize("value", ["", "0", "2", "true", "1.0"])
def test_upload_defer_length_has_one_valid_value(value: str) -> None:
    with pytest.raises(BadRequest, match="Upload-Defer-Length"):
        create(upload_defer_length=value)


# 10. Expiration


def test_replies_of_an_unfinished_upload_have_upload_expires() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 5, 250_000, tzinfo=UTC)
    state = UploadState(ID, 4, 9, False, expires_at=moment)
    for reply in (tus.appended(state), tus.created(state, "/uploads/x", received_body=True)):
        assert reply.headers["Upload-Expires"] == "Sat, 31 Jan 2026 12:00:05 GMT"
    assert "Upload-Expires" not in tus.appended(replace(state, complete=True)).headers


# 11. Checksum


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("sha1", hashlib.sha1(b"windlass").digest()),
        ("sha256", hashlib.sha256(b"windlass").digest()),
        ("sha512", hashlib.sha512(b"windlass").digest()),
        ("md5", hashlib.md5(b"windlass").digest()),
        ("crc32", zlib.crc32(b"windlass").to_bytes(4, "big")),
    ],
)
def test_each_announced_checksum_is_parsed_and_verified(algorithm: str, digest: bytes) -> None:
    header = f"{algorithm} {base64.b64encode(digest).decode()}"
    (checksum,) = patch(OFFSET | {"upload-offset": "0", "upload-checksum": header}).body_digests
    assert checksum == Checksum(algorithm, digest)
    right, wrong = Proof([checksum]), Proof([checksum])
    right.update([b"wind", memoryview(b"lass")])
    wrong.update([b"windlasz"])
    assert (right.failed(), wrong.failed()) == ([], [algorithm])
    assert create(upload_length="9", upload_checksum=header, **OFFSET).body_digests == (checksum,)


@pytest.mark.parametrize("header", ["", "sha3 AAAA", "SHA1 AAAA", "sha1", "sha1 ", "sha1 AAA", "sha1 A A=", "sha1 ü"])
def test_an_unknown_algorithm_or_bad_base64_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="Upload-Checksum"):
        patch(OFFSET | {"upload-offset": "0", "upload-checksum": header})


# 13. Concatenation


def test_a_partial_upload_is_created_and_reported_as_partial() -> None:
    assert create(upload_concat="partial", upload_length="5") == Create(Description(), 5, partial=True)
    assert create(upload_concat="partial", upload_defer_length="1").partial
    headers = tus.queried(UploadState(ID, 5, 5, False, concat="partial")).headers
    assert (headers["Upload-Concat"], headers["Upload-Offset"]) == ("partial", "5")


def test_a_final_upload_lists_its_partial_uploads_in_order() -> None:
    header = f"final;/uploads/{ID} https://other.example/prefix/uploads/{OTHER}/ ../uploads/{ID}?token=x"
    intent = tus.parse(Head("POST", "/files", VERSION | {"upload-concat": header}), None)
    assert intent == Concatenate(Description(), (ID, OTHER, ID), header)


@pytest.mark.parametrize(
    "header",
    [
        *(
            "",
            "final",
            "final;",
            "final; ",
            "Partial",
            "partial;",
            "final;/files/1",
            f"final;/files/{ID}",
            f"final;{ID}",
        ),
        *(f"final;/uploads/{ID},/uploads/{ID}", "final;/uploads/x", "final;http://[/uploads/x", f"/uploads/{ID}"),
    ],
)
def test_an_invalid_upload_concat_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="Upload-Concat"):
        tus.parse(Head("POST", "/files", VERSION | {"upload-concat": header}), None)


@pytest.mark.parametrize(
    "field", [{"upload-length": "3"}, {"upload-defer-length": "1"}, {"content-length": "3"} | OFFSET]
)
def test_a_final_upload_with_a_length_or_body_is_refused(field: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        tus.parse(Head("POST", "/files", VERSION | {"upload-concat": f"final;/uploads/{ID}"} | field), None)


def test_a_final_upload_has_an_offset_once_it_is_complete() -> None:
    state = UploadState(ID, 3, None, False, concat="final;/uploads/x")
    assert tus.queried(state).headers.keys() & {"Upload-Offset", "Upload-Length", "Upload-Defer-Length"} == set()
    under_way = tus.queried(replace(state, size=9)).headers
    assert under_way["Upload-Length"] == "9"
    assert "Upload-Offset" not in under_way
    whole = tus.queried(replace(state, offset=9, size=9, complete=True)).headers
    assert (whole["Upload-Offset"], whole["Upload-Concat"]) == ("9", "final;/uploads/x")


# 9. Creation with upload


def test_a_creation_with_bytes_returns_the_offset() -> None:
    intent = create(upload_length="9", content_length="4", **OFFSET)
    assert intent == Create(Description(), 9, has_body=True, body_length=4)
    assert create(upload_length="9", **OFFSET).has_body
    reply = tus.created(UploadState(ID, 4, 9, False), "/uploads/x", received_body=True)
    assert reply.headers["Upload-Offset"] == "4"


def test_creation_bytes_of_another_type_or_beyond_the_length_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        create(upload_length="9", content_length="4")
    with pytest.raises(UnsupportedMediaType):
        create(upload_length="9", transfer_encoding="chunked", content_type="text/plain")
    with pytest.raises(PastDeclaredLength) as caught:
        create(upload_length="9", content_length="10", **OFFSET)
    assert caught.value.members == {"limit": 9, "received": 10}
    assert not create(upload_length="9", content_length="0", content_type="text/plain").has_body


def test_a_content_encoding_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        patch(OFFSET | {"upload-offset": "0", "content-encoding": "gzip"})


# 12. Termination


def test_delete_aborts_the_upload() -> None:
    assert tus.parse(Head("DELETE", "/uploads/x", VERSION), ID) == Abort(ID)
    assert (tus.aborted().status, tus.aborted().headers) == (204, {"Tus-Resumable": "1.0.0"})


def test_only_a_version_problem_names_versions() -> None:
    problem: Problem = Conflict("No.")
    assert "Tus-Version" not in tus.refused(problem)
