"""Which claims a content contradicts: the matrix of ASVS 5.2.2."""

from __future__ import annotations

import pytest

from windlass.kernel import media_type_tables
from windlass.kernel.filenames import extension
from windlass.kernel.media_type_aliases import ALIAS_SOURCES, ALIASES
from windlass.kernel.media_types import (
    canonical,
    contradicts,
    declaration_contradicts,
    matches,
    of_filename,
    usual_extension,
)

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("claimed", "found"),
    [
        ("image/jpeg", "text/html"),
        ("image/jpeg", "image/png"),
        ("image/png", "application/octet-stream"),
        ("application/pdf", "text/plain"),
        ("application/pdf", "application/x-dosexec"),
        ("text/plain", "application/zip"),
        ("text/html", "image/jpeg"),
        ("video/mp4", "text/html"),
        ("audio/mpeg", "application/pdf"),
        (DOCX, "application/pdf"),
        (DOCX, XLSX),
        (DOCX, "application/octet-stream"),
        ("font/woff2", "text/html"),
        ("model/stl", "image/png"),
        ("text/csv", "application/x-dosexec"),
        ("image/jpeg; charset=utf-8", "image/gif"),
    ],
)
def test_a_claimed_type_contradicts_the_detected_one(claimed: str, found: str) -> None:
    assert contradicts(claimed, found)


@pytest.mark.parametrize(
    ("claimed", "found"),
    [
        ("", "image/jpeg"),
        ("application/octet-stream", "text/html"),
        ("image/jpeg", "application/x-empty"),
        ("image/jpg", "image/jpeg"),
        ("IMAGE/JPEG", "image/jpeg"),
        ("audio/wav", "audio/x-wav"),
        ("audio/vnd.wave", "audio/x-wav"),
        (DOCX, "application/zip"),
        ("application/zip", DOCX),
        ("application/epub+zip", "application/zip"),
        ("application/java-archive", "application/zip"),
        ("application/vnd.android.package-archive", "application/zip"),
        ("application/vnd.oasis.opendocument.text", "application/zip"),
        ("application/msword", "application/x-ole-storage"),
        ("application/msword", "application/CDFV2"),
        ("text/csv", "text/plain"),
        ("text/markdown", "text/html"),
        ("text/plain", "text/x-python"),
        ("application/json", "text/plain"),
        ("text/javascript", "application/javascript"),
        ("image/svg+xml", "text/xml"),
        ("image/svg+xml", "application/gzip"),
        ("application/gzip", "application/x-gtar"),
        ("video/mp4", "video/quicktime"),
        ("audio/mp4", "video/mp4"),
        ("audio/ogg", "application/ogg"),
        ("video/x-matroska", "video/webm"),
        ("application/vnd.ms-excel", "text/csv"),
        ("text/plain", "application/octet-stream"),
        ("model/stl", "application/octet-stream"),
        ("application/vnd.ms-pki.stl", "text/plain"),
        ("application/acad", "image/vnd.dwg"),
        ("application/x-font-ttf", "font/sfnt"),
        ("application/vnd.ms-excel", "text/html"),
        ("application/msword", "application/rtf"),
        ("audio/mpeg", "application/octet-stream"),
        ("application/x-of-our-house", "image/png"),
        ("text/plain", "application/x-of-some-house"),
    ],
)
def test_a_claimed_type_agrees_with_the_detected_one(claimed: str, found: str) -> None:
    assert not contradicts(claimed, found)


@pytest.mark.parametrize(
    ("name", "ending", "claimed"),
    [
        ("a.JPG", "jpg", "image/jpeg"),
        ("archive.tar.gz", "gz", "application/gzip"),
        (".profile", "", None),
        ("README", "", None),
        ("model.house", "house", None),
    ],
)
def test_the_type_that_a_name_claims(name: str, ending: str, claimed: str | None) -> None:
    assert (extension(name), of_filename(name)) == (ending, claimed)


def test_patterns_match_every_alias() -> None:
    assert matches("audio/wav", ["audio/x-wav"])
    assert matches("audio/x-wav", ["audio/wav"])
    assert matches("image/png", ["image/*"])
    assert not matches("image/png", ["video/*", "image/jpeg"])
    assert canonical("Image/JPG; q=1") == "image/jpeg"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image/x-portable-greymap", "image/x-portable-graymap"),
        ("application/x-eps", "application/postscript"),
        ("image/x-eps", "application/postscript"),
        ("application/x-postscript", "application/postscript"),
        ("image/x-jpg", "image/jpeg"),
        ("IMAGE/PJPEG", "image/jpeg"),
        ("text/pdf", "application/pdf"),
        ("application/vnd.ms-3mfdocument", "model/3mf"),
        ("application/vnd.ms-package.3dmanufacturing-3dmodel+xml", "model/3mf"),
        ("image/dng", "image/x-adobe-dng"),
        ("application/x-zip-compressed", "application/zip"),
        ("application/msproject", "application/vnd.ms-project"),
        ("video/vnd.dlna.mpeg-tts", "video/mp2t"),
    ],
)
def test_an_alias_is_equal_to_its_type(name: str, kind: str) -> None:
    assert canonical(name) == kind
    assert not contradicts(name, kind)
    assert matches(kind, [name])
    assert matches(name, [kind])


