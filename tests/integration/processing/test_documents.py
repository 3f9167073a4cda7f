"""Documents, archives, mail and texts: their facts and their text, through the real sandbox."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from tests import document_samples as samples
from tests import samples as plain
from tests.conftest import require
from tests.integration.processing.received_files import processed, step, store
from windlass.files.api import FileAsset, FileStatus, StepState
from windlass.processing.sandbox.client import ENVIRONMENT
from windlass.processing.steps.ocr import Ocr

READY = FileStatus.READY
UTF8_TEXT = "text/plain; charset=utf-8"


def text_of(asset: FileAsset) -> str | None:
    made = asset.renditions.filter(name="text").first()
    if made is None:
        return None
    assert (made.kind, made.mime_type) == ("text", UTF8_TEXT)
    with store(made.store).open(made.key) as stored:
        return str(stored.read().decode())


def facts_of(asset: FileAsset) -> dict[str, Any]:
    return {**asset.extra_attributes, "page_count": asset.page_count}


@pytest.fixture
def without_limits(settings: Any, tmp_path: Any) -> None:
    """What the rules would refuse before anybody looks further."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        "[default]\nmax_archive_ratio = 0\nmax_unpacked_size = 0\nmax_archive_entries = 0\nunsafe_names = true\n"
    )
    settings(WINDLASS_PROFILES=profiles)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "filename", "facts", "text"),
    [
        (
            samples.docx(),
            "a.docx",
            {
                "title": "The voyage",
                "author": "Ada Anchor",
                "page_count": 3,
                "created": "2024-05-01T08:00:00Z",
                "application": "Windlass Office",
                "has_macros": False,
                "encrypted": False,
                "entries": 5,
            },
            "Haul away.\nThe anchor is up.\n\n",
        ),
        (samples.docx(macros=True), "a.docm", {"has_macros": True}, "Haul away.\nThe anchor is up.\n\n"),
        (
            samples.xlsx(),
            "a.xlsx",
            {"sheets": 2, "sheet_names": ["Rope & chain", "Crew"], "page_count": 2},
            "hawser\t42.5\nin its cell\n\n",
        ),
        (
            samples.pptx(),
            "a.pptx",
            {"slides": 11, "page_count": 11},
            "".join(f"Slide {number}\n\n" for number in range(1, 12)),
        ),
        (
            samples.odt(),
            "a.odt",
            {"title": "Log book", "author": "Bo Bowline", "page_count": 7, "created": "2023-02-03T04:05:06"},
            "Log\nAll   well.\nWind\twest.\n",
        ),
        (samples.ods(), "a.ods", {"sheets": 2, "sheet_names": ["Speed", "Depth"]}, "knots\n\t12\n\n"),
        (samples.odp(), "a.odp", {"slides": 3, "page_count": 3}, "Page 1\nPage 2\nPage 3\n"),
        (samples.locked_odt(), "l.odt", {"encrypted": True, "title": "Log book"}, None),
        (
            samples.epub(),
            "a.epub",
            {"title": "Knots", "author": "Cleo Cleat", "language": "en"},
            "Chapter one\n\nChapter two\n\n",
        ),
        (
            samples.doc(),
            "a.doc",
            {
                "title": "Größe",
                "author": "Dana Davit",
                "page_count": 5,
                "encrypted": False,
            },
            None,
        ),
        (samples.doc(locked=True), "l.doc", {"encrypted": True}, None),
        (samples.locked_docx(), "l.docx", {"encrypted": True}, None),
        (samples.msg(), "a.msg", {"title": "Set sail", "author": "Ed Ebb"}, None),
        (samples.text_pdf("One", "", "Three"), "a.pdf", {"pages_without_text": 1}, "One\n\n\f\n\n\fThree\n\n"),
        (samples.scanned_pdf(), "s.pdf", {"pages_without_text": 1, "text_characters": 0}, None),
        (samples.RTF, "a.rtf", {}, "Größe {braces}\n\N{ANCHOR}\N{GRINNING FACE} end\tx\n"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
def test_a_document_has_its_facts_and_its_text(
    content: bytes, filename: str, facts: dict[str, Any], text: str | None
) -> None:
    asset = processed(content, filename)
    assert (asset.status, asset.message) == (READY, "")
    found = facts_of(asset)
    assert {name: found.get(name) for name in facts} == facts
    assert text_of(asset) == text


TAR = {"entries": 8, "unsafe_names": 3, "nested_archives": 1}


@pytest.mark.parametrize(
    ("content", "filename", "facts"),
    [
        (
            plain.archive("a", "b.zip", "../c", "/d", "a/..b"),
            "a.zip",
            {"entries": 5, "unsafe_names": 2, "nested_archives": 1, "unpacked_size_is": "declared", "encrypted": False},
        ),
        (samples.tar(), "a.tar", {**TAR, "unpacked_size": 10, "unpacked_size_is": "declared"}),
        *(
            (
                samples.compressed(kind, samples.tar()),
                f"a.tar.{kind}",
                {**TAR, "unpacked_size": 10240, "unpacked_size_is": "counted"},
            )
            for kind in ("gz", "bz2", "xz", "zst")
        ),
        (2 * samples.compressed("gz", b"x" * 500), "a.gz", {"unpacked_size": 1000, "unpacked_size_is": "counted"}),
        (samples.sevenzip(), "a.7z", {"entries": 4, "unpacked_size": 8, "unsafe_names": 1, "encrypted": False}),
        (samples.sevenzip(packed_header=False), "p.7z", {"entries": 4, "nested_archives": 1}),
        (samples.sevenzip(locked=True), "l.7z", {"encrypted": True}),
        (samples.rar5(), "a.rar", {"entries": 3, "unpacked_size": 3, "unsafe_names": 1, "encrypted": False}),
        (samples.rar5(locked=True), "l.rar", {"encrypted": True}),
        (samples.rar4(), "b.rar", {"entries": 1, "unpacked_size": 3}),
        (
            samples.overlapping_zip(),
            "o.zip",
            {"entries": 250, "overlapping_entries": 249, "unpacked_size": 250 * 2**20},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("without_limits")
def test_an_archive_is_measured_and_never_unpacked(content: bytes, filename: str, facts: dict[str, Any]) -> None:
    asset = processed(content, filename)
    assert asset.status == READY
    assert {name: asset.extra_attributes.get(name) for name in facts} == facts
    ratio = asset.extra_attributes["unpacked_size"] / len(content)
    assert asset.extra_attributes["archive_ratio"] == pytest.approx(ratio, abs=0.01)


@pytest.mark.usefixtures("without_limits")
def test_a_bomb_is_measured_to_its_end() -> None:
    asset = processed(samples.gzip_bomb(64), "bomb.gz")
    assert asset.extra_attributes["unpacked_size"] == 64 * 2**20
    assert asset.extra_attributes["archive_ratio"] > 1000


@pytest.mark.parametrize(
    ("content", "filename", "rule"),
    [
        (samples.gzip_bomb(64), "bomb.gz", "archive-ratio"),
        (samples.overlapping_zip(), "bomb.zip", "archive-ratio"),
        (samples.docx_bomb(200), "bomb.docx", "archive-ratio"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bomb_is_rejected_with_the_broken_rule(content: bytes, filename: str, rule: str) -> None:
    asset = processed(content, filename)
    assert (asset.status, asset.rejection["rule"]) == (FileStatus.REJECTED, rule)


def test_measuring_ends_at_the_limit_of_the_profile(settings: Any, tmp_path: Any) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[default]\nmax_unpacked_size = 8_388_608\nmax_archive_ratio = 0\n")
    settings(WINDLASS_PROFILES=profiles)
    asset = processed(samples.gzip_bomb(64), "bomb.gz")
    assert (asset.status, asset.rejection["rule"]) == (FileStatus.REJECTED, "unpacked-size")
    assert asset.extra_attributes["unpacked_size_is"] == "at least"
    assert 8 * 2**20 < asset.extra_attributes["unpacked_size"] < 10 * 2**20


def test_a_message_has_its_facts_and_its_text() -> None:
    asset = processed(samples.email(), "a.eml")
    facts = {
        "title": "Größe und Tiefe \N{ANCHOR}",
        "author": "Fay Fathom <fay@example.org>",
        "recipients": 3,
        "date": "2024-05-06T08:00:00+00:00",
        "attachments": 2,
        "attachment_names": ["Größe.pdf", "note.txt"],
    }
    assert (asset.mime_type, asset.status) == ("message/rfc822", READY)
    assert {name: asset.extra_attributes.get(name) for name in facts} == facts
    assert text_of(asset) == "The sea is déép.\n\n"
    assert text_of(processed(samples.email(html_only=True), "b.eml")) == "Only markup.\n\n"


PAGE = """<!DOCTYPE html><html lang="de-AT"><head><title>A &amp; B</title><style>p{}</style></head><body><p>one<br>two
<b>bold</b></p><script>alert("</p>")</script><!-- no --><table><tr><td title=">">1</td><td>2</td></tr></table></body>"""


@pytest.mark.parametrize(
    ("content", "filename", "facts", "text"),
    [
        (
            "don\u2019t stop \u2014 naïve 你好\r\n".encode(),
            "a.txt",
            {"encoding": "utf-8", "words": 5, "lines": 1, "characters": 23, "longest_line": 21, "newline": "CRLF"},
            "don\u2019t stop \u2014 naïve 你好\n",
        ),
        (
            "日本語のテキスト\n".encode("shift_jis") * 20,
            "b.txt",
            {"encoding": "cp932", "lines": 20, "words": 160},
            None,
        ),
        (
            "été à la plage\n".encode("utf-16"),
            "c.txt",
            {"encoding": "utf-16", "bom": True, "words": 4},
            "été à la plage\n",
        ),
        (
            "L\u2019été dernier, nous étions à la plage où il faisait très chaud.\n".encode("cp1252"),
            "d.txt",
            {"encoding": "cp1252"},
            "L\u2019été dernier, nous étions à la plage où il faisait très chaud.\n",
        ),
        (
            b'name;age\nAda;36\n"B\nC";7\n',
            "a.csv",
            {"delimiter": ";", "columns": 2, "rows": 2, "header": ["name", "age"], "consistent": True, "lines": 4},
            'name;age\nAda;36\n"B\nC";7\n',
        ),
        (b"1,2\n3,4\n5\n", "b.csv", {"delimiter": ",", "rows": 3, "header": None, "consistent": False}, None),
        (
            b'{"a": [1, {"b": null}], "c\\u00e9": "\\n"}',
            "a.json",
            {"json_valid": True, "json_kind": "object", "json_keys": ["a", "cé"], "json_items": 2, "json_depth": 3},
            None,
        ),
        (
            b'{"a": [1,\n 2}',
            "b.json",
            {
                "json_valid": False,
                "json_error": {
                    "line": 2,
                    "column": 3,
                    "detail": "} stands where a comma or the end was expected.",
                },
            },
            None,
        ),
        (b'{"a":1}\n{"a":2}\n', "a.ndjson", {"json_valid": True, "json_kind": "lines", "json_items": 2}, None),
        (PAGE.encode(), "a.html", {"title": "A & B", "language": "de-AT"}, "A & B\n\none\ntwo bold\n\n1\t2\n\n"),
        (b'<?xml version="1.0"?>\n<a><b>one</b><b>two &amp; 3</b></a>', "a.xml", {"words": 5}, "one\n\ntwo & 3\n\n"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 9 else "",
)
def test_a_text_has_its_facts_and_its_text(
    content: bytes, filename: str, facts: dict[str, Any], text: str | None
) -> None:
    asset = processed(content, filename)
    assert asset.status == READY
    assert {name: asset.extra_attributes.get(name) for name in facts} == facts
    assert text is None or text_of(asset) == text


HOSTILE = [
    (samples.docx_bomb(200), "bomb.docx", "text", StepState.FAILED, "A part of"),
    (samples.laughing_xlsx(), "laugh.xlsx", "text", StepState.FAILED, "declares entities, which are never expanded"),
    (b"[" * 2_000_000, "deep.json", "text_facts", StepState.DONE, "us-ascii"),
    (b"a," * 1_000_000 + b"a\n" + b"1," * 1_000_000 + b"1\n", "wide.csv", "text_facts", StepState.DONE, "2 lines"),
    (b'a,b\n"' + b"x" * 3_000_000, "open.csv", "text_facts", StepState.DONE, "2 lines"),
    (samples.crowded_email(), "crowd.eml", "email_facts", StepState.DONE, "at least 1999 attachments"),
    (b"<!DOCTYPE html><html>" + b'</a "' * 1_000_000, "tags.html", "text", StepState.DONE, "no text"),
    (b"{\\rtf1" + b"{" * 1_000_000 + b"x", "deep.rtf", "text", StepState.DONE, "no text"),
    (b" " * 4_000_000 + b"x", "spaces.txt", "text", StepState.DONE, "1 characters"),
    (plain.truncated(samples.docx()), "half.docx", "office_facts", StepState.FAILED, "its end is missing"),
    (plain.truncated(samples.doc(), 0.1), "half.doc", "office_facts", StepState.FAILED, "cannot be read"),
    (plain.truncated(samples.compressed("gz", bytes(9999))), "half.gz", "archive_facts", StepState.FAILED, "unpacked"),
    (samples.sevenzip()[:-5], "half.7z", "archive_facts", StepState.FAILED, "too early"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("without_limits")
@pytest.mark.parametrize(("content", "filename", "name", "state", "detail"), HOSTILE, ids=[case[1] for case in HOSTILE])
def test_a_hostile_file_becomes_ready_with_a_reason_in_little_memory(
    settings: Any, content: bytes, filename: str, name: str, state: StepState, detail: str
) -> None:
    """The sandbox itself has taken some of the address space: what is left to the step is a fraction of the default."""
    settings(STEP_MEMORY_MB=900, JOB_MAX_ATTEMPTS=1)
    asset = processed(content, filename)
    assert (asset.status, asset.message) == (READY, "")
    ended = step(asset, name)
    assert (ended.state, detail in ended.detail) == (state, True), ended.detail


@pytest.mark.slow
def test_flaws_of_hostile_texts_are_facts() -> None:
    deep = processed(b"[" * 100_000, "deep.json").extra_attributes
    assert (deep["json_valid"], deep["json_depth"]) == (False, 100_000)
    wide = processed(b"a," * 1_000_000 + b"a\n", "wide.csv").extra_attributes
    assert (wide["columns"], len(wide.get("header", []))) == (1_000_001, 0)
    assert processed(b'a,b\n"' + b"x" * 3_000_000, "open.csv").extra_attributes["consistent"] is False


@pytest.mark.slow
def test_long_text_is_truncated_and_marked() -> None:
    asset = processed(b"haul away\n" * 2_000_000, "long.txt")
    assert asset.extra_attributes["text_cut"] == "cut at 16 MiB"
    assert asset.renditions.get(name="text").size == 16 * 2**20


def test_a_profile_may_disable_text_extraction(settings: Any, tmp_path: Any) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[default]\ntext = false\n")
    settings(WINDLASS_PROFILES=profiles)
    asset = processed(b"haul away\n", "a.txt")
    assert (asset.status, text_of(asset), asset.steps.filter(step="text").count()) == (READY, None, 0)


@pytest.fixture
def with_ocr(settings: Any, tmp_path: Any) -> None:
    require(importlib.util.find_spec("rapidocr"), "windlass[ocr] is not installed")
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[default]\nocr = true\n")
    settings(WINDLASS_PROFILES=profiles)


@pytest.mark.slow
@pytest.mark.usefixtures("with_ocr")
def test_text_in_pictures_and_scans_is_recognized() -> None:
    picture = processed(samples.picture_of_text(), "note.png")
    assert step(picture, "ocr").state == StepState.DONE, step(picture, "ocr").detail
    assert text_of(picture) == "Haul away, haul away\nTotal 1234 EUR\n\n"
    assert picture.extra_attributes["ocr_pages"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("with_ocr")
def test_only_pdf_pages_without_text_are_recognized() -> None:
    mixed = processed(samples.scanned_pdf(first_page="Typed page"), "mixed.pdf")
    assert text_of(mixed) == "Typed page\n\n\fHaul away, haul away\nTotal 1234 EUR\n\n"
    assert (mixed.page_count, mixed.extra_attributes["ocr_pages"]) == (2, 1)
    typed = processed(samples.text_pdf("Typed"), "typed.pdf")
    assert (step(typed, "ocr").detail, text_of(typed)) == ("Every page has text already.", "Typed\n\n")


@pytest.mark.slow
@pytest.mark.parametrize("environment", [ENVIRONMENT, {"OMP_NUM_THREADS": "1"}], ids=["sandbox", "elsewhere"])
def test_importing_ocr_sends_no_telemetry_and_starts_no_thread(tmp_path: Any, environment: dict[str, str]) -> None:
    """Its runtime would, from its import on; and a fork of a process with threads may hang."""
    require(importlib.util.find_spec("onnxruntime"), "windlass[ocr] is not installed")
    load = f"import importlib, os; [importlib.import_module(name) for name in {Ocr.about.libraries!r}]; "
    look = load + "print(len(os.listdir('/proc/self/task')))"
    home = {**environment, "HOME": str(tmp_path)}
    seen = subprocess.run([sys.executable, "-c", look], env=home, capture_output=True, text=True, check=True)
    assert (seen.stdout.strip(), list(tmp_path.iterdir())) == ("1", [])
