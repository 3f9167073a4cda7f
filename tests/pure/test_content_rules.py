"""The profile's limits on the content of a file: what they reject, with which values, and when a file may be served."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from windlass import conf
from windlass.files.profiles import Profile, profile
from windlass.processing.contract import About, Rejection, StepContext
from windlass.processing.plan import make_plan, passes_gate
from windlass.processing.registry import installed
from windlass.processing.steps.content_and_archive_rules import ArchiveRules, ContentRules, PixelRules

ABOUTS = [step.about for step in installed().values()]
MB = 1024 * 1024
BARE = Profile("bare", max_pixels=0, max_archive_entries=0, max_unpacked_size=0, max_archive_ratio=0, unsafe_names=True)


def verdict(step: Any, limits: dict[str, Any], **facts: Any) -> Rejection | None:
    context = StepContext(io.BytesIO(), {"mime_type": "image/png"} | facts, replace(BARE, **limits).document())
    found = step().run(context).verdict
    assert found is None or isinstance(found, Rejection)
    return found


@pytest.mark.parametrize(
    ("limits", "facts", "rule", "limit", "actual"),
    [
        ({"max_width": 100}, {"width": 101, "height": 1}, "dimensions", 100, 101),
        ({"max_height": 100}, {"width": 1, "height": 101}, "dimensions", 100, 101),
        ({"min_width": 100}, {"width": 99, "height": 500}, "dimensions", 100, 99),
        ({"min_height": 100}, {"width": 500, "height": 99}, "dimensions", 100, 99),
        ({"max_pixels": 10_000}, {"width": 101, "height": 100}, "pixels", 10_000, 10_100),
        ({"max_duration": 60}, {"mime_type": "video/mp4", "duration": 60.1}, "duration", 60, 60.1),
        ({"min_duration": 1}, {"mime_type": "audio/mpeg", "duration": 0.5}, "duration", 1, 0.5),
        ({"max_pages": 3}, {"mime_type": "application/pdf", "page_count": 4}, "pages", 3, 4),
        ({"encrypted": False}, {"mime_type": "application/pdf", "encrypted": True}, "encrypted", False, True),
        ({"max_pixels": 10_000}, {}, "content-unreadable", 10_000, None),
        ({"max_pages": 3}, {"mime_type": "application/pdf"}, "content-unreadable", 3, None),
        ({"min_duration": 2}, {"mime_type": "video/webm"}, "content-unreadable", 2, None),
    ],
)
def test_a_broken_rule_has_limit_and_actual_value(
    limits: dict[str, Any], facts: dict[str, Any], rule: str, limit: Any, actual: Any
) -> None:
    rejection = verdict(ContentRules, limits, **facts)
    assert rejection is not None
    assert (rejection.rule, rejection.limit, rejection.actual) == (rule, limit, actual)
    assert actual is None or rule == "encrypted" or str(actual) in rejection.detail


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        ({}, {"width": 10**6, "height": 10**6}),
        ({"max_width": 100, "max_pixels": 10_000}, {"width": 100, "height": 100}),
        ({"max_duration": 60, "max_pages": 1}, {"width": 1, "height": 1}),
        ({"max_pages": 3}, {"mime_type": "application/pdf", "encrypted": True}),
        ({"max_width": 100}, {"mime_type": "audio/mpeg", "duration": 5}),
        ({"encrypted": False}, {"mime_type": "application/pdf", "encrypted": False, "page_count": 1}),
    ],
)
def test_a_file_within_the_rules_passes(limits: dict[str, Any], facts: dict[str, Any]) -> None:
    assert verdict(ContentRules, limits, **facts) is None


@pytest.mark.parametrize(
    ("facts", "rule", "actual"),
    [
        ({"entries": 100_001}, "archive-entries", 100_001),
        ({"unpacked_size": 50 * 1024 * MB + 1}, "unpacked-size", 50 * 1024 * MB + 1),
        ({"archive_ratio": 100.5, "unpacked_size": 10 * MB}, "archive-ratio", 100.5),
        ({"unpacked_size": 50 * 1024 * MB, "unpacked_size_is": "at least"}, "unpacked-size", 50 * 1024 * MB),
        ({"unpacked_size": 50 * 1024 * MB, "unpacked_size_is": "counted"}, None, None),
        ({"archive_ratio": 1000, "unpacked_size": 10 * MB - 1}, None, None),
        ({"archive_ratio": 100, "unpacked_size": 900 * MB, "entries": 100_000}, None, None),
        ({"unpacked_size": 0, "archive_ratio": 0.0}, None, None),
        ({}, "archive-not-measured", None),
        ({"entries": 5}, "archive-not-measured", None),
        ({"unpacked_size": 30 * 1024 * MB, "inner_unpacked_size": 21 * 1024 * MB}, "unpacked-size", 51 * 1024 * MB),
        ({"unpacked_size": 5, "archive_damaged": "It ends too early."}, "archive-damaged", None),
        ({"unpacked_size": 5, "archive_contradiction": "two ends"}, "archive-contradiction", None),
        ({"unpacked_size": 5, "overlapping_entries": 1}, "archive-contradiction", None),
        ({"unpacked_size": 5, "archive_not_measured": "it took too long"}, "archive-not-measured", None),
        ({"entries": 100_001, "archive_damaged": "It ends too early."}, "archive-entries", 100_001),
    ],
)
def test_zip_bombs_are_refused_by_default(facts: dict[str, Any], rule: str | None, actual: Any) -> None:
    ours = Profile("ours")
    limits = {name: getattr(ours, name) for name in ("max_archive_entries", "max_unpacked_size", "max_archive_ratio")}
    rejection = verdict(ArchiveRules, limits, mime_type="application/zip", **facts)
    assert (rejection and rejection.rule, rejection and rejection.actual) == (rule, actual)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"unpacked_size": 5, "unsafe_names": 2}, "unsafe-names"),
        ({"unpacked_size": 5, "unsafe_names": 0}, None),
        ({"unpacked_size": 5}, None),  # one compressed file has no names
        ({}, "archive-not-measured"),
    ],
)
def test_archives_with_unsafe_names_are_refused_unless_the_profile_accepts_them(
    facts: dict[str, Any], rule: str | None
) -> None:
    free = {"max_archive_entries": 0, "max_unpacked_size": 0, "max_archive_ratio": 0}
    by_default = {"unsafe_names": Profile("ours").unsafe_names}
    refused = verdict(ArchiveRules, free | by_default, mime_type="application/zip", **facts)
    assert (refused and refused.rule) == rule
    assert verdict(ArchiveRules, free, mime_type="application/zip", **facts) is None
    assert "archive_rules" in steps_of(replace(BARE, unsafe_names=False), "application/zip")


def steps_of(asked: Profile, mime_type: str) -> set[str]:
    return {step.name for step in make_plan(ABOUTS, asked.document(), mime_type)}


def test_more_pixels_than_can_be_stored_are_refused() -> None:
    rejection = verdict(ContentRules, {"max_pixels": 100}, width=2**31 - 1, height=2**31 - 1)
    assert rejection is not None
    assert (rejection.rule, rejection.actual) == ("pixels", 2**53 - 1)


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"width": 24_495, "height": 24_495}, True),
        ({"width": 24_494, "height": 24_494}, False),
        ({"width": 600_000_001, "height": 1}, True),
        ({}, False),
    ],
)
def test_images_of_too_many_pixels_are_refused_by_default(facts: dict[str, Any], refused: bool) -> None:
    """An image whose size is not known is not: the limit is nobody's choice."""
    limits = {"max_pixels": Profile("ours").max_pixels}
    for also in ({}, {"max_pages": 5}):
        rejection = verdict(PixelRules, limits | also, **facts)
        assert (rejection is not None and rejection.rule == "pixels") == refused


