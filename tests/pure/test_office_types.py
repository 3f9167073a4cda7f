"""Office files and other packages: the main part or the root entry decides the type, not the names in the file."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from tests import samples
from tests.minimal_files import KINDS, cfb, zipped
from tests.pure.test_type_detection import detected, verdict

OOXML = "application/vnd.openxmlformats-officedocument"
_TRANSITIONAL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STRICT = "http://purl.oclc.org/ooxml/officeDocument/relationships"

#: Ending, main part, content type of the main part, type of the file.
PACKAGES = [
    ("docx", "word/document.xml", f"{OOXML}.wordprocessingml.document.main+xml", f"{OOXML}.wordprocessingml.document"),
    ("dotx", "word/document.xml", f"{OOXML}.wordprocessingml.template.main+xml", f"{OOXML}.wordprocessingml.template"),
    ("xlsx", "xl/workbook.xml", f"{OOXML}.spreadsheetml.sheet.main+xml", f"{OOXML}.spreadsheetml.sheet"),
    ("xltx", "xl/workbook.xml", f"{OOXML}.spreadsheetml.template.main+xml", f"{OOXML}.spreadsheetml.template"),
    (
        "pptx",
        "ppt/presentation.xml",
        f"{OOXML}.presentationml.presentation.main+xml",
        f"{OOXML}.presentationml.presentation",
    ),
    ("potx", "ppt/presentation.xml", f"{OOXML}.presentationml.template.main+xml", f"{OOXML}.presentationml.template"),
    ("ppsx", "ppt/presentation.xml", f"{OOXML}.presentationml.slideshow.main+xml", f"{OOXML}.presentationml.slideshow"),
] + [
    (ending, part, f"application/vnd.ms-{main}", f"application/vnd.ms-{kind}.macroenabled.12")
    for ending, part, main, kind in (
        ("docm", "word/document.xml", "word.document.macroEnabled.main+xml", "word.document"),
        ("dotm", "word/document.xml", "word.template.macroEnabledTemplate.main+xml", "word.template"),
        ("xlsm", "xl/workbook.xml", "excel.sheet.macroEnabled.main+xml", "excel.sheet"),
        ("xltm", "xl/workbook.xml", "excel.template.macroEnabled.main+xml", "excel.template"),
        ("xlam", "xl/workbook.xml", "excel.addin.macroEnabled.main+xml", "excel.addin"),
        ("xlsb", "xl/workbook.bin", "excel.sheet.binary.macroEnabled.main", "excel.sheet.binary"),
        ("pptm", "ppt/presentation.xml", "powerpoint.presentation.macroEnabled.main+xml", "powerpoint.presentation"),
        ("potm", "ppt/presentation.xml", "powerpoint.template.macroEnabled.main+xml", "powerpoint.template"),
        ("ppsm", "ppt/presentation.xml", "powerpoint.slideshow.macroEnabled.main+xml", "powerpoint.slideshow"),
        ("ppam", "ppt/presentation.xml", "powerpoint.addin.macroEnabled.main+xml", "powerpoint.addin"),
    )
]


def package(
    part: str,
    content_type: str,
    *,
    strict: bool = False,
    default: bool = False,
    encoding: str = "utf-8",
    kind: str = "officeDocument",
    target: str = "",
    first: str = "docProps/app.xml",
) -> bytes:
    """A package of Open Packaging with one main part. ``default``: its content type is that of its ending."""
    namespace = "http://schemas.openxmlformats.org/package/2006"
    row = f'<Override PartName="/{part}" ContentType="{content_type}"/>'
    if default:
        row = f'<Default Extension="{part.rpartition(".")[2]}" ContentType="{content_type}"/>'
    types = f'<?xml version="1.0" encoding="{encoding}"?><Types xmlns="{namespace}/content-types">{row}</Types>'
    base = _STRICT if strict else _TRANSITIONAL
    relationship = f'<Relationship Id="r1" Type="{base}/{kind}" Target="{target or part}"/>'
    relationships = (
        f'<?xml version="1.0" encoding="{encoding}"?>'
        f'<Relationships xmlns="{namespace}/relationships">{relationship}</Relationships>'
    )
    return zipped(
        (first, "<x/>"),
        (part, "<x/>"),
        ("_rels/.rels", relationships.encode(encoding)),
        ("[Content_Types].xml", types.encode(encoding)),
    )


@pytest.mark.parametrize(("ending", "part", "content_type", "kind"), PACKAGES, ids=[each[0] for each in PACKAGES])
def test_the_content_type_of_the_main_part_decides(ending: str, part: str, content_type: str, kind: str) -> None:
    folder, name = part.split("/")
    contents = {
        "usual": package(part, content_type),
        "strict": package(part, content_type, strict=True),
        "by its ending": package(part, content_type, default=True),
        "utf-16": package(part, content_type, encoding="utf-16"),
        "other name": package(f"{folder}/main2.{name[-3:]}", content_type),
        "other folder": package(f"content/{name}", content_type),
        "absolute": package(part, content_type, target=f"/{part}"),
        "other case": package(part, content_type).replace(part.encode(), part.title().encode()),
        "trash first": package(part, content_type, first="[trash]/0000.dat"),
        "long": package(part, content_type, first="a" * 3000),
    }
    for content in contents.values():
        assert detected(content, f"a.{ending}").facts["mime_type"] == kind
        assert detected(content, "unnamed").facts["mime_type"] == kind
        assert verdict(content, f"a.{ending}", declared_mime_type=kind) is None
        assert verdict(content, f"a.{ending}", declared_mime_type="application/vnd.ms-office") is None
        assert verdict(content, "a.pdf") is not None


def test_entries_with_backslashes_are_parts() -> None:
    content = package("word/document.xml", f"{OOXML}.wordprocessingml.document.main+xml")
    for name in (b"word/document.xml", b"_rels/.rels"):  # the names of entries alone
        for mark, length in ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46)):
            place = next(
                at for at in range(len(content)) if content[at : at + 4] == mark and name in content[at : at + 70]
            )
            at = content.index(name, place + length)
            content = content[:at] + name.replace(b"/", b"\\") + content[at + len(name) :]
    assert detected(content, "a").facts["mime_type"] == f"{OOXML}.wordprocessingml.document"


@pytest.mark.parametrize(
    "content",
    [
        zipped(("word/x.txt", "x")),
        zipped(("word/document.txt", "x"), ("[Content_Types].xml", "<Types/>")),
        zipped(("[Content_Types].xml", "<Types/>"), ("_rels/.rels", "<Relationships/>"), ("word/x.txt", "x")),
        zipped(("[Content_Types].xml", "<Types/>"), ("xl/x.txt", "x"), ("ppt/x.txt", "x")),
        zipped(("[Content_Types].xml", b"\0\1\2"), ("_rels/.rels", b"<!DOCTYPE x [<!ENTITY e 'x'>]><x>&e;</x>")),
    ],
)
def test_a_zip_with_an_office_folder_is_no_document(content: bytes) -> None:
    assert detected(content, "a.zip").facts["mime_type"] == "application/zip"
    assert verdict(content, "a.zip") is None


def test_a_document_with_macros_is_refused_under_the_name_of_one_without() -> None:
    content = package("word/document.xml", "application/vnd.ms-word.document.macroEnabled.main+xml")
    rejection = verdict(content, "a.docx")
    assert rejection is not None
    assert "Rename it to .docm, or send it to a profile with check_mismatch = false." in rejection.detail


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("WORDDOCUMENT",), "application/msword"),
        (("WorkBook",), "application/vnd.ms-excel"),
        (("BOOK",), "application/vnd.ms-excel"),
        (("powerpoint document",), "application/vnd.ms-powerpoint"),
        (("VisioDocument",), "application/vnd.visio"),
        (("Contents", "Quill"), "application/vnd.ms-publisher"),
        (("__nameid_version1.0", "__properties_version1.0"), "application/vnd.ms-outlook"),
        (("   114", "Props14"), "application/vnd.ms-project"),
        (("FileHeader", "DocInfo"), "application/x-hwp"),
        (("Catalog", "1", "2"), "application/x-ole-storage"),
    ],
)
def test_the_root_entry_of_a_compound_file_decides(names: tuple[str, ...], kind: str) -> None:
    content = cfb(*names)
    assert detected(content, "a").facts["mime_type"] == kind
    for declared in (kind, "application/vnd.ms-office", "application/x-ole-storage", "application/CDFV2"):
        assert verdict(content, "a", declared_mime_type=declared) is None


def embedding(outer: str, inner: str) -> bytes:
    """A compound file with a stream of one name in the root, and of another in a storage below it."""
    content = bytearray(cfb(inner, "MBD0018D4CE", outer))
    entries = 512 + 512
    link = struct.Struct("<3I")
    none = 0xFFFFFFFF
    content[entries + 2 * 128 + 66] = 1  # a storage
    link.pack_into(content, entries + 68, none, none, 3)
    link.pack_into(content, entries + 128 + 68, none, none, none)
    link.pack_into(content, entries + 2 * 128 + 68, none, none, 1)
    link.pack_into(content, entries + 3 * 128 + 68, 2, none, none)
    return bytes(content)


def test_an_embedded_document_does_not_decide_the_type() -> None:
    assert detected(embedding("Workbook", "WordDocument"), "a.xls").facts["mime_type"] == "application/vnd.ms-excel"
    assert detected(embedding("WordDocument", "Workbook"), "a.doc").facts["mime_type"] == "application/msword"
    assert detected(embedding("Other", "WordDocument"), "a").facts["mime_type"] == "application/x-ole-storage"


def test_an_installer_is_recognized_by_its_class_id() -> None:
    content = bytearray(cfb("\u4840\u3f3f", "Other"))
    content[1024 + 80 : 1024 + 96] = bytes.fromhex("84100c0000000000c000000000000046")
    assert detected(bytes(content), "a.msi").facts["mime_type"] == "application/x-msi"
    assert verdict(bytes(content), "a.msi", declared_mime_type="application/x-msdownload") is None


@pytest.mark.parametrize("kind", ["text", "text-template", "spreadsheet-template", "presentation-template", "formula"])
def test_an_opendocument_has_the_type_of_its_mimetype_entry(kind: str) -> None:
    content = zipped(("mimetype", f"application/vnd.oasis.opendocument.{kind}"), ("content.xml", "<x/>"), deflate=False)
    assert detected(content, "a").facts["mime_type"] == f"application/vnd.oasis.opendocument.{kind}"


@pytest.mark.parametrize(
    "declared",
    ["model/3mf", "application/vnd.ms-3mfdocument", "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"],
)
def test_a_3mf_model_is_recognized(declared: str) -> None:
    content_type = "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
    for part in ("3D/3dmodel.model", "3D/part.model"):
        content = package(part, content_type, default=True, kind="../../3dmanufacturing/2013/01/3dmodel")
        assert detected(content, "a").facts["mime_type"] == "model/3mf"
        assert verdict(content, "a.3mf", declared_mime_type=declared) is None


@pytest.mark.parametrize(
    "before", [b"\0\1\2\3", b"#!/usr/bin/env python3\n", b"Haul away.\n", bytes(5000), b"\xca\xfe\xba\xbe"]
)
def test_a_zip_file_with_leading_bytes_is_a_zip_file(before: bytes) -> None:
    out = io.BytesIO()
    out.write(before)
    with zipfile.ZipFile(out, "a") as made:
        made.writestr("a.txt", "Haul away.")
    for content in (out.getvalue(), before + samples.archive()):
        assert detected(content, "a.zip").facts["mime_type"] == "application/zip"
        assert verdict(content, "a.zip", declared_mime_type="application/zip") is None
    assert verdict(before + KINDS["a.jar"].make(), "a.jar") is None


def test_an_empty_zip_file_is_a_zip_file() -> None:
    assert detected(b"PK\5\6" + bytes(18), "a.zip").facts["mime_type"] == "application/zip"
