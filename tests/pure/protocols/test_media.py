"""The media API: a body or a form becomes an intent or a refusal."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windlass.kernel.problem_types import InvalidField, Problem
from windlass.protocols import media
from windlass.protocols.intents import ChunkProgress, CreateInChunks, Description, PutChunk

ID = uuid.UUID("6f4b7f8e-3d1c-4f0a-9a43-0d4c6d0f5f11")


def init(**fields: Any) -> CreateInChunks:
    asked = {"file_name": "a.mp4", "file_size": 5, "content_type": "video/mp4"} | fields
    return media.parse_init(json.dumps(asked).encode())


def test_an_init_body_becomes_an_intent() -> None:
    assert init(chunk_size=3, post_id="7", media_type="video") == CreateInChunks(
        Description("a.mp4", "video/mp4", "media", "7", metadata={"media_type": "video"}), 5, 3
    )
    assert init(content_type="", profile="default").description == Description("a.mp4", None, "media")
    for name in ("file_name", "file_size", "content_type"):
        with pytest.raises(InvalidField, match=name):
            init(**{name: None})


def test_finalize_may_add_reference_and_metadata() -> None:
    assert media.parse_finalize(b"") == media.parse_finalize(b"{}") == {}
    found = media.parse_finalize(b'{"post_id": 7, "media_type": "image"}')
    assert found == {"reference": "7", "metadata": {"media_type": "image"}}


def test_a_chunk_form_becomes_an_intent() -> None:
    assert media.parse_chunk({"upload_id": str(ID), "chunk_index": " 12 "}) == PutChunk(ID, 12)
    assert media.parse_chunk({"upload_id": str(ID), "chunk_index": "-1"}).index == -1
    for spelled in ("", "-", "1.0", "1e3", "٣", "9" * 30):
        with pytest.raises(InvalidField, match="chunk_index"):
            media.parse_chunk({"upload_id": str(ID), "chunk_index": spelled})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["upload_id", "chunk_index", "post_id", "media_type"]), st.text()))
def test_any_fields_are_an_intent_or_a_refusal(fields: dict[str, str]) -> None:
    def refusal() -> int:
        try:
            media.describe(fields, fields.get("post_id"), fields.get("media_type"))
            media.parse_chunk(fields)
        except Problem as problem:
            return problem.status
        return 400

    assert 400 <= refusal() < 500


def test_replies_have_the_documented_members() -> None:
    some, every = ChunkProgress(3, 1, 5, 33.33, [1]), ChunkProgress(3, 3, 15, 100.0, [0, 1, 2])
    assert media.received(ID, 1, some, 0).body["status"] == "received"
    assert media.received(ID, 1, every, None).body["status"] == "completed"
    told = media.status(ID, "active", some).body
    assert (told["status"], told["missing_chunks"], told["next_chunk"]) == ("active", [0, 2], 0)
    assert media.status(ID, "active", every).body["status"] == "completed"
    assert media.status(ID, "cancelled", every).body["status"] == "cancelled"
