"""JSON of clients: its nesting is limited, and invalid JSON is refused."""

from __future__ import annotations

import json

import pytest

from windlass.kernel.json_text import MAX_DEPTH, parse
from windlass.kernel.problem_types import BadRequest, MetadataTooLarge
from windlass.protocols import description_fields, json_fields


def nested(depth: int, *, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    "text",
    [
        nested(MAX_DEPTH),
        '{"a":' * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1),
        json.dumps({"text": "[" * 1000, "list": [[], {}, 1, None, True]}),
        "true",
    ],
)
def test_json_within_the_limits_is_parsed(text: str) -> None:
    assert parse(text) == parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 100_000])
def test_json_nested_too_deep_is_refused_with_the_limit(depth: int) -> None:
    mixed = '[{"a":' * (depth // 2 + 1) + "1" + "}]" * (depth // 2 + 1)
    for text in (nested(depth), mixed, f'{{"ids": {nested(depth - 1)}}}', '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(BadRequest, match="64 levels"):
            parse(text)
        with pytest.raises(BadRequest):
            json_fields.read(text.encode())
        with pytest.raises((BadRequest, MetadataTooLarge)):
            description_fields.metadata(text)


@pytest.mark.parametrize("value", ["1", "[]", "{}", '{"a": 1}', '""'])
def test_json_with_too_many_values_is_refused_before_it_is_parsed(value: str) -> None:
    text = f"[{','.join([value] * 300_000)}]"
    for given in (text, text.encode()):
        with pytest.raises(BadRequest, match="250000 values"):
            parse(given)
    assert len(parse(f"[{','.join([value] * 100_000)}]")) == 100_000


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100, b'{"a":' * 60, b"\xff\xfe{", b"NaN", b"[Infinity]", b"1" * 5000, b'{"a": 1}}', b"\0"]
)
def test_invalid_json_is_refused_without_the_librarys_message(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(body)
    assert refused.value.detail == "The body is not valid JSON in UTF-8."
