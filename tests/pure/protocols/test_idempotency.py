"""Keys of requests, and which requests are the same."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.problem_types import BadRequest
from windlass.protocols.idempotency import (
    MAX_COMPARED_JSON,
    BodyDigest,
    BytesDigest,
    FormDigest,
    JsonDigest,
    form_or_bytes_digest,
    head_fingerprint,
    parse_key,
)
from windlass.protocols.intents import Head

UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324"


class TestKeys:
    @pytest.mark.parametrize(
        ("field", "key"),
        [
            (UUID, UUID),
            (f'"{UUID}"', UUID),
            (f" \t{UUID} ", UUID),
            ('"two words, \\"quoted\\""', 'two words, "quoted"'),
            ("a", "a"),
            ("k" * 255, "k" * 255),
            ("order:17/part;2=x", "order:17/part;2=x"),
        ],
    )
    def test_bare_and_quoted_keys(self, field: str, key: str) -> None:
        assert parse_key([field]) == key

    def test_no_field_is_no_key(self) -> None:
        assert parse_key([]) is None

    @pytest.mark.parametrize(
        "fields",
        [
            ("",),
            (" ",),
            ('""',),
            ("k" * 256,),
            (f'"{"k" * 256}"',),
            ("two words",),
            ("a,b",),
            ('"a", "b"',),
            ('"a";b=1',),
            ('"unclosed',),
            ("caf\xe9",),
            ("nul\0",),
            ("line\x7f",),
            ("a", "a"),
        ],
    )
    def test_other_keys_are_refused(self, fields: tuple[str, ...]) -> None:
        with pytest.raises(BadRequest, match="1 to 255 printable ASCII characters"):
            parse_key(fields)

    @given(st.text(max_size=300))
    def test_any_text_is_a_printable_key_or_refused(self, text: str) -> None:
        try:
            key = parse_key([text])
        except BadRequest:
            return
        assert key is not None
        assert 1 <= len(key) <= 255
        assert key.isascii()
        assert key.isprintable()


TUS = {"tus-resumable": "1.0.0", "upload-length": "5", "upload-metadata": "filename YQ==,type Yg=="}


class TestHeads:
    @pytest.mark.parametrize(
        "changed",
        [
            {"method": "PUT"},
            {"path": "/files/batch"},
            {"query": {"profile": "media"}},
            {"headers": TUS | {"upload-length": "6"}},
            {"headers": TUS | {"upload-metadata": "filename Yg==,type Yg=="}},
            {"headers": TUS | {"content-type": "text/plain"}},
            {"headers": TUS | {"content-disposition": 'attachment; filename="a"'}},
            {"body_digest": "00"},
        ],
    )
    def test_what_makes_another_request(self, changed: dict[str, Any]) -> None:
        request: dict[str, Any] = {"method": "POST", "path": "/files", "query": {}, "headers": TUS}
        assert head_fingerprint(**request) != head_fingerprint(**request | changed)

    @pytest.mark.parametrize(
        "headers",
        [
            TUS | {"authorization": "Bearer other", "user-agent": "x", "x-request-id": "2", "content-length": "9"},
            TUS | {"upload-metadata": "type Yg==, filename YQ=="},
            dict(reversed(TUS.items())),
        ],
    )
    def test_what_does_not(self, headers: dict[str, str]) -> None:
        assert head_fingerprint("POST", "/files/", {}, headers) == head_fingerprint("POST", "/files", {}, TUS)

    def test_the_boundary_does_not_count_and_other_parameters_do(self) -> None:
        def of(content_type: str) -> str:
            return head_fingerprint("POST", "/files", {}, {"content-type": content_type})

        assert of("multipart/form-data; boundary=a") == of("Multipart/Form-Data;boundary=b")
        assert of("text/plain; charset=utf-8") != of("text/plain; charset=latin-1")


def digest(of: BodyDigest, body: bytes, piece: int = 1 << 20) -> str:
    of.update([body[start : start + piece] for start in range(0, len(body), piece)])
    return of.hexdigest()


def form(parts: list[tuple[str, str | None, bytes]], boundary: str) -> bytes:
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


FIELDS = st.lists(st.tuples(st.sampled_from("abc"), st.none(), st.binary(max_size=40)), max_size=4)
FILES = st.lists(
    st.tuples(st.just("file"), st.sampled_from(["x", "y"]), st.binary(min_size=1, max_size=40)), max_size=3
)


class TestForms:
    @given(FIELDS, FILES, st.randoms(), st.integers(1, 50))
    def test_neither_boundary_nor_order_of_fields_nor_pieces_count(
        self, fields: list[Any], files: list[Any], chance: random.Random, piece: int
    ) -> None:
        """The files keep their order; the fields may stand anywhere among them."""
        first = form([*fields, *files], "first-boundary")
        mixed, rest = list(files), list(fields)
        for field in chance.sample(rest, len(rest)):
            mixed.insert(chance.randint(0, len(mixed)), field)
        again = form(mixed, "=another=boundary=")
        one = digest(FormDigest("multipart/form-data; boundary=first-boundary"), first)
        assert digest(FormDigest('multipart/form-data; boundary="=another=boundary="'), again, piece) == one

    @pytest.mark.parametrize(
        "other",
        [
            [("reference", None, b"2"), ("file", "a", b"1"), ("file", "b", b"2")],
            [("reference", None, b"1"), ("file", "a", b"X"), ("file", "b", b"2")],
            [("reference", None, b"1"), ("file", "X", b"1"), ("file", "b", b"2")],
            [("reference", None, b"1"), ("file", "b", b"2"), ("file", "a", b"1")],
            [("reference", None, b"1"), ("file", "a", b"1")],
            [("other", None, b"1"), ("file", "a", b"1"), ("file", "b", b"2")],
        ],
    )
    def test_fields_names_bytes_and_order_of_files_count(self, other: list[Any]) -> None:
        one = [("reference", None, b"1"), ("file", "a", b"1"), ("file", "b", b"2")]
        kind = "multipart/form-data; boundary=b0"
        assert digest(FormDigest(kind), form(one, "b0")) != digest(FormDigest(kind), form(other, "b0"))

    def test_a_malformed_form_has_no_digest_of_its_own(self) -> None:
        kind = "multipart/form-data; boundary=b0"
        assert digest(FormDigest(kind), b"nonsense") == "malformed"
        assert digest(FormDigest(kind), form([("a", None, b"1")], "b0")[:-8]) == "malformed"

    def test_other_bodies_are_compared_by_their_bytes(self) -> None:
        assert isinstance(form_or_bytes_digest(Head("POST", "/files", {"content-type": "image/png"})), BytesDigest)
        assert isinstance(
            form_or_bytes_digest(Head("POST", "/files", {"content-type": "multipart/form-data"})), BytesDigest
        )
        with_boundary = Head("POST", "/files", {"content-type": "multipart/form-data; boundary=b"})
        assert isinstance(form_or_bytes_digest(with_boundary), FormDigest)


class TestJson:
    def test_white_space_and_order_of_names_do_not_count(self) -> None:
        one = digest(JsonDigest(), b'{"a": 1, "b": [1, 2]}')
        assert digest(JsonDigest(), b'{"b":[1,2],\n"a":1}', 3) == one
        assert digest(JsonDigest(), b'{"b":[2,1],"a":1}') != one
        assert digest(JsonDigest(), b'{"b":[1,2],"a":true}') != one

    def test_a_long_text_and_one_that_cannot_be_read_are_compared_by_their_bytes(self) -> None:
        long = json.dumps({"a": "x" * MAX_COMPARED_JSON}).encode()
        assert digest(JsonDigest(), long) != digest(JsonDigest(), long + b" ")
        assert digest(JsonDigest(), b"{nonsense") == digest(BytesDigest(), b"{nonsense")
        assert digest(JsonDigest(), b"") == digest(BytesDigest(), b"")
