"""The raw body: its name, its type, its size, and the requests that are no whole file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.problem_types import BadRequest, MethodNotAllowed, UnsupportedMediaType
from windlass.protocols import header_parameters, media_types, raw
from windlass.protocols.intents import Create, Description, Head


def description(headers: dict[str, str] | None = None, name: str | None = None, **query: str) -> Description:
    return raw.parse(Head("POST", "/files", headers or {}, query), name).description


def test_a_raw_body_is_the_whole_file() -> None:
    intent = raw.parse(Head("PUT", "/files/big.iso", {"content-length": "12"}), "big.iso")
    assert intent == Create(Description(filename="big.iso"), 12, has_body=True, is_whole_file=True, body_length=12)
    chunked = raw.parse(Head("POST", "/files", {"transfer-encoding": "chunked"}), None)
    assert (chunked.size, chunked.body_length, chunked.description.filename) == (None, None, "unnamed")


def test_the_name_is_read_from_path_then_header_then_query() -> None:
    header = {"content-disposition": 'attachment; filename="header.txt"'}
    assert description(header, "../path.txt", filename="query.txt").filename == "path.txt"
    assert description(header, filename="query.txt").filename == "header.txt"
    assert description({"content-disposition": "attachment"}, filename="query.txt").filename == "query.txt"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a b.txt ; x=y", "a b.txt"),
        ('attachment;FileName = "a;b=c.txt"', "a;b=c.txt"),
        (r'attachment; filename="say \"hi\".txt"', 'say "hi".txt'),
        (r'attachment; filename="C:\dir\a.txt"', "a.txt"),
        ("attachment; filename=\"no.txt\"; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("attachment; filename*=utf-8'de'na%C3%AFve.txt; filename=no.txt", "naïve.txt"),
        ("attachment; filename*=ISO-8859-1''na%EFve.txt", "naïve.txt"),
        ("attachment; filename*=UTF-8''%ff; filename=plain.txt", "plain.txt"),
        ("attachment; filename*=utf-7''x; filename=plain.txt", "plain.txt"),
        ('attachment; filename="' + "naïve.txt".encode().decode("latin-1") + '"', "naïve.txt"),
        ('attachment; filename="na\xefve.txt"', "naïve.txt"),
        ('attachment; filename="broken off', "broken off"),
        ('attachment; filename="a.txt"; filename="b.txt"', "a.txt"),
        ('filename="a.txt"', "unnamed"),
    ],
)
def test_filenames_of_content_disposition_are_decoded(header: str, name: str) -> None:
    assert description({"content-disposition": header}).filename == name


def test_fields_are_read_from_the_query() -> None:
    found = description(profile="media", reference="r", sha256="AB" * 32, metadata='{"a": [1, {"b": "ü"}]}')
    assert found == Description(
        profile="media", reference="r", sha256="ab" * 32, metadata={"a": [1, {"b": "ü"}]}, filename="unnamed"
    )
    assert description(post_id="p").reference == "p"
    assert description(post_id="p", reference="r").reference == "r"
    assert description(profile="", reference=" ", sha256="", metadata="") == Description()


@pytest.mark.parametrize(
    "query",
    [
        {"sha256": "ab"},
        {"sha256": "g" * 64},
        {"reference": "a\0b"},
        {"reference": "r" * 256},
        {"metadata": "[]"},
        {"metadata": "{"},
        {"metadata": '{"a": NaN}'},
        {"metadata": '{"a": -1e999}'},
        {"metadata": '{"a": ["\\u0000"]}'},
        {"metadata": '{"\\ud800": 1}'},
        {"metadata": '{"a":' + "[" * 40 + "]" * 40 + "}"},
        {"metadata": "[" * 59_999},
    ],
)
def test_values_that_cannot_be_stored_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match=next(iter(query))):
        description(None, None, **query)


@pytest.mark.parametrize(
    "said",
    ["", "application/octet-stream", "APPLICATION/Octet-Stream; x=y", "nonsense", "application/x-www-form-urlencoded"],
)
def test_types_without_information_are_ignored(said: str) -> None:
    assert description({"content-type": said}).declared_type is None


def test_a_declared_type_is_normalized() -> None:
    assert description({"content-type": " Text/HTML ; charset=utf-8"}).declared_type == "text/html"
    assert description().declared_type is None
    assert media_types.claims_nothing(None)
    assert media_types.claims_nothing("")
    assert not media_types.claims_nothing("text/html")


def test_content_range_and_content_encoding_are_refused() -> None:
    with pytest.raises(BadRequest, match="Content-Range"):
        description({"content-range": "bytes 5-9/10"})
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        description({"content-encoding": "GZIP"})
    assert description({"content-encoding": "identity"}) == Description()


def test_only_post_and_put_send_files() -> None:
    with pytest.raises(MethodNotAllowed):
        raw.parse(Head("DELETE", "/files/a"), "a")


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_any_header_parameters_are_parsed(header: str) -> None:
    """Invariant: reading parameters never raises, and a quoted value comes back as it went in."""
    _, found = header_parameters.parse(header)
    header_parameters.text(found, "filename")
    escaped = header.replace("\\", "\\\\").replace('"', '\\"')
    assert header_parameters.parse(f'form-data; a=b; name="{escaped}"; c=d')[1] == {"a": "b", "name": header, "c": "d"}
