"""The plan is a pure function of steps, profile and type; progress is a pure function of the plan."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import pytest

from windlass.processing.contract import About
from windlass.processing.plan import PlannedStep, left_out, make_plan, next_stage, overall
from windlass.processing.registry import installed

OURS = [step.about for name, step in installed().items() if type(step).__module__.startswith("windlass.")]
INTAKE = ["size", "checksum", "duplicate", "type", "type_rules"]
#: They compare facts with the profile and read nothing.
RULES = ["content_rules", "pixel_rules", "archive_rules", "malware_limits"]


def names(mime_type: str | None, **profile: object) -> list[str]:
    return [step.name for step in make_plan(OURS, {"thumbnails": True, "text": True} | profile, mime_type)]


@pytest.mark.parametrize(
    ("mime_type", "after"),
    [
        (None, []),
        ("application/zip", ["archive_facts"]),
        ("application/gzip", ["archive_facts"]),
        ("application/epub+zip", ["archive_facts", "office_facts", "text", "document_thumbnail"]),
        ("application/msword", ["office_facts", "text"]),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ["archive_facts", "office_facts", "text", "document_thumbnail"],
        ),
        (
            "application/vnd.oasis.opendocument.spreadsheet",
            ["archive_facts", "office_facts", "text", "document_thumbnail"],
        ),
        ("application/json", ["text_facts", "text"]),
        ("application/rtf", ["text"]),
        ("message/rfc822", ["email_facts", "text"]),
        ("text/csv", ["text_facts", "text"]),
        ("text/html", ["text_facts", "text"]),
        ("application/x-empty", []),
        ("image/jpeg", ["image_facts", "thumbnail"]),
        ("image/svg+xml", []),
        ("application/pdf", ["pdf_facts", "text", "pdf_thumbnail"]),
        ("video/mp4", ["av_facts", "video_thumbnail"]),
        ("audio/mpeg", ["av_facts", "audio_tags", "audio_thumbnail"]),
        ("audio/x-wav", ["av_facts", "audio_tags", "audio_thumbnail"]),
    ],
)
def test_each_type_has_its_steps(mime_type: str | None, after: list[str]) -> None:
    assert names(mime_type) == INTAKE + after


def test_a_profile_adds_previews_and_waveforms() -> None:
    asked = {"waveforms": True, "video_preview": True, "audio_preview": True}
    assert names("video/mp4", **asked)[5:] == ["av_facts", "video_thumbnail", "video_preview"]
    assert names("audio/flac", **asked)[7:] == ["audio_thumbnail", "waveform", "audio_preview"]


def test_a_profile_without_thumbnails_has_no_thumbnail_step() -> None:
    assert names("image/jpeg", thumbnails=False) == [*INTAKE, "image_facts"]


def test_ocr_follows_text_extraction() -> None:
    assert names("application/pdf", ocr=True) == [*INTAKE, "pdf_facts", "text", "ocr", "pdf_thumbnail"]
    assert names("image/png", ocr=True) == [*INTAKE, "image_facts", "ocr", "thumbnail"]
    assert names("application/pdf", text=False) == [*INTAKE, "pdf_facts", "pdf_thumbnail"]


def test_the_index_follows_what_makes_a_text() -> None:
    assert "index" not in names("image/png", search=True)
    assert names("image/png", search=True, ocr=True)[-1] == "index"
    assert names("text/plain", search=True)[-1] == "index"
    assert "index" not in names("text/plain", search=True, text=False)
    (index,) = [each for each in left_out(OURS, {"search": True}, "image/png") if each.name == "index"]
    assert index.reason == "none of the steps that it follows is planned: text, ocr"


def test_every_step_that_parses_is_isolated() -> None:
    """What is not isolated reads no format: it counts, compares, asks the database, or talks to a service."""
    trusted = {about.name for about in OURS if not about.isolated}
    assert trusted <= {
        "size",
        "checksum",
        "duplicate",
        "malware",
        "embed",
        "type_rules",
        "media_rules",
        "index",
        "graph",
        *RULES,
    }
    assert not [about.name for about in OURS if about.libraries and not about.isolated]


def test_stages_without_steps_are_skipped() -> None:
    plan = make_plan(OURS, {"thumbnails": False}, "application/pdf")
    assert [next_stage(plan, stage) for stage in ("intake", "describe")] == ["describe", None]
    assert next_stage([], "intake") is None


def test_progress_rises_through_the_stages_by_weight() -> None:
    plan = make_plan(OURS, {"thumbnails": True}, "image/jpeg")
    done: list[str] = []
    seen = [overall(plan, done)]
    for step in plan:
        seen += [overall(plan, done, step.name, percent) for percent in (0, 50, 100)]
        done.append(step.name)
        seen.append(overall(plan, done))
    assert all(one <= other for one, other in pairwise(seen))
    assert (seen[0], seen[-1]) == (0, 99)
    assert overall(plan, INTAKE) == overall(make_plan(OURS, {"thumbnails": True}, None), INTAKE) == 40


def test_a_planned_step_can_be_converted_to_a_dict() -> None:
    about = About(name="a", stage="derive", title="Making an A", order=1, isolated=True, weight=3)
    (step,) = make_plan([about], {}, "image/png")
    assert step == PlannedStep("derive", "a", "Making an A", True, 3, reason="every type", least_level="degraded")
    assert asdict(step)["stage"] == "derive"


def test_every_planned_step_has_a_reason() -> None:
    plan = {step.name: step for step in make_plan(OURS, {"thumbnails": True}, "image/jpeg", _lacks_pyvips)}
    assert plan["type"].reason == "every file"
    assert plan["thumbnail"].reason == "for image/jpeg; the profile has thumbnails on"
    assert plan["thumbnail"].owed == "Needs windlass[pictures]."
    assert plan["type"].owed == ""
    others = {step.name: step.reason for step in left_out(OURS, {"thumbnails": False}, "image/jpeg")}
    assert others["thumbnail"] == "the profile has thumbnails off"
    switches = {"search": True, "embeddings": False}
    reasons = {step.name: step.reason for step in left_out(OURS, switches, "text/plain")}
    assert reasons["embed"] == "the setting EMBEDDINGS is off"
    reasons = {step.name: step.reason for step in left_out(OURS, {}, "text/plain")}
    assert reasons["embed"] == "the profile has embeddings off"
    assert others["pdf_facts"] == "not for image/jpeg: it takes application/pdf"
    assert set(plan) | {step.name for step in left_out(OURS, {"thumbnails": True}, "image/jpeg")} == {
        about.name for about in OURS
    }
    assert left_out(OURS, {}, None)[-1].reason.startswith(("not for ", "the profile has"))


def _lacks_pyvips(about: About) -> str | None:
    return "Needs windlass[pictures]." if "pyvips" in about.libraries else None


def test_steps_are_sorted_by_stage_and_order() -> None:
    def one(name: str, stage: str, order: int) -> About:
        return About(name=name, stage=stage, title=name, order=order, isolated=False)

    steps = [one("c", "derive", 1), one("b", "intake", 20), one("a", "intake", 10), one("d", "intake", 20)]
    assert [step.name for step in make_plan(steps, {}, "text/plain")] == ["a", "b", "d", "c"]
