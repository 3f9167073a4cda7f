"""Which claims a content contradicts: the matrix of ASVS 5.2.2."""

from __future__ import annotations

import pytest

from windlass.kernel.media_types import canonical, contradicts, extension, matches, of_filename

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
def test_a_contradiction(claimed: str, found: str) -> None:
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
def test_no_contradiction(claimed: str, found: str) -> None:
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
def test_what_a_name_claims(name: str, ending: str, claimed: str | None) -> None:
    assert (extension(name), of_filename(name)) == (ending, claimed)


def test_patterns_match_every_spelling() -> None:
    assert matches("audio/wav", ["audio/x-wav"])
    assert matches("audio/x-wav", ["audio/wav"])
    assert matches("image/png", ["image/*"])
    assert not matches("image/png", ["video/*", "image/jpeg"])
    assert canonical("Image/JPG; q=1") == "image/jpeg"
