"""Uppy's S3 calls become intents or refusals, and replies have the members that Uppy reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windlass.kernel import urls
from windlass.kernel.problem_types import BadRequest, FileTooLarge, InvalidField, NotFound, Problem
from windlass.protocols import s3multipart
from windlass.protocols.intents import CreateDirect, Description, NamedPart

ID = uuid.UUID("6f4b7f8e-3d1c-4f0a-9a43-0d4c6d0f5f11")


def create(**fields: Any) -> CreateDirect:
    return s3multipart.parse_create(json.dumps({"filename": "a.bin", "type": ""} | fields).encode())


def test_a_creation_of_uppy_6_is_parsed() -> None:
    meta = {"name": "a.png", "type": "image/png", "relativePath": None, "size": 12, "part_size": 6_000_000}
    meta |= {"profile": "p", "reference": 7, "sha256": "A" * 64, "colour": ["blue"]}
    intent = create(filename="dir/a.png", type="image/png", metadata=meta)
    described = Description("a.png", "image/png", "p", "7", "a" * 64, metadata={"colour": ["blue"]})
    assert intent == CreateDirect(described, 12, 6_000_000, in_parts=True)


def test_a_creation_of_uppy_5_is_parsed() -> None:
    """All metadata is text there, and what is not set is the word `undefined`."""
    meta = {"size": "12", "reference": "undefined", "profile": "", "sha256": "null"}
    assert create(metadata=meta) == CreateDirect(Description("a.bin"), 12)
    assert create() == create(metadata=None) == CreateDirect(Description("a.bin"))


def test_the_query_of_a_single_request_is_parsed() -> None:
    query = {"filename": "a.png", "type": "undefined", "metadata[size]": "5", "metadata[colour]": "blue", "x": "y"}
    described = Description("a.png", metadata={"colour": "blue"})
    assert s3multipart.parse_params(query) == CreateDirect(described, 5, in_parts=False, as_form=True)
    assert not s3multipart.parse_params(query | {"method": "put"}).as_form
    with pytest.raises(BadRequest, match="method"):
        s3multipart.parse_params(query | {"method": "PATCH"})
    with pytest.raises(BadRequest, match="filename"):
        s3multipart.parse_params({"type": "image/png"})


@pytest.mark.parametrize(
    "fields",
    [
        {"filename": ""},
        {"filename": 5},
        {"type": []},
        {"metadata": "a"},
        {"metadata": {"size": "1.5"}},
        {"metadata": {"size": -1}},
        {"metadata": {"size": True}},
        {"metadata": {"part_size": 0}},
        {"metadata": {"sha256": "abc"}},
        {"metadata": {"reference": "x" * 300}},
        {"metadata": {"media_type": {}}},
        {"metadata": {"text": "\x00"}},
    ],
)
def test_an_invalid_creation_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((BadRequest, InvalidField)):
        create(**fields)


def complete(*parts: Any) -> tuple[NamedPart, ...]:
    return s3multipart.parse_complete(json.dumps({"parts": parts}).encode())


def test_the_list_of_parts_is_parsed() -> None:
    first, second = {"PartNumber": 1, "ETag": '"abc"'}, {"PartNumber": "2", "ETag": "def-1", "more": 1}
    assert complete(first, second) == (NamedPart(1, "abc"), NamedPart(2, "def-1"))
    for wrong in ([], [second], [second, first], [first, first], [5], [{"PartNumber": 1}], [first | {"ETag": 'a"b'}]):
        with pytest.raises(BadRequest, match=r"parts|ETag"):
            complete(*wrong)
    with pytest.raises(BadRequest):
        s3multipart.parse_complete(b'{"parts": {}}')


@pytest.mark.parametrize("tag", [None, "", '""', 'W/"abc"', 5, [], "a b", 'a"b', "é", "x" * 300])
def test_a_missing_etag_is_refused_with_the_likely_cause(tag: Any) -> None:
    with pytest.raises(BadRequest, match=r'Part 2 .*"ExposeHeaders": \["ETag"\]'):
        complete({"PartNumber": 1, "ETag": "abc"}, {"PartNumber": 2, "ETag": tag})
    with pytest.raises(BadRequest, match=r"Sort them by PartNumber.*ExposeHeaders"):
        complete({"PartNumber": 2, "ETag": "abc"}, {"PartNumber": 1, "ETag": "abc"})


def test_part_numbers_are_parsed() -> None:
    assert s3multipart.parse_number("10000") == 10_000
    assert s3multipart.parse_numbers({"partNumbers": "3, 1,3"}) == [1, 3]
    for wrong in ("", "0", "10001", "-1", "1.0", "٣", "9" * 30):
        with pytest.raises(BadRequest, match="1 to 10000"):
            s3multipart.parse_number(wrong)


def test_the_upload_id_is_read_from_a_key() -> None:
    plain = f"objects/6f/{ID}"
    for key in (plain, f"some/where/{plain}", f"{plain}.tail.0123456789abcdef"):
        assert s3multipart.upload_of_key(key) == ID
    assert s3multipart.parse_key({"key": plain}) == plain
    for key in ("a", "objects/6f/none", f"{ID}", "objects/6f/" + "-" * 36):
        with pytest.raises(NotFound):
            s3multipart.upload_of_key(key)
    with pytest.raises(BadRequest, match="key"):
        s3multipart.parse_key({})


def test_refusals_have_the_members_that_uppy_reads() -> None:
    refused = s3multipart.refused(FileTooLarge(5, 6))
    assert (refused.status, refused.body) == (
        413,
        {"error": str(FileTooLarge(5, 6)), "message": str(FileTooLarge(5, 6))},
    )
    assert s3multipart.refused(InvalidField("No.")).status == 400


def test_replies_have_the_members_that_uppy_reads() -> None:
    assert s3multipart.created(ID, "k", "b").body == {"key": "k", "uploadId": str(ID), "bucket": "b"}
    assert s3multipart.uploaded_parts([(1, "abc", 5)]).body == [{"PartNumber": 1, "ETag": '"abc"', "Size": 5}]
    assert s3multipart.signed_part("u", 900).body == {"url": "u", "expires": 900}
    assert s3multipart.signed_parts({1: "u"}).body == {"presignedUrls": {"1": "u"}}
    assert s3multipart.aborted().body == {}
    with urls.use_base(urls.UrlBase("https://files.example.org", "/wl")):
        done = s3multipart.completed(ID, "k", "b")
    assert done.body == {"location": f"https://files.example.org/wl/files/{ID}/", "key": "k", "bucket": "b"}
    assert done.headers["Windlass-File"] == f"/wl/files/{ID}/"


def status_of(parse: Callable[[Any], object], said: Any) -> int:
    """Of the refusal; 400 where there is none, which is as good. What raises anything else fails the test."""
    try:
        parse(said)
    except Problem as problem:
        return problem.status
    return 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["filename", "type", "metadata", "parts", "size", "profile", "sha256", "PartNumber", "ETag"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.dictionaries(NAMES, JSON) | JSON) | JSON)
def test_any_body_is_an_intent_or_a_refusal(said: Any) -> None:
    for parse in (s3multipart.parse_create, s3multipart.parse_complete):
        assert 400 <= status_of(parse, json.dumps(said).encode()) < 500


@given(st.dictionaries(st.sampled_from(["filename", "type", "method", "metadata[size]", "metadata[a]"]), st.text()))
def test_any_query_is_an_intent_or_a_refusal(query: dict[str, str]) -> None:
    assert 400 <= status_of(s3multipart.parse_params, query) < 500
