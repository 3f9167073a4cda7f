"""The description of an upload has a size limit in every dialect, and the refusal names it."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from windlass.kernel.problem_types import BadRequest, MetadataTooLarge
from windlass.protocols import description_fields, ietf, raw, s3multipart, tus
from windlass.protocols.form_fields import FormFields
from windlass.protocols.intents import Concatenate, Head

LIMIT = description_fields.MAX_METADATA
VERSION = {"tus-resumable": "1.0.0"}


def header_of(size: int) -> str:
    """An Upload-Metadata header of so many bytes."""
    value = base64.b64encode(b"x" * (3 * (size // 4 - 1))).decode()
    return f"{'k' * (size - 1 - len(value))} {value}"


def object_of(size: int) -> str:
    """A JSON object of so many bytes; half of its characters take two."""
    text = json.dumps({"note": ""}, separators=(",", ":"))
    left = size - len(text)
    return text.replace('""', f'"{"é" * (left // 2)}{"x" * (left % 2)}"')


def _tus(size: int) -> Any:
    return tus.parse(Head("POST", "/files", VERSION | {"upload-length": "1", "upload-metadata": header_of(size)}), None)


def _final(size: int) -> Any:
    fields = {"upload-concat": f"final;/uploads/{uuid.uuid4()}", "upload-metadata": header_of(size)}
    return tus.parse(Head("POST", "/files", VERSION | fields), None)


def _ietf(size: int) -> Any:
    fields = {"upload-complete": "?0", "upload-metadata": header_of(size)}
    return ietf.parse(Head("POST", "/files", fields), None)


def _ietf_query(size: int) -> Any:
    fields = {"upload-complete": "?0", "upload-metadata": header_of(size // 2)}
    return ietf.parse(Head("POST", "/files", fields, {"metadata": object_of(size - size // 2)}), None)


def _raw(size: int) -> Any:
    return raw.parse(Head("POST", "/files", {}, {"metadata": object_of(size)}), None)


def _form_query(size: int) -> Any:
    return FormFields({"metadata": object_of(size)})


def _s3_params(size: int) -> Any:
    return s3multipart.parse_params({"filename": "a", "metadata[note]": "x" * (size - len(json.dumps({"note": ""})))})


def _s3_create(size: int) -> Any:
    note = "x" * (size - len(json.dumps({"note": ""})))
    return s3multipart.parse_create(json.dumps({"filename": "a", "metadata": {"note": note}}).encode())


DIALECTS: list[Callable[[int], Any]] = [_tus, _final, _ietf, _ietf_query, _raw, _form_query, _s3_params, _s3_create]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_metadata_is_limited_to_64_kib_in_every_dialect(dialect: Callable[[int], Any]) -> None:
    dialect(LIMIT)
    for size in (LIMIT + 1, 5_000_000):
        with pytest.raises(MetadataTooLarge, match="64 KiB") as caught:
            dialect(size)
        assert caught.value.members["limit"] == LIMIT
        assert LIMIT < caught.value.members["received"] <= size
        assert caught.value.status == 413


def urls(*uploads: int) -> str:
    return "final;" + " ".join(f"/uploads/{uuid.UUID(int=number)}" for number in uploads)


def test_a_concatenation_is_limited_and_repeats_are_cheap() -> None:
    most = range(tus.MAX_PARTS)
    assert tus.parse_concat(urls(*most)) == tuple(uuid.UUID(int=number) for number in most)
    begun = time.process_time()
    named = tus.parse_concat("final;" + f"/uploads/{uuid.UUID(int=7)} " * tus.MAX_NAMES)
    assert named is not None
    assert len(named) == tus.MAX_NAMES
    assert set(named) == {uuid.UUID(int=7)}
    assert time.process_time() - begun < 1, "each repeat is read anew"
    for header in (urls(*range(tus.MAX_PARTS + 1)), f"{urls(1)} " + "/uploads/x " * tus.MAX_NAMES):
        with pytest.raises(BadRequest, match=r"Join them in several steps"):
            tus.parse_concat(header)


def test_repeated_partial_uploads_keep_their_order() -> None:
    found = tus.parse(Head("POST", "/files", VERSION | {"upload-concat": urls(2, 1, 2)}), None)
    assert isinstance(found, Concatenate)
    assert [part.int for part in found.parts] == [2, 1, 2]
