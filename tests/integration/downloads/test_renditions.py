"""Downloads of renditions and of the text of a file."""

from __future__ import annotations

import io
from urllib.parse import unquote

import httpx
import pytest

from tests.integration.downloads.served_files import DATA, a_file, a_rendition, assert_safe_headers, path
from windlass.files.api import FileStatus, Rendition
from windlass.http.downloads import files as downloads
from windlass.storage.registry import store


def test_renditions_are_served_by_name(client: httpx.Client) -> None:
    asset = a_file(original_filename="Holiday.final.jpeg")
    a_rendition(asset, "thumbnail", b"small picture")
    a_rendition(asset, "preview", b"larger picture")
    reply = client.get(f"/files/{asset.id}/thumbnail")
    assert (reply.status_code, reply.content) == (200, b"small picture")
    assert reply.headers["content-disposition"] == 'inline; filename="Holiday.final-thumbnail.webp"'
    assert_safe_headers(reply, "image/webp")
    assert client.get(f"/files/{asset.id}/renditions/thumbnail").content == b"small picture"
    part = client.get(f"/files/{asset.id}/renditions/preview", headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.content) == (206, b"larger")
    assert client.head(f"/files/{asset.id}/renditions/preview").headers["content-length"] == "14"


def test_the_text_of_a_file_is_served(client: httpx.Client) -> None:
    asset = a_file(original_filename="Log book.docx")
    assert client.get(f"/files/{asset.id}/text").status_code == 404
    words = "déjà vu\n".encode()
    made = a_rendition(asset, "text", words)
    Rendition.objects.filter(id=made.id).update(kind="text", mime_type="text/plain; charset=utf-8")
    reply = client.get(f"/files/{asset.id}/text")
    assert (reply.status_code, reply.content) == (200, words)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-disposition"] == 'inline; filename="Log book-text.txt"'
    part = client.get(f"/files/{asset.id}/text", headers={"Range": "bytes=0-0"})
    assert (part.status_code, part.content) == (206, b"d")
    assert client.head(f"/files/{asset.id}/text").headers["content-length"] == str(len(words))


def test_a_text_that_is_still_extracted_is_409_with_retry_after(client: httpx.Client) -> None:
    asset = a_file(status=FileStatus.PROCESSING)
    reply = client.get(f"/files/{asset.id}/text")
    assert (reply.status_code, int(reply.headers["retry-after"]) > 0) == (409, True)


def test_bytes_that_move_between_query_and_opening_are_served(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = a_file()
    picture = a_rendition(asset)
    assert asset.blob is not None
    for row, data in ((asset.blob, DATA), (picture, b"picture")):
        moved, old = f"{row.key}-moved", row.key
        store().put(moved, io.BytesIO(data), len(data))
        type(row).objects.filter(id=row.id).update(key=moved)
        store().delete(old)
    monkeypatch.setattr(downloads, "_find_file", lambda *_: asset)  # as it was read before
    monkeypatch.setattr(downloads, "_find_rendition", lambda *_: (asset, picture))
    reply = client.get(path(asset), headers={"Range": "bytes=5-"})
    assert (reply.status_code, reply.content) == (206, DATA[5:])
    reply = client.get(f"/files/{asset.id}/thumbnail")
    assert (reply.status_code, reply.content) == (200, b"picture")


@pytest.mark.parametrize("name", ["n" * 251 + ".pdf", "\u00fc" * 125 + ".jpeg", "\u65e5" * 85, "." + "n" * 254])
def test_the_filename_of_a_rendition_has_the_usual_limit(client: httpx.Client, name: str) -> None:
    asset = a_file(original_filename=name)
    a_rendition(asset, "r" * 64)
    reply = client.get(f"/files/{asset.id}/renditions/{'r' * 64}")
    said = reply.headers["content-disposition"]
    told = unquote(said.rpartition("UTF-8''")[2]) if "UTF-8" in said else said.partition('filename="')[2].rstrip('"')
    assert told.endswith("-" + "r" * 64 + ".webp")
    assert len(told.encode()) <= 255


def test_a_new_rendition_has_another_etag(client: httpx.Client) -> None:
    asset = a_file()
    rendition = a_rendition(asset)
    first = client.get(f"/files/{asset.id}/thumbnail").headers["etag"]
    known = client.get(f"/files/{asset.id}/thumbnail", headers={"If-None-Match": first})
    assert known.status_code == 304
    store().put(rendition.key, io.BytesIO(b"PICTURE"), 7)
    again = client.get(f"/files/{asset.id}/thumbnail", headers={"If-None-Match": first})
    assert (again.status_code, again.content) == (200, b"PICTURE")


def test_a_missing_rendition_is_404_and_a_pending_one_409(client: httpx.Client) -> None:
    made, making = a_file(), a_file(status=FileStatus.PROCESSING)
    for name in ("thumbnail", "renditions/preview", "renditions/..%2f..%2fetc"):
        assert client.get(f"/files/{made.id}/{name}").status_code == 404
    reply = client.get(f"/files/{making.id}/thumbnail")
    assert reply.status_code == 409
    assert int(reply.headers["retry-after"]) >= 1
