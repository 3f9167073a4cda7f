"""The detected type of every ordinary kind, and whether its name agrees: extension by content (ASVS 5.2.2)."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any

import pytest

from tests import samples
from tests.minimal_files import KINDS, Kind, cfb, ooxml, zipped
from windlass.processing.contract import Rejection, StepContext, StepResult
from windlass.processing.formats.documents import zip_types
from windlass.processing.steps.type import Type
from windlass.processing.steps.type_rules import TypeRules

PROFILE: dict[str, Any] = {
    "blocked_mime_types": (),
    "allowed_mime_types": (),
    "allowed_extensions": (),
    "check_mismatch": True,
}
PROGRAM = b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0\x64\x86\2\0" + bytes(14) + b"\xf0\0\x22\0\x0b\2" + bytes(300)


def detected(content: bytes, filename: str, **more: Any) -> StepResult:
    facts = {"filename": filename, "size": len(content)} | more
    return Type().run(StepContext(io.BytesIO(content), facts, {}))


def verdict(content: bytes, filename: str, profile: dict[str, Any] | None = None, **more: Any) -> Rejection | None:
    facts = {"filename": filename, "size": len(content)} | more
    facts |= detected(content, filename, **more).facts
    found = TypeRules().run(StepContext(io.BytesIO(), facts, PROFILE | (profile or {}))).verdict
    assert found is None or isinstance(found, Rejection)
    return found


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_an_ordinary_file_is_recognized_and_accepted(kind: Kind) -> None:
    content = kind.make()
    assert detected(content, kind.filename).facts["mime_type"] == kind.mime_type
    assert verdict(content, kind.filename) is None
    assert verdict(content, kind.filename, declared_mime_type=kind.mime_type) is None


#: Kinds that the name alone tells from a plain text, or that a text may be called.
TEXTS = {kind.filename for kind in KINDS.values() if kind.make().isascii() or not kind.make()}
SIGNED = sorted(
    set(KINDS)
    - TEXTS
    - {"a.bin", "a.stl", "a.db", "a.aac", "a.ts", "a.mp3", "a.ogg", "a.opus", "a.wmv", "a.wma", "a.mpg", "a.svgz"}
)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("content", [samples.html(), PROGRAM, b"Haul away.\n" * 9], ids=["page", "program", "text"])
def test_a_misleading_name_is_refused(name: str, content: bytes) -> None:
    if name in ("a.doc", "a.xls") and content != PROGRAM:
        return  # Word and Excel take pages and texts under these
    if name == "a.msg" and content.startswith(b"Haul"):
        return  # catalogues of messages end so too
    rejection = verdict(content, name)
    assert rejection is not None
    assert rejection.rule == "type-mismatch"


@pytest.mark.parametrize("name", sorted(set(KINDS) - TEXTS - {"a.bin"}))
def test_a_binary_file_named_as_text_is_refused(name: str) -> None:
    rejection = verdict(KINDS[name].make(), "readme.txt")
    assert rejection is not None or name == "a.stl"


@pytest.mark.parametrize(
    ("filename", "declared", "mime_type"),
    [
        ("table", "text/csv", "text/csv"),
        ("table", "application/json", "application/json"),
        ("table", "image/svg+xml", "text/plain"),
        ("table.csv", "text/markdown", "text/csv"),
        ("table.jpg", None, "text/plain"),
        ("table.pdf", "text/markdown", "text/markdown"),
        ("table.svg", None, "text/plain"),
    ],
)
def test_plain_text_has_the_type_of_its_name_or_declaration(
    filename: str, declared: str | None, mime_type: str
) -> None:
    assert detected(b"one\ntwo\n", filename, declared_mime_type=declared).facts["mime_type"] == mime_type


def test_html_is_html_whatever_its_name() -> None:
    assert detected(samples.html(), "notes.md").facts["mime_type"] == "text/html"


def test_audio_alone_in_a_video_container_is_audio() -> None:
    assert detected(samples.sound("webm", "libopus"), "voice.webm").facts["mime_type"] == "audio/webm"
    assert detected(samples.webm(), "voice.webm").facts["mime_type"] == "video/webm"


def test_the_zip_directory_at_the_end_of_a_long_file_is_found() -> None:
    content = zipped(
        ("word/media/image1.png", bytes(3_000_000)),
        ("word/document.xml", "<x/>"),
        ("[Content_Types].xml", "<T/>"),
        deflate=False,
    )
    assert detected(content, "a").facts["mime_type"].endswith("wordprocessingml.document")


@pytest.mark.parametrize("said", ["application/epub+zip<", "application/vnd.oasis.opendocument.\0text", "text/html"])
def test_an_arbitrary_mimetype_entry_of_a_zip_file_is_ignored(said: str) -> None:
    content = zipped(("mimetype", said), ("content.xml", "<a/>"), deflate=False)
    assert zip_types.kinds(io.BytesIO(content)) == ["application/zip"]


def test_a_damaged_zip_file_is_a_zip_file() -> None:
    content = ooxml("word", "document")()
    assert detected(content[:-30], "a.zip").facts["mime_type"] == "application/zip"
    assert zip_types.kinds(io.BytesIO(content[:-30])) == []
    for place in range(0, len(content), 7):
        broken = content[:place] + b"\xff" + content[place + 1 :]
        assert "/" in detected(broken, "a").facts["mime_type"]


def test_an_encrypted_document_has_the_type_of_its_name() -> None:
    locked = cfb("EncryptionInfo", "EncryptedPackage")
    assert detected(locked, "a.bin").facts["mime_type"] in ("application/encrypted", "application/x-ole-storage")
    assert detected(cfb("WordDocument"), "a.docx").facts["mime_type"] == "application/msword"
    assert verdict(cfb("WordDocument"), "a.docx") is not None


def test_a_document_with_macros_is_refused_under_the_name_of_one_without() -> None:
    rejection = verdict(KINDS["a.docm"].make(), "a.docx")
    assert rejection is not None
    assert rejection.rule == "type-mismatch"


PICTURE_AND_JAR = samples.gif() + KINDS["a.jar"].make()


def test_a_picture_with_an_appended_program_is_both() -> None:
    result = detected(PICTURE_AND_JAR, "a.gif")
    assert (result.facts["mime_type"], result.facts["also"]) == ("image/gif", ["application/java-archive"])
    assert verdict(PICTURE_AND_JAR, "a.gif") is None
    rejection = verdict(PICTURE_AND_JAR, "a.jar")
    assert rejection is not None
    assert (rejection.rule, rejection.actual) == ("type-mismatch", "image/gif")


@pytest.mark.parametrize(
    ("profile", "rule"),
    [
        ({"allowed_mime_types": ("image/*",)}, "type-not-allowed"),
        ({"blocked_mime_types": ("application/java-archive",)}, "type-blocked"),
    ],
)
def test_rules_apply_to_every_type_of_a_polyglot(profile: dict[str, Any], rule: str) -> None:
    rejection = verdict(PICTURE_AND_JAR, "a.gif", profile)
    assert rejection is not None
    assert (rejection.rule, rejection.actual) == (rule, "application/java-archive")
    assert verdict(samples.gif(), "a.gif", profile) is None


def test_embedded_zip_and_pdf_files_are_further_types() -> None:
    assert detected(samples.pdf() + samples.archive(), "a.pdf").facts["also"] == ["application/zip"]
    inside = samples.png()[:33] + b"%PDF-1.4\n" + samples.png()[33:]
    assert detected(inside, "a.png").facts["also"] == ["application/pdf"]
    assert "also" not in detected(samples.pdf(), "a.pdf").facts


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("a.csv", "application/vnd.ms-excel"),
        ("a.tsv", "application/vnd.ms-excel"),
        ("a.zip", "application/x-zip-compressed"),
        ("a.docx", "application/zip"),
        ("a.docx", "application/octet-stream"),
        ("a.msg", "application/vnd.ms-outlook"),
        ("a.js", "application/x-javascript"),
        ("a.tar.gz", "application/x-gzip"),
        ("a.tgz", "application/x-compressed"),
        ("a.rar", "application/x-rar-compressed"),
        ("a.ico", "image/x-icon"),
        ("a.bmp", "image/x-ms-bmp"),
        ("a.psd", "image/x-photoshop"),
        ("a.dwg", "application/acad"),
        ("a.dxf", "image/x-dxf"),
        ("a.stl", "application/vnd.ms-pki.stl"),
        ("ascii.stl", "application/sla"),
        ("a.obj", "application/x-tgif"),
        ("a.heic", "image/heif"),
        ("a.wav", "audio/vnd.wave"),
        ("a.m4a", "audio/x-m4a"),
        ("a.m4a", "video/mp4"),
        ("a.mp3", "audio/mp3"),
        ("a.opus", "audio/ogg"),
        ("a.ogg", "video/ogg"),
        ("a.mkv", "video/webm"),
        ("a.avi", "video/avi"),
        ("a.wmv", "video/x-ms-wmv"),
        ("a.mov", "video/mp4"),
        ("a.ts", "video/vnd.dlna.mpeg-tts"),
        ("a.3gp", "audio/3gpp"),
        ("a.ttf", "application/x-font-ttf"),
        ("a.otf", "application/vnd.ms-opentype"),
        ("a.woff", "application/font-woff"),
        ("a.xml", "application/xml"),
        ("a.svg", "application/xml"),
        ("a.md", "text/x-markdown"),
        ("a.yaml", "application/x-yaml"),
        ("a.ndjson", "application/jsonl"),
        ("a.vcf", "text/x-vcard"),
        ("a.py", "text/x-script.python"),
        ("a.eml", "text/plain"),
        ("a.sqlite", "application/x-sqlite3"),
    ],
)
def test_types_declared_by_browsers_are_no_contradiction(name: str, declared: str) -> None:
    assert verdict(KINDS[name].make(), name, declared_mime_type=declared) is None


@pytest.mark.parametrize(
    ("content", "filename", "declared"),
    [
        (b"export const hauled: number = 1;\n", "a.ts", "video/mp2t"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a.m3u8", "application/vnd.apple.mpegurl"),
        (b"#VRML V2.0 utf8\nShape {}\n", "a.wrl", "model/vrml"),
        (b"<table><tr><td>1</td></tr></table>\n", "report.xls", "application/vnd.ms-excel"),
        (KINDS["a.rtf"].make(), "letter.doc", "application/msword"),
    ],
)
def test_texts_under_names_of_other_text_formats_are_accepted(content: bytes, filename: str, declared: str) -> None:
    assert verdict(content, filename, declared_mime_type=declared) is None


def test_many_comments_are_skipped_in_linear_time() -> None:
    """There is one way to read them: a search that tried every way would not end."""
    assert detected(b"<!-- -->" * 1000 + b"<p", "a.svg").facts["mime_type"] != "image/svg+xml"
    assert detected(b"<!-- -->" * 100 + b"<svg/>", "a.svg").facts["mime_type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"ITSF\3\0\0\0" + bytes(90), "application/vnd.ms-htmlhelp"),
        (b"MSCF\0\0\0\0" + bytes(30), "application/vnd.ms-cab-compressed"),
        (b"!BDN\0\1\2\3SM\x17\0" + bytes(500), "application/vnd.ms-outlook-pst"),
        (b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0" + bytes(20), "application/x-pcapng"),
        (b"\n\r\r\n\0\0\0\x1c\x1a\x2b\x3c\x4d\0\1\0\0" + bytes(20), "application/x-pcapng"),
        (b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(16), "application/vnd.tcpdump.pcap"),
        (b"\0\1\0\0Standard ACE DB\0" + bytes(100), "application/vnd.ms-access"),
        (bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(100), "application/onenote"),
        (b"\xdb\xa5\x2d\0" + bytes(100), "application/msword"),
        (b"\x09\4\6\0\0\0\x10\0\0\0", "application/vnd.ms-excel"),
        (b"II\x2b\0\x08\0\0\0\x10" + bytes(30), "image/tiff"),
        (b"8BPS\0\2" + bytes(30), "image/vnd.adobe.photoshop"),
        (b"\xff\x0a\xfa\x1f\1\0" + bytes(30), "image/jxl"),
        (b"AC1032\0\0\0\0\0" + bytes(100), "image/vnd.dwg"),
        (struct.pack("<II", 0x184D2A51, 4) + b"note" + bytes.fromhex("28b52ffd2400010000"), "application/zstd"),
        (b"ttcf\0\1\0\0\0\0\0\2" + bytes(30), "font/collection"),
        (b"\xc5\xd0\xd3\xc6" + bytes(28) + b"%!PS-Adobe-3.0 EPSF-3.0\n", "application/postscript"),
    ],
)
def test_formats_unknown_to_libmagic_are_recognized(content: bytes, kind: str) -> None:
    assert detected(content, "unnamed").facts["mime_type"] == kind
    assert verdict(content, "unnamed", declared_mime_type=kind) is None
    assert verdict(content, "a.png") is not None


@pytest.mark.parametrize(
    ("content", "name", "declared", "way_out"),
    [
        (samples.heic(), "a.jpg", None, "Rename it to .heic,"),
        (samples.pdf(), "a.txt", None, "Rename it to .pdf,"),
        (samples.png(), "a", "image/jpeg", "Declare image/png or no type,"),
        (hashlib.sha512(b"x").digest() * 4, "a.png", None, "Give it the name of what it is,"),
        (hashlib.sha512(b"x").digest() * 4, "a", "image/png", "Declare no type,"),
    ],
)
def test_a_refusal_names_the_way_out(content: bytes, name: str, declared: str | None, way_out: str) -> None:
    rejection = verdict(content, name, declared_mime_type=declared)
    assert rejection is not None
    assert rejection.detail.endswith(f"{way_out} or send it to a profile with check_mismatch = false.")
    assert verdict(content, name, {"check_mismatch": False}, declared_mime_type=declared) is None


def test_a_pdf_behind_a_macbinary_header_is_a_pdf() -> None:
    header = b"\0\x05a.pdf".ljust(65, b"\0") + b"PDF CARO".ljust(63, b"\0")
    for name in ("a.pdf", "a"):
        assert detected(header + samples.pdf(), name).facts["mime_type"] == "application/pdf"


def test_an_empty_tar_archive_is_accepted() -> None:
    assert verdict(bytes(10240), "empty.tar", declared_mime_type="application/x-tar") is None
