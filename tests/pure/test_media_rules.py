"""The rules for media: how they are parsed, and how a picture or a video that breaks one is rejected."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import pytest

from windlass.files import profiles
from windlass.processing.contract import Rejection, StepContext
from windlass.processing.steps.content_and_archive_rules import MediaRules

MB = 1024 * 1024
BUILT_IN = profiles.parse_media_rules(profiles.merge_with_built_in({}, profiles.BUILT_IN_MEDIA_PROFILE)["media_types"])


def verdict(**facts: Any) -> Rejection | None:
    profile = {"media_types": [asdict(rules) for rules in BUILT_IN]}
    known = {"size": 1000, "metadata": {}} | facts
    found = MediaRules().run(StepContext(io.BytesIO(), known, profile)).verdict
    assert found is None or isinstance(found, Rejection)
    return found


VIDEO = {"mime_type": "video/mp4", "duration": 10.0, "width": 640, "height": 480}
IMAGE = {"mime_type": "image/png", "width": 640, "height": 480}


@pytest.mark.parametrize(
    "facts",
    [
        VIDEO,
        VIDEO | {"duration": 1},
        VIDEO | {"duration": 180, "width": 4096, "height": 4096, "size": 500 * MB},
        VIDEO | {"width": 10, "height": 10},
        VIDEO | {"metadata": {"media_type": "video", "other": 1}},
        IMAGE,
        IMAGE | {"width": 100, "height": 4096, "size": 20 * MB},
    ],
)
def test_media_within_the_rules_pass(facts: dict[str, Any]) -> None:
    assert verdict(**facts) is None


@pytest.mark.parametrize(
    ("facts", "rule", "limit", "actual"),
    [
        (VIDEO | {"duration": 0.99}, "duration", 1, 0.99),
        (VIDEO | {"duration": 180.01}, "duration", 180, 180.01),
        (VIDEO | {"width": 4097}, "dimensions", 4096, 4097),
        (VIDEO | {"height": 4097}, "dimensions", 4096, 4097),
        (VIDEO | {"size": 500 * MB + 1}, "size", 500 * MB, 500 * MB + 1),
        (VIDEO | {"duration": None}, "media-unreadable", 1, None),
        (VIDEO | {"metadata": {"media_type": "image"}}, "media-type", "image", "video"),
        (IMAGE | {"width": 99}, "dimensions", 100, 99),
        (IMAGE | {"height": 4097}, "dimensions", 4096, 4097),
        (IMAGE | {"size": 20 * MB + 1}, "size", 20 * MB, 20 * MB + 1),
        (IMAGE | {"width": None}, "media-unreadable", 100, None),
    ],
)
def test_a_broken_rule_has_limit_and_actual_value(facts: dict[str, Any], rule: str, limit: Any, actual: Any) -> None:
    rejection = verdict(**facts)
    assert rejection is not None
    assert (rejection.rule, rejection.limit, rejection.actual) == (rule, limit, actual)


def test_other_types_are_refused() -> None:
    rejection = verdict(mime_type="application/pdf")
    assert rejection is not None
    assert rejection.rule == "type-not-allowed"


def test_the_settings_change_the_built_in_profile_rule_by_rule() -> None:
    changed = {"thumbnail_widths": [100], "media_types": {"video": {"max_duration": 60}, "sound": {"max_size": 5}}}
    table = profiles.merge_with_built_in(changed, profiles.BUILT_IN_MEDIA_PROFILE)
    video, image, sound = profiles.parse_media_rules(table["media_types"])
    assert (video.max_duration, video.min_duration, video.max_size) == (60, 1, 500 * MB)
    assert image == BUILT_IN[1]
    assert (sound.kind, sound.max_size, sound.content_types) == ("sound", 5, ())
    assert table["thumbnail_widths"] == [100]


def test_the_limits_implied_by_the_media_types() -> None:
    found = profiles.implied_limits(BUILT_IN)
    assert found["max_size"] == 500 * MB
    assert "image/webp" in found["allowed_mime_types"]
    assert "mov" in found["allowed_extensions"]
    assert profiles.implied_limits(()) == {}


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        {"video": 5},
        {"video": {"codec": "h264"}},
        {"video": {"max_size": "5"}},
        {"video": {"max_size": -1}},
        {"video": {"max_size": True}},
        {"video": {"extensions": "mp4"}},
        {"video": {"extensions": [4]}},
    ],
)
def test_an_invalid_rule_ends_the_start(kinds: Any) -> None:
    with pytest.raises(ValueError, match="media_types"):
        profiles.parse_media_rules(kinds)
