"""The dialect of a request, by the table of the design; any head is an intent or a client error."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.problem_types import BadRequest, MethodNotAllowed, Problem, UnsupportedMediaType
from windlass.protocols import form_parser, ietf, raw, tus
from windlass.protocols.dialects import Dialect, recognise_dialect, resumable_dialect
from windlass.protocols.form_fields import FormFields
from windlass.protocols.intents import Abort, Append, Concatenate, Create, Discover, Head, Query
from windlass.protocols.request_heads import effective_method

FORM = "multipart/form-data; boundary=b"
OFFSET = "application/offset+octet-stream"
PARTIAL = "application/partial-upload"
VERSION = {"tus-resumable": "1.0.0"}
INTEROP_3, INTEROP_6 = ({"upload-draft-interop-version": number} for number in "36")


@pytest.mark.parametrize(
    ("method", "headers", "dialect"),
    [
        ("POST", VERSION, Dialect.TUS),
        ("POST", {"upload-length": "1"}, Dialect.TUS),
        ("POST", {"upload-defer-length": "1"}, Dialect.TUS),
        ("POST", {"upload-concat": "partial"}, Dialect.TUS),
        ("POST", {"upload-metadata": "", "content-type": FORM}, Dialect.TUS),
        ("POST", {"content-type": OFFSET}, Dialect.TUS),
        ("PATCH", {"content-type": OFFSET}, Dialect.TUS),
        ("PATCH", VERSION, Dialect.TUS),
        ("HEAD", VERSION, Dialect.TUS),
        ("DELETE", VERSION, Dialect.TUS),
        ("OPTIONS", VERSION, Dialect.TUS),
        ("PATCH", {}, Dialect.IETF),
        ("PATCH", {"content-type": PARTIAL}, Dialect.IETF),
        ("HEAD", {}, Dialect.IETF),
        ("DELETE", {}, Dialect.IETF),
        ("OPTIONS", {"upload-complete": "?1"}, Dialect.IETF),
        ("POST", {"upload-complete": "?1"}, Dialect.IETF),
        ("POST", {"upload-complete": "?0", "upload-length": "3", "upload-metadata": ""}, Dialect.IETF),
        ("POST", {"upload-complete": "neither", "content-type": "image/png"}, Dialect.IETF),
        ("POST", {"content-type": FORM}, Dialect.FORM),
        ("POST", {"content-type": "Multipart/Form-Data"}, Dialect.FORM),
        ("POST", {"content-type": "image/png"}, Dialect.RAW),
        ("POST", {}, Dialect.RAW),
        ("PUT", {}, Dialect.RAW),
        # What browsers and old clients say of an ordinary upload
        ("POST", {"upload-complete": "?1", "content-type": FORM}, Dialect.FORM),
        ("POST", {"upload-complete": "?1", "content-type": FORM} | INTEROP_6, Dialect.FORM),
        ("POST", {"upload-complete": "?1", "upload-length": "9", "content-type": FORM} | INTEROP_6, Dialect.FORM),
        ("POST", {"upload-incomplete": "?0"}, Dialect.RAW),
        ("POST", {"upload-incomplete": "?0", "content-type": "image/png"} | INTEROP_3, Dialect.RAW),
        ("PUT", {"upload-incomplete": "?0"} | INTEROP_3, Dialect.RAW),
        ("POST", {"upload-incomplete": "?0", "content-type": FORM} | INTEROP_3, Dialect.FORM),
        ("POST", {"upload-incomplete": "?0", "upload-complete": "?1"}, Dialect.IETF),
        ("GET", {"x-http-method-override": "patch"}, Dialect.IETF),
    ],
)
def test_the_headers_select_the_dialect(method: str, headers: dict[str, str], dialect: Dialect) -> None:
    assert recognise_dialect(Head(method, "/files", headers)) is dialect


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"upload-complete": "?0", "content-type": FORM}),
        ("POST", {"upload-complete": "yes", "content-type": FORM}),
        ("POST", {"upload-incomplete": "?1"} | INTEROP_3),
        ("POST", {"upload-incomplete": "?1", "content-type": FORM} | INTEROP_3),
        ("PUT", {"upload-incomplete": "?1"}),
        ("POST", {"upload-incomplete": "no"} | INTEROP_3),
        ("POST", {"upload-incomplete": "?0", "upload-offset": "0"}),
        ("POST", {"upload-incomplete": "?0", "upload-metadata": ""}),
        ("POST", VERSION | {"upload-incomplete": "?0"}),
        ("POST", {"upload-complete": "?1", "content-type": OFFSET}),
        ("POST", VERSION | {"upload-complete": "?1"}),
        ("PATCH", VERSION | {"upload-complete": "?1", "content-type": OFFSET}),
        ("PATCH", VERSION | {"content-type": PARTIAL}),
        ("PUT", {"upload-complete": "?1"}),
        ("POST", {"upload-draft-interop-version": "8"}),
        ("POST", {"content-type": PARTIAL}),
        ("PUT", {"content-type": PARTIAL}),
        ("POST", {"upload-offset": "0"}),
        ("POST", {"upload-checksum": "sha1 x", "content-type": FORM}),
        ("PUT", {"upload-length": "3"}),
        ("PUT", {"upload-metadata": ""}),
    ],
)
def test_inconsistent_protocol_fields_are_refused(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match=r"tus 1\.0\.0"):
        recognise_dialect(Head(method, "/files", headers))


def test_a_form_cannot_be_put_and_other_methods_upload_nothing() -> None:
    with pytest.raises(UnsupportedMediaType):
        recognise_dialect(Head("PUT", "/files/a", {"content-type": FORM}))
    with pytest.raises(MethodNotAllowed):
        recognise_dialect(Head("GET", "/files"))


def test_the_override_replaces_the_method() -> None:
    assert effective_method(Head("POST", "/", {"x-http-method-override": "delete"})) == "DELETE"
    assert effective_method(Head("post", "/", {"x-http-method-override": " "})) == "POST"


def test_replies_are_in_the_dialect_of_the_request() -> None:
    assert resumable_dialect(Head("POST", "/files", VERSION | {"upload-complete": "?1"})) is Dialect.TUS
    assert resumable_dialect(Head("POST", "/files", {"upload-complete": "?0", "content-type": FORM})) is None
    assert resumable_dialect(Head("POST", "/files", {"content-type": FORM})) is None
    assert resumable_dialect(Head("PUT", "/files/a")) is None


METHODS = st.sampled_from(["POST", "PUT", "PATCH", "HEAD", "DELETE", "OPTIONS", "GET"]) | st.text(max_size=5)
NUMBERS = st.sampled_from(["0", "1", "12", "-1", "+1", "1.0", "", " 5", "٣", "9" * 29, "9" * 5000])
ODD = st.text(max_size=20)
FIELDS: dict[str, st.SearchStrategy[str]] = {
    "tus-resumable": st.sampled_from(["1.0.0", "0.2.2", ""]) | ODD,
    "upload-length": NUMBERS,
    "upload-offset": NUMBERS,
    "content-length": NUMBERS,
    "upload-metadata": st.sampled_from(["filename YS50eHQ=", "sha256 eA==", "a,b", "a a", "reference AA=="]) | ODD,
    "upload-complete": st.sampled_from(["?0", "?1", "1"]) | ODD,
    "upload-incomplete": st.sampled_from(["?0", "?1", "1"]) | ODD,
    "upload-draft-interop-version": st.sampled_from(["3", "6", "8", "10", "99"]) | NUMBERS,
    "content-digest": st.sampled_from(["sha-256=:AAAA:", f"sha-256=:{'A' * 43}=:", "sha-512=1", "md5=:AAAA:"]) | ODD,
    "repr-digest": st.sampled_from([f"sha-256=:{'A' * 43}=:", "sha-256=(1)"]) | ODD,
    "upload-concat": st.sampled_from(["partial", "final;/a", f"final;/uploads/{uuid.UUID(int=5)}"]) | ODD,
    "upload-defer-length": st.sampled_from(["1", "2"]),
    "upload-checksum": st.sampled_from(["sha1 AAAA", "crc32 !"]) | ODD,
    "content-type": st.sampled_from([FORM, OFFSET, "multipart/form-data", "image/png", PARTIAL]) | ODD,
    "content-disposition": st.sampled_from(['attachment; filename="a', "x; filename*=UTF-8''%ff"]) | ODD,
    "content-encoding": st.sampled_from(["gzip", "identity"]),
    "content-range": st.just("bytes 1-2/3"),
    "transfer-encoding": st.just("chunked"),
    "x-http-method-override": METHODS,
}
QUERY = st.dictionaries(
    st.sampled_from(["filename", "profile", "reference", "post_id", "sha256", "metadata"]),
    st.sampled_from(["", "{}", "[", "[]", '{"a": 1e999}', '{"a": NaN}', '{"a": "\\u0000"}', "[" * 99_999, "1" * 5000])
    | ODD,
)


@given(
    method=METHODS,
    headers=st.fixed_dictionaries({}, optional=FIELDS),
    query=QUERY,
    upload_id=st.none() | st.uuids(),
    name=st.none() | ODD,
)
def test_any_head_is_an_intent_or_a_client_error(
    method: str, headers: dict[str, str], query: dict[str, str], upload_id: uuid.UUID | None, name: str | None
) -> None:
    """Invariant: a hostile head is understood or refused with a 4xx; nothing else is ever raised."""
    head = Head(method, "/", headers, query)
    problem = refusal(head, upload_id, name)
    assert problem is None or 400 <= problem.status < 500


def refusal(head: Head, upload_id: uuid.UUID | None, name: str | None) -> Problem | None:
    try:
        match recognise_dialect(head):
            case Dialect.TUS:
                assert isinstance(tus.parse(head, upload_id), Create | Append | Concatenate | Query | Abort | Discover)
            case Dialect.IETF:
                assert isinstance(ietf.parse(head, upload_id), Create | Append | Query | Abort | Discover)
            case Dialect.FORM:
                form_parser.parser_of(head)
                FormFields(head.query)
            case Dialect.RAW:
                assert raw.parse(head, name).is_whole_file
    except Problem as problem:
        return problem
    return None