def test_the_table_of_aliases_is_unambiguous_and_sorted() -> None:
    names = [name for _, _, names in ALIAS_SOURCES for name in names.split()]
    assert len(names) == len(set(names)) == len(ALIASES)
    assert not set(names) & {kind for kind, _, _ in ALIAS_SOURCES}
    assert all(source for _, source, _ in ALIAS_SOURCES)
    assert [*ALIAS_SOURCES] == sorted(ALIAS_SOURCES)
    in_tables = {
        *media_type_tables.SIGNED,
        *media_type_tables.TEXT,
        *media_type_tables.CONTAINERS,
        *media_type_tables.ALTERNATIVE_CONTENT,
    }
    assert not (in_tables | set(media_type_tables.EXTENSIONS.values())) & ALIASES.keys()


@pytest.mark.parametrize(
    ("declared", "filename", "found"),
    [
        ("text/plain", "x.txt.gz", "application/gzip"),
        ("application/json", "x.json.bz2", "application/x-bzip2"),
        ("text/csv", "x.csv.xz", "application/x-xz"),
        ("image/jpeg", "x.jpg.zst", "application/zstd"),
        ("application/pdf", "x.pdf.br", "application/octet-stream"),
        ("application/x-tar", "x.tar.xz", "application/x-xz"),
        ("application/x-troff-man", "x.1.gz", "application/gzip"),
        ("video/mp2t", "index.ts", "text/plain"),
        ("video/vnd.dlna.mpeg-tts", "index.d.ts", "text/x-java"),
        ("model/vnd.mts", "index.d.mts", "text/plain"),
        ("application/x-msdownload", "run.bat", "text/x-msdos-batch"),
        ("application/x-msdownload", "setup.msi", "application/x-msi"),
        ("application/vnd.ms-powerpoint", "de.pot", "text/x-gettext-translation"),
        ("text/plain", "slides.pot", "application/vnd.ms-powerpoint"),
        ("text/vnd.graphviz", "letter.dot", "application/msword"),
        ("application/msword", "graph.dot", "text/vnd.graphviz"),
        ("text/vnd.trolltech.linguist", "film.ts", "video/mp2t"),
        ("audio/aac", "film.ass", "text/x-ssa"),
        ("text/vnd.dvb.subtitle", "film.sub", "video/mpeg"),
        ("application/vnd.ms-visio.drawing.main+xml", "a.vsdx", "application/vnd.ms-visio.drawing"),
        ("application/vnd.ms-publisher", "key.pub", "text/plain"),
        ("application/vnd.apple.keynote", "server.key", "text/plain"),
        ("image/x-panasonic-rw", "a.raw", "text/plain"),
        ("application/msword", "a.docx", DOCX),
        ("application/vnd.ms-excel", "a.xlsx", XLSX),
        ("application/vnd.ms-office", "a.doc", "application/msword"),
        ("application/postscript", "a.ai", "application/pdf"),
        ("image/x-icon", "favicon.ico", "image/png"),
        ("image/x-win-bitmap", "a.cur", "image/vnd.microsoft.icon"),
        ("application/vnd.comicbook-rar", "a.cbr", "application/zip"),
        ("text/plain", "a.ps", "application/postscript"),
    ],
)
def test_a_declared_type_derived_from_the_name_is_no_contradiction(declared: str, filename: str, found: str) -> None:
    assert not declaration_contradicts(declared, filename, found)


@pytest.mark.parametrize(
    ("declared", "filename", "found"),
    [
        ("image/png", "x.gz", "application/gzip"),
        ("image/png", "x.txt.gz", "application/gzip"),
        ("text/plain", "x.txt.gz", "application/zip"),
        ("image/png", "x.png.gz", "image/jpeg"),
        ("application/x-msdownload", "run.png", "image/png"),
        ("image/x-icon", "favicon.ico", "text/html"),
        ("application/postscript", "a.ps", "text/html"),
        ("application/vnd.ms-powerpoint", "a.ppt", "text/html"),
    ],
)
def test_another_declared_type_is_a_contradiction(declared: str, filename: str, found: str) -> None:
    assert declaration_contradicts(declared, filename, found)


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("image/heic", "heic"), ("image/jpeg", "jpg"), ("image/x-png", "png"), ("text/html", "html"), ("x/y", None)],
)
def test_the_usual_extension_of_a_type(kind: str, ending: str | None) -> None:
    assert usual_extension(kind) == ending


def test_every_usual_extension_claims_its_type() -> None:
    for kind, ending in media_type_tables.USUAL_EXTENSIONS.items():
        assert of_filename(f"a.{ending}") == kind or ending == "ts"
