"""Every result of a step is validated before it is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windlass.processing.contract import About, MadeRendition, Makes, Quarantine, Rejection, StepResult
from windlass.processing.sandbox.channel import LONGEST, InvalidMessage, Unpacker, pack
from windlass.processing.step_result import MOST_SIZES, InvalidResult, checked_result, to_json

ABOUT = About(
    name="a",
    stage="derive",
    title="A",
    order=1,
    isolated=True,
    gives=dict.fromkeys(("width", "duration", "mime_type", "checksum", "duplicate_of", "note"), "a fact"),
    makes=(Makes("thumbnail", "image", ("image/webp",)),),
)
EMPTY: dict[str, Any] = {"facts": {}, "renditions": [], "verdict": None, "detail": ""}
MADE = {"name": "thumbnail", "mime_type": "image/webp", "offset": 2, "length": 8, "width": 4, "height": 2}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_a_valid_result_is_accepted_unchanged() -> None:
    result = StepResult(
        {"width": 5, "duration": 1.5, "note": {"x": ["y", 1, None, True]}},
        (MadeRendition(**MADE),),
        Rejection("too-wide", "It is too wide.", 4, 5),
        "5 wide",
    )
    assert checked_result(ABOUT, to_json(result), 10) == result
    assert checked_result(ABOUT, to_json(StepResult(verdict=Quarantine("Bad"))), 0).verdict == Quarantine("Bad")


@pytest.mark.parametrize(
    "facts",
    [
        {"secret": 1},
        {"width": -1},
        {"width": 1.5},
        {"width": True},
        {"width": "9"},
        {"width": 2**31},
        {"duration": -1.0},
        {"duration": float("inf")},
        {"mime_type": "text/html\r\nX: y"},
        {"mime_type": None},
        {"checksum": "ABC"},
        {"duplicate_of": "../../etc/passwd"},
        {"note": 2**60},
        {"note": [[[["deep"]]]]},
        {"note": [0] * 1000},
        {"note": float("nan")},
        {"note": {1, 2}},
        [],
        None,
    ],
)
def test_invalid_facts_are_refused(facts: Any) -> None:
    with pytest.raises(InvalidResult):
        checked_result(ABOUT, EMPTY | {"facts": facts}, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "preview"},
        {"name": "../thumbnail"},
        {"mime_type": "text/html"},
        {"offset": -1},
        {"offset": 3},
        {"length": 9},
        {"length": True},
        {"width": -4},
        {"height": "tall"},
        {"owner": "me"},
    ],
)
def test_invalid_renditions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidResult):
        checked_result(ABOUT, EMPTY | {"renditions": [MADE | change]}, 10)


def test_sized_renditions_have_valid_names() -> None:
    about = replace(ABOUT, makes=(replace(ABOUT.makes[0], sized=True),))

    def made(*names: str) -> StepResult:
        return checked_result(about, EMPTY | {"renditions": [MADE | {"name": name} for name in names]}, 10)

    assert len(made("thumbnail", "thumbnail-320", "thumbnail-1280").renditions) == 3
    for wrong in ("thumbnail-", "thumbnail-0", "thumbnail-wide", "thumbnail-1-2", "preview-320", "thumbnail-999999"):
        with pytest.raises(InvalidResult):
            made(wrong)
    with pytest.raises(InvalidResult):
        made(*(f"thumbnail-{width}" for width in range(1, MOST_SIZES + 2)))
    with pytest.raises(InvalidResult):
        checked_result(ABOUT, EMPTY | {"renditions": [MADE | {"name": "thumbnail-320"}]}, 10)


def test_numbered_renditions_have_numbers_up_to_the_announced_one() -> None:
    about = replace(ABOUT, makes=(replace(ABOUT.makes[0], name="page", numbered=3),))

    def made(*names: str) -> StepResult:
        return checked_result(about, EMPTY | {"renditions": [MADE | {"name": name} for name in names]}, 10)

    assert len(made("page-1", "page-2", "page-3").renditions) == 3
    for wrong in ("page", "page-0", "page-01", "page-4", "page-", "page-1-1"):
        with pytest.raises(InvalidResult):
            made(wrong)


def test_a_repeated_rendition_is_refused() -> None:
    about = About(name="a", stage="derive", title="A", order=1, isolated=True, makes=ABOUT.makes * 2)
    with pytest.raises(InvalidResult):
        checked_result(about, EMPTY | {"renditions": [MADE, MADE]}, 10)
    with pytest.raises(InvalidResult):
        checked_result(ABOUT, EMPTY | {"renditions": [MADE, MADE]}, 10)


@pytest.mark.parametrize(
    "verdict",
    ["no", {}, {"kind": "acquittal"}, {"kind": "rejection", "rule": "A B", "detail": "", "limit": 1, "actual": 2}],
)
def test_invalid_verdicts_are_refused(verdict: Any) -> None:
    with pytest.raises(InvalidResult):
        checked_result(ABOUT, EMPTY | {"verdict": verdict}, 10)


#: A busy machine is slow, which is no fault of the code.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(st.dictionaries(st.sampled_from([*EMPTY, "kind"]), JSON) | st.fixed_dictionaries(dict.fromkeys(EMPTY, JSON)))
def test_any_answer_is_accepted_or_refused(said: dict[str, Any]) -> None:
    try:
        result = checked_result(ABOUT, said, 10)
    except InvalidResult:
        return
    assert set(result.facts) <= ABOUT.gives
    assert "\x00" not in result.detail


@unhurried
@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text(), max_size=4), max_size=5), st.data())
def test_any_split_of_the_stream_gives_the_same_messages(messages: list[Any], data: st.DataObject) -> None:
    stream = b"".join(pack(message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    unpacker, out = Unpacker(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += unpacker.feed(stream[start:end])
    assert out == messages


@pytest.mark.parametrize("stream", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01{"])
def test_an_invalid_message_is_refused(stream: bytes) -> None:
    with pytest.raises(InvalidMessage):
        Unpacker().feed(stream)


@pytest.mark.parametrize("message", [{"a": "x" * LONGEST}, {"a": float("nan")}, {"a": object()}])
def test_a_message_that_cannot_be_packed_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        pack(message)
