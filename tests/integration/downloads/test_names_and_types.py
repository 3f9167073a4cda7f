"""Names, types and security headers of downloads, and which files are served."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.integration.downloads.served_files import a_file, a_rendition, assert_safe_headers, path
from windlass.storage.registry import store


@pytest.mark.parametrize(
    "name",
    [
        'quo"te.txt',
        "semi;colon=.txt",
        "back\\slash.txt",
        "percent%41.txt",
        "cr\r\nSet-Cookie: x=1.txt",
        "nul\0.txt",
        "übergrößenträger €.txt",
        "日本語.txt",
        "gpj.\u202eexe",
        "'; drop.txt",
        "-",
        " ",
    ],
)
def test_asvs_5_4_2_hostile_filenames_are_encoded_in_content_disposition(client: httpx.Client, name: str) -> None:
    reply = client.get(path(a_file(b"x", original_filename=name)))
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    value = reply.headers["content-disposition"]
    plain = re.fullmatch(r'attachment; filename="([^"\\%;]*)"(?:; filename\*=UTF-8\'\'([\w.~%-]+))?', value)
    assert plain, value
    assert unquote(plain[2] if plain[2] else plain[1]) == name


@pytest.mark.parametrize(
    "mime_type", ["image/jpeg", "image/png", "image/webp", "video/mp4", "audio/mpeg", "text/plain"]
)
def test_harmless_types_are_inline(client: httpx.Client, mime_type: str) -> None:
    reply = client.get(path(a_file(b"x", mime_type=mime_type, original_filename="evil.html")))
    assert reply.headers["content-disposition"] == 'inline; filename="evil.html"'
    assert_safe_headers(reply, mime_type)


@pytest.mark.parametrize(
    "mime_type",
    [
        "text/html",
        "image/svg+xml",
        "application/pdf",
        "text/xml",
        "application/javascript",
        "audio/x-mpegurl",
        "text/plainer",
    ],
)
def test_active_types_are_attachments(client: httpx.Client, mime_type: str) -> None:
    reply = client.get(path(a_file(b"x", mime_type=mime_type)))
    assert reply.headers["content-disposition"] == 'attachment; filename="report.pdf"'
    assert_safe_headers(reply, mime_type)


def test_what_could_be_shown_is_an_attachment_on_request_and_nothing_can_be_made_inline(client: httpx.Client) -> None:
    shown, saved = a_file(b"x", mime_type="image/png"), "?disposition=attachment"
    assert client.get(path(shown) + saved).headers["content-disposition"] == 'attachment; filename="report.pdf"'
    a_rendition(shown)
    thumbnail = client.get(f"/files/{shown.id}/thumbnail{saved}")
    assert thumbnail.headers["content-disposition"].startswith("attachment; ")
    refused = client.get(path(shown) + "?disposition=inline")
    assert (refused.status_code, refused.json()["field"]) == (422, "disposition")


@pytest.mark.parametrize("parameter", ["filename=evil.html", "name=evil.html", "callback=evil", "download=evil.exe"])
def test_asvs_5_4_1_a_request_cannot_choose_the_name_of_a_download(client: httpx.Client, parameter: str) -> None:
    reply = client.get(f"{path(a_file(b'x'))}?{parameter}")
    assert reply.status_code == 422, "there is no such parameter"
    assert client.get(path(a_file(b"x"))).headers["content-disposition"] == 'attachment; filename="report.pdf"'


@pytest.mark.parametrize("mime_type", [None, "", "nonsense", "text/html\r\nx: y", "image/png; x=<script>"])
def test_an_invalid_type_is_octet_stream(client: httpx.Client, mime_type: str | None) -> None:
    """The declared type is never used."""
    reply = client.get(path(a_file(b"x", mime_type=mime_type, declared_mime_type="text/html")))
    assert reply.headers["content-disposition"].startswith("attachment")
    assert_safe_headers(reply, "application/octet-stream")


@pytest.mark.parametrize(
    ("mime_type", "facts", "sent"),
    [
        ("text/plain", {"encoding": "utf-8"}, "text/plain; charset=utf-8"),
        ("text/csv", {"encoding": "cp1252"}, "text/csv; charset=windows-1252"),
        ("text/plain", {"encoding": "cp932"}, "text/plain; charset=shift_jis"),
        ("text/plain", {"encoding": "utf-16-le"}, "text/plain; charset=utf-16le"),
        ("text/plain", {"encoding": "us-ascii"}, "text/plain; charset=us-ascii"),
        ("text/plain", {"encoding": "us-ascii", "counted_bytes": 67108864}, "text/plain; charset=utf-8"),
        ("text/plain", {"encoding": "cp850"}, "text/plain"),
        ("text/plain", {}, "text/plain"),
        ("text/html\r\nx: y", {"encoding": "utf-8"}, "application/octet-stream"),
        ("image/png", {"encoding": "utf-8"}, "image/png"),
    ],
)
def test_a_text_is_served_with_its_detected_encoding(
    client: httpx.Client, mime_type: str, facts: dict[str, Any], sent: str
) -> None:
    asset = a_file("Größe".encode(), mime_type=mime_type, extra_attributes=facts)
    assert client.get(path(asset)).headers["content-type"] == sent
    assert client.head(path(asset)).headers["content-type"] == sent


@pytest.mark.parametrize(
    ("values", "status", "problem"),
    [
        ({"status": "PENDING", "gate_passed": False}, 409, "not-ready"),
        ({"status": "PROCESSING", "gate_passed": False}, 409, "not-ready"),
        ({"status": "PROCESSING", "gate_passed": True}, 200, ""),
        ({"status": "READY", "gate_passed": True}, 200, ""),
        ({"status": "FAILED", "gate_passed": True}, 200, ""),
        ({"status": "FAILED", "gate_passed": False, "message": "scanner away"}, 409, "conflict"),
        (
            {"status": "REJECTED", "rejection": {"rule": "type", "detail": "HTML is refused."}},
            403,
            "file-refused",
        ),
        ({"status": "REJECTED", "gate_passed": False, "rejection": None}, 403, "file-refused"),
        ({"status": "QUARANTINED", "gate_passed": True}, 403, "file-refused"),
        ({"status": "RELEASED", "gate_passed": True}, 410, "file-released"),
    ],
)
def test_only_files_that_passed_the_gate_are_served(
    client: httpx.Client, values: dict[str, Any], status: int, problem: str
) -> None:
    asset = a_file(b"bytes", **values)
    a_rendition(asset)
    reply = client.get(path(asset))
    assert reply.status_code == status
    thumbnail = client.get(f"/files/{asset.id}/thumbnail")
    if not problem:
        assert (reply.content, thumbnail.content) == (b"bytes", b"picture")
        return
    assert reply.json()["type"] == f"/problems/{problem}"
    assert ("retry-after" in reply.headers) == (problem == "not-ready")
    expected = 404 if values["status"] == "FAILED" else status
    assert thumbnail.status_code == expected
    for word in (values.get("message"), (values.get("rejection") or {}).get("detail")):
        assert (word or "") in reply.json()["detail"]


def test_missing_bytes_are_500_without_internals(client: httpx.Client) -> None:
    """A record whose object is missing is our fault; the reply says so and nothing of our insides."""
    asset = a_file()
    assert asset.blob
    store().delete(asset.blob.key)
    reply = client.get(path(asset))
    assert reply.status_code == 500
    assert asset.blob.key not in reply.text