def test_the_rule_steps_are_planned_only_for_profiles_with_rules() -> None:
    ours = Profile("ours")
    rules = {"content_rules", "archive_rules", "pixel_rules"}
    assert rules & steps_of(ours, "image/png") == {"pixel_rules"}
    assert rules & steps_of(ours, "text/plain") == set()
    assert rules & steps_of(replace(ours, max_pages=1), "image/png") == {"content_rules"}
    assert rules & steps_of(replace(ours, max_pixels=7), "image/png") == {"content_rules"}
    assert rules & steps_of(replace(ours, max_pixels=0), "image/png") == set()
    assert {"content_rules", "archive_rules"} & steps_of(ours, "application/zip") == {"archive_rules"}
    assert "archive_rules" in steps_of(ours, "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    assert "archive_rules" not in steps_of(BARE, "application/zip")
    for limits in ({"max_pages": 1}, {"encrypted": False}, {"min_duration": 0.5}):
        assert "content_rules" in steps_of(replace(BARE, **limits), "image/png")


def test_a_file_is_served_once_every_gate_has_passed() -> None:
    def plan(asked: Profile, mime_type: str) -> Any:
        return make_plan(ABOUTS, asked.document(), mime_type)

    assert passes_gate(plan(BARE, "image/png"), "intake")
    ruled = plan(replace(BARE, max_pixels=5), "image/png")
    assert not passes_gate(ruled, "intake")
    assert passes_gate(ruled, "describe")
    of_a_plugin = About(name="late", stage="derive", title="", order=1, isolated=False, gate=True)
    late = make_plan([*ABOUTS, of_a_plugin], BARE.document(), "image/png")
    assert [passes_gate(late, stage) for stage in ("intake", "describe", "derive")] == [False, False, True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("max_pixels = -1", "max_pixels must be a whole number, not below 0"),
        ("max_pages = 1.5", "max_pages must be a whole number"),
        ('max_duration = "1 s"', "max_duration must be a number"),
        ("encrypted = 1", "encrypted must be true or false"),
        ("allowed_extensions = [1]", "allowed_extensions must be a list of texts"),
        ('thumbnail_format = "gif"', "thumbnail_format must be 'webp' or 'jpeg'"),
        ("max_archive_entries = 100_001", "may be 100000 at most"),
        ("description = 5", "description must be a text"),
    ],
)
def test_an_invalid_value_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text(f"[odd]\n{line}\n")
    monkeypatch.setenv("WINDLASS_PROFILES", str(path))
    monkeypatch.setenv("WINDLASS_HOME", str(tmp_path))
    conf.reload()
    try:
        with pytest.raises(conf.BadSetting, match=said):
            profile("odd")
        path.write_text("[odd]\nmax_duration = 5\nmax_pixels = 7\nencrypted = false\n")
        conf.reload()
        assert profile("odd").content_rules
    finally:
        monkeypatch.undo()
        conf.reload()
