"""Numbered chunks: a body or a head becomes an intent or a refusal, never an internal error."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from windlass.kernel.chunk_layout import ChunkLayout
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, InvalidField, NotFound, Problem
from windlass.protocols import chunks
from windlass.protocols.intents import ChunkProgress, CreateInChunks, Description, Head, PutChunk

ID = uuid.UUID("6f4b7f8e-3d1c-4f0a-9a43-0d4c6d0f5f11")
DIGEST = "ab" * 32

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
INIT_FIELDS = ["filename", "total_size", "mime_type", "file_hash", "chunk_size", "profile", "reference", "post_id"]
names = st.sampled_from([*INIT_FIELDS, "upload_id", "chunk_index", "chunk_data", "checksum"])


class Refused(int):
    """The status of a refusal."""


def outcome(parse: Callable[..., object], *arguments: object) -> object:
    try:
        return parse(*arguments)
    except Problem as problem:
        return Refused(problem.status) if problem.status < 500 else problem


def init(**fields: Any) -> CreateInChunks:
    return chunks.parse_init(json.dumps({"filename": "a", "total_size": 5, "mime_type": ""} | fields).encode())


def chunk(**fields: Any) -> tuple[PutChunk, bytes]:
    asked = {"upload_id": str(ID), "chunk_index": 0, "chunk_data": "QUJD"} | fields
    return chunks.parse_chunk(json.dumps(asked).encode())


def test_an_init_body_becomes_an_intent() -> None:
    assert init(
        filename="C:\\x\\a.txt",
        mime_type="Text/Plain; charset=utf-8",
        file_hash=DIGEST.upper(),
        chunk_size=7,
        profile="p",
        reference="r",
    ) == CreateInChunks(
        Description("a.txt", "text/plain", "p", "r", DIGEST),
        5,
        7,
    )
    assert init(filename="", mime_type=None, file_hash=None, chunk_size=None) == CreateInChunks(Description(), 5, None)
    assert init(post_id=12).description.reference == "12"


@pytest.mark.parametrize("name", ["filename", "total_size", "mime_type"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = {"filename": "a", "total_size": 5, "mime_type": ""}
    del fields[name]
    with pytest.raises(InvalidField, match=name) as refusal:
        chunks.parse_init(json.dumps(fields).encode())
    assert refusal.value.members["field"] == name


#: The first text that Hypothesis draws on a machine makes its tables of characters.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(st.binary(max_size=200) | st.dictionaries(names, json_values).map(lambda d: json.dumps(d).encode()))
@example(b'{"filename": "\\ud800", "total_size": 1, "mime_type": ""}')
@example(b"[" * 50_000)
@example(b"9" * 5000)
def test_any_body_is_an_intent_or_a_refusal(body: bytes) -> None:
    for parse in (chunks.parse_init, chunks.parse_chunk, chunks.parse_upload_id):
        assert isinstance(outcome(parse, body), CreateInChunks | tuple | uuid.UUID | Refused)


@given(st.binary(max_size=1000), st.integers(-(10**6), 10**6))
def test_a_json_chunk_has_the_sent_bytes(data: bytes, index: int) -> None:
    found = chunk(chunk_data=base64.b64encode(data).decode(), chunk_index=index, checksum=DIGEST)
    assert found == (PutChunk(ID, index, len(data), DIGEST), data)


@pytest.mark.parametrize("spelled", ["QUJ", "QU=D", "QUJD\n", "QU-_", "Ä===", "data:;base64,QUJD"])
def test_invalid_base64_is_refused(spelled: str) -> None:
    with pytest.raises(BadRequest):
        chunk(chunk_data=spelled)


def test_a_json_chunk_has_a_size_limit() -> None:
    longest = base64.b64encode(bytes(chunks.MAX_JSON_CHUNK)).decode()
    assert len(chunk(chunk_data=longest)[1]) == chunks.MAX_JSON_CHUNK
    with pytest.raises(BodyTooLarge, match="PUT"):
        chunk(chunk_data=base64.b64encode(bytes(chunks.MAX_JSON_CHUNK + 1)).decode())


def head(**headers: str) -> Head:
    return Head("PUT", "/", {name.replace("_", "-"): value for name, value in headers.items()})


def test_a_raw_chunk_becomes_an_intent() -> None:
    field = base64.b64encode(bytes.fromhex(DIGEST)).decode()
    assert chunks.parse_put(head(content_length="5"), str(ID), "7") == PutChunk(ID, 7, 5, None)
    assert chunks.parse_put(head(x_checksum_sha256=DIGEST.upper()), str(ID), "0").sha256 == DIGEST
    for written in (f"sha-256=:{field}:", f"sha-512=:AAAA:, sha-256=:{field}:"):
        both = head(content_digest=written, x_checksum_sha256=DIGEST)
        assert chunks.parse_put(both, str(ID), "0").sha256 == DIGEST
    with pytest.raises(BadRequest, match="two different"):
        chunks.parse_put(head(content_digest=f"sha-256=:{field}:", x_checksum_sha256="cd" * 32), str(ID), "0")
    with pytest.raises(NotFound):
        chunks.parse_put(head(), "nothing", "0")


@patient
@given(
    st.dictionaries(st.sampled_from(["content-digest", "x-checksum-sha256", "content-length"]), st.text()),
    st.text(),
    st.text(),
)
def test_any_head_is_an_intent_or_a_refusal(headers: dict[str, str], upload_id: str, index: str) -> None:
    found = outcome(chunks.parse_put, Head("PUT", "/", headers), upload_id, index)
    assert isinstance(found, PutChunk | Refused)


@given(st.integers(0, 10**13), st.integers(1, 10**8), st.integers(0, 50))
def test_chunks_cover_the_file_once(size: int, chunk_size: int, some: int) -> None:
    """The last chunk ends where the file does; each begins where the one before it ends."""
    layout = ChunkLayout(size, chunk_size)
    if size == 0:
        assert layout.total == 0
        return
    last = layout.total - 1
    assert layout.offset(last) + layout.length(last) == size == layout.end(layout.total)
    assert 1 <= layout.length(last) <= chunk_size
    index = min(some, last)
    assert layout.end(index) == layout.offset(index)
    assert index == last or layout.length(index) == chunk_size


def test_replies_have_the_documented_members() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert chunks.layout_document(ID, 5, 2, moment)["expires_at"] == "2026-01-02T00:00:00Z"
    told = chunks.received(ID, 1, ChunkProgress(3, 1, 5, 33.33, [1]), duplicate=False).body["progress"]
    assert (told["received_chunks"], told["missing_chunks"]) == ([1], [0, 2])
    figures = chunks.received(ID, 1, ChunkProgress(3, 1, 5, 33.33), duplicate=False).body["progress"]
    assert set(figures) == {"received_count", "total_chunks", "bytes_received", "percentage"}
    assert chunks.assembling(ID).status == 202
