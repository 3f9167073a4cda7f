"""Uploads that are one request, through a real server: forms with their files and fields, raw bodies, curl."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, StoredData, Wire, eventually, wait_until_processed

BOUNDARY = "b0undary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(filename: str, data: bytes, kind: str | None = None) -> bytes:
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n{typed}\r\n'
    return head.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def send(http: httpx.Client, *parts: bytes, path: str = "/files/", **options: Any) -> httpx.Response:
    return http.post(path, headers=FORM, content=form(*parts), **options)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Forms


@pytest.mark.parametrize(
    ("name", "data", "facts"),
    [
        ("picture.jpg", samples.jpeg(320, 200), {"mime_type": "image/jpeg", "width": 320, "height": 200}),
        ("paper.pdf", samples.pdf(3), {"mime_type": "application/pdf", "page_count": 3}),
        ("film.mp4", samples.mp4(), {"mime_type": "video/mp4", "width": 320, "height": 240}),
        ("song.mp3", samples.mp3(), {"mime_type": "audio/mpeg"}),
    ],
)
def test_a_file_becomes_ready_with_its_facts(
    http: httpx.Client, name: str, data: bytes, facts: dict[str, object]
) -> None:
    reply = send(http, file(name, data))
    assert reply.status_code == 201
    first = reply.json()
    assert reply.headers["Location"] == first["links"]["self"] == f"/files/{first['id']}/"
    assert (first["status"], first["size"], first["original_filename"]) == ("PENDING", len(data), name)
    record = wait_until_processed(http, first["id"])
    assert (record["status"], record["checksum"]) == ("READY", sha256(data))
    assert {key: record[key] for key in facts} == facts
    if name == "picture.jpg":
        assert http.get(record["thumbnail_url"]).status_code == 200
    if name.startswith(("film", "song")):
        assert record["duration"] == pytest.approx(2, abs=0.3)
    assert http.get(record["links"]["download"]).content == data


def test_html_named_as_a_picture_is_rejected_with_the_reason(http: httpx.Client) -> None:
    record = wait_until_processed(http, send(http, file("picture.jpg", samples.html())).json()["id"])
    assert record["status"] == "REJECTED"
    assert "html" in record["rejection"]["detail"].lower()
    assert http.get(record["links"]["download"]).status_code == 403


@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, MB + 1, 5 * MB + 3])
def test_file_sizes_around_the_batch_size(http: httpx.Client, size: int) -> None:
    data = os.urandom(size)
    by_form, by_body = send(http, file("a.bin", data)), http.post("/files/", content=data)
    for made in (by_form, by_body):
        assert made.status_code == 201
        record = wait_until_processed(http, made.json()["id"])
        assert (record["status"], record["size"], record["checksum"]) == ("READY", size, sha256(data))


@pytest.mark.parametrize("after", [False, True], ids=["before the bytes", "after the bytes"])
@pytest.mark.parametrize("size", [10, 3 * MB])
def test_form_fields_describe_the_file(http: httpx.Client, after: bool, size: int) -> None:
    data = os.urandom(size)
    fields = field("reference", "r-1") + field("sha256", sha256(data)) + field("metadata", '{"who": "me"}')
    bytes_of_file = file("a.bin", data)
    reply = send(http, *([bytes_of_file, fields] if after else [field("profile", "default"), fields, bytes_of_file]))
    assert reply.status_code == 201, reply.text
    record = reply.json()
    assert (record["reference"], record["metadata"], record["profile"]) == ("r-1", {"who": "me"}, "default")


def test_query_fields_describe_the_file(http: httpx.Client) -> None:
    data = b"abc"
    query = {"profile": "default", "post_id": "p-9", "sha256": sha256(data), "metadata": '{"n": 1}'}
    for made in (send(http, file("a", data), params=query), http.post("/files/", params=query, content=data)):
        assert made.status_code == 201, made.text
        assert (made.json()["reference"], made.json()["metadata"]) == ("p-9", {"n": 1})


def test_a_profile_after_the_bytes_is_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    for size in (3, 3 * MB):
        refused = send(http, file("a.bin", os.urandom(size)), field("profile", "default"))
        assert refused.status_code == 400
        assert "before" in refused.json()["detail"]
    assert send(http, field("profile", "unknown"), file("a.bin", b"a")).status_code == 422
    assert not stored_data.added_since(before)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("size", [10, 40 * MB], ids=["small", "large and quick"])
def test_a_wrong_digest_stores_nothing(http: httpx.Client, stored_data: StoredData, after: bool, size: int) -> None:
    before = stored_data.snapshot()
    parts = [file("a.bin", bytes(size)), field("sha256", sha256(b"another"))]
    refused = send(http, *(parts if after else reversed(parts)))
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/checksum-mismatch"
    raw = http.post("/files/", params={"sha256": sha256(b"another")}, content=bytes(size))
    assert raw.status_code == 422
    assert not stored_data.added_since(before)


@pytest.mark.parametrize("value", ["abc", "g" * 64, "a" * 63])
def test_a_malformed_digest_is_refused(http: httpx.Client, stored_data: StoredData, value: str) -> None:
    before = stored_data.snapshot()
    assert send(http, file("a.bin", b"a"), field("sha256", value)).status_code == 400
    assert http.post("/files/", params={"sha256": value}, content=b"a").status_code == 400
    assert not stored_data.added_since(before)


def test_several_files_answer_with_a_list(http: httpx.Client) -> None:
    data = [os.urandom(size) for size in (10, 2 * MB, 0)]
    reply = send(http, *(file(f"{number}.bin", one) for number, one in enumerate(data)), field("reference", "several"))
    assert reply.status_code == 201
    assert reply.json()["errors"] == []
    records = reply.json()["files"]
    assert [record["original_filename"] for record in records] == ["0.bin", "1.bin", "2.bin"]
    assert {record["reference"] for record in records} == {"several"}
    assert [wait_until_processed(http, record["id"])["checksum"] for record in records] == [sha256(one) for one in data]


def test_the_batch_call_always_answers_with_a_list(http: httpx.Client) -> None:
    for path in ("/files/batch", "/files/batch/"):
        reply = send(http, file("a.txt", b"a"), path=path)
        assert reply.status_code == 201
        assert [record["original_filename"] for record in reply.json()["files"]] == ["a.txt"]
    assert http.post("/files/batch/", content=b"no form").status_code in (400, 415)


def test_a_form_without_a_file_is_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    for parts in ([], [field("reference", "r")], [file("", b"")]):
        refused = send(http, *parts)
        assert refused.status_code in (400, 422), parts
        assert refused.headers["Content-Type"] == "application/problem+json"
    assert not stored_data.added_since(before)


def test_more_files_than_a_form_may_have_are_errors(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.file_count()
    reply = send(http, *(file(f"{number}.txt", b"x") for number in range(12)))
    assert reply.status_code == 201
    assert len(reply.json()["files"]) == 10
    assert [error["filename"] for error in reply.json()["errors"]] == ["10.txt", "11.txt"]
    assert {error["status"] for error in reply.json()["errors"]} == {413}
    assert reply.json()["errors"][0]["limit"] == 10
    assert stored_data.file_count() == before + 10


# What breaks off


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sent", [0, 100, 3 * MB])
@pytest.mark.parametrize("kind", ["form", "raw"])
def test_an_interrupted_body_stores_nothing(
    stored_data: StoredData, wire: Wire, kind: str, sent: int, chunked: bool
) -> None:
    before = stored_data.snapshot()
    began = file("half.bin", os.urandom(sent))[:-2] if kind == "form" else os.urandom(sent)
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(4 * MB)}
    wire.head("POST", "/files/", (FORM if kind == "form" else {}) | length)
    if chunked and began:
        wire.chunk(began)
    else:
        wire.send(began)
    if sent > MB:
        eventually(lambda: stored_data.added_since(before))
    wire.close()
    eventually(lambda: not stored_data.added_since(before))


@pytest.mark.parametrize("size", [100, 3 * MB])
def test_a_form_without_its_closing_boundary_is_refused(http: httpx.Client, stored_data: StoredData, size: int) -> None:
    """The connection ends properly and the form does not: some clients compute a wrong body length."""
    before = stored_data.snapshot()
    whole = form(file("a.bin", os.urandom(size)))
    for cut in (whole[:-4], whole[: -len(BOUNDARY) - 8], whole[: len(whole) // 2]):
        refused = http.post("/files/", headers=FORM, content=cut)
        assert refused.status_code == 400
        assert "breaks off" in refused.json()["detail"]
    assert not stored_data.added_since(before)


def test_files_before_a_truncated_part_are_not_stored(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    cut = form(file("a.bin", b"whole"), file("b.bin", os.urandom(2 * MB)))[:-MB]
    assert http.post("/files/", headers=FORM, content=cut).status_code == 400
    assert not stored_data.added_since(before)


@pytest.mark.parametrize(
    "fields",
    [
        {"Upload-Complete": "?1"},
        {"Upload-Complete": "?1", "Upload-Draft-Interop-Version": "6"},
        {"Upload-Incomplete": "?0", "Upload-Draft-Interop-Version": "3"},
    ],
)
def test_a_form_may_have_upload_complete_true_and_not_false(
    http: httpx.Client, stored_data: StoredData, fields: dict[str, str]
) -> None:
    """Browsers and old clients send the field with every request."""
    for path, status in (("/files/", 201), ("/files/batch/", 201), ("/api/v1/media/upload/simple", 200)):
        sent = http.post(path, headers=fields, files={"file": ("a.png", samples.png(200, 150), "image/png")})
        assert sent.status_code == status, sent.text
    if "Upload-Incomplete" in fields:
        raw = http.post("/files/?filename=a.bin", headers=fields, content=b"abc")
        assert wait_until_processed(http, raw.json()["id"])["size"] == 3
    before = stored_data.snapshot()
    for path in ("/files/", "/files/batch/", "/api/v1/media/upload/simple"):
        partly = {"Upload-Complete": "?0"} if "Upload-Complete" in fields else {"Upload-Incomplete": "?1"}
        refused = http.post(path, headers=fields | partly, files={"file": ("a.png", samples.png(200, 150))})
        assert refused.status_code == 400, refused.text
    assert not stored_data.added_since(before)


def test_a_file_part_without_a_filename_needs_a_binary_type(http: httpx.Client) -> None:
    sent = [("file", (None, samples.png(64, 48), "image/png")), ("csrfmiddlewaretoken", (None, "x" * 64))]
    record = wait_until_processed(http, http.post("/files/", files=sent).json()["id"])
    assert (record["original_filename"], record["mime_type"]) == ("unnamed", "image/png")
    text = http.post("/files/", files=[("file", (None, b"\xff\xfe", "text/plain"))])
    assert text.status_code == 422
    assert "filename" in text.json()["detail"]


# Raw bodies


def test_a_raw_body_is_named_by_its_path_header_or_query(http: httpx.Client) -> None:
    sent = {
        "a.bin": http.put("/files/a.bin", content=b"1"),
        "b c.bin": http.put("/files/b%20c.bin", content=b"2"),
        "d.bin": http.post("/files/", params={"filename": "d.bin"}, content=b"3"),
        "e.bin": http.post("/files", headers={"Content-Disposition": 'attachment; filename="e.bin"'}, content=b"4"),
        "ü.bin": http.post(
            "/files/", headers={"Content-Disposition": "attachment; filename*=UTF-8''%C3%BC.bin"}, content=b"5"
        ),
        "unnamed": http.post("/files/", content=b"6"),
    }
    for name, made in sent.items():
        assert made.status_code == 201, made.text
        assert made.json()["original_filename"] == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a%2Fb.txt", "b.txt"),
        ("a%2fb%2Fc%20d.txt", "c d.txt"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("%2Fb.txt", "b.txt"),
        ("a%2F", "unnamed"),
        ("b.txt/", "b.txt"),
    ],
)
def test_an_encoded_slash_is_part_of_the_name(http: httpx.Client, path: str, name: str) -> None:
    created = http.put(f"/files/{path}", content=b"abc")
    assert created.status_code == 201, created.text
    assert created.json()["original_filename"] == name
    assert http.put("/files/a/b.txt", content=b"abc").status_code == 404


def test_a_raw_body_may_be_chunked_and_typed(http: httpx.Client) -> None:
    created = http.post(
        "/files/", headers={"Content-Type": "image/png"}, content=iter([samples.png()[:20], samples.png()[20:]])
    )
    assert created.json()["declared_mime_type"] == "image/png"
    record = wait_until_processed(http, created.json()["id"])
    assert (record["status"], record["mime_type"], record["width"]) == ("READY", "image/png", 64)


NAUGHTY = {
    "../../etc/passwd": "passwd",
    "..\\..\\boot.ini": "boot.ini",
    "a\x01b.txt": "ab.txt",
    "a\r\nSet-Cookie: x=1.txt": "aSet-Cookie: x=1.txt",
    "..": "unnamed",
    "": "unnamed",
    "CON": "CON",
    "😀 naïve.txt": "😀 naïve.txt",
    "<script>alert(1)</script>.txt": "script>.txt",
    "'; DROP TABLE files;--.txt": "'; DROP TABLE files;--.txt",
}


@pytest.mark.parametrize("name", NAUGHTY)
def test_asvs_5_3_2_hostile_filenames_are_cleaned_and_served_as_attachments(
    http: httpx.Client, stored_data: StoredData, name: str
) -> None:
    # Of its own, because equal content would be stored once; and no text, which is shown inline.
    body = bytes([0, 0xFF, 0, 1, 0xC0 + list(NAUGHTY).index(name), 0, 2, 0xFE])
    before = stored_data.objects()
    created = http.post("/files/", params={"filename": name}, content=body)
    assert created.status_code == 201
    assert created.json()["original_filename"] == NAUGHTY[name]
    record = wait_until_processed(http, created.json()["id"])
    served = http.get(record["links"]["download"])
    assert served.content == body
    assert "attachment" in served.headers["Content-Disposition"]
    assert "set-cookie" not in served.headers
    (stored,) = stored_data.objects() - before
    assert uuid.UUID(stored.name), "stored names are ours"


def test_a_very_long_name_is_cut(http: httpx.Client) -> None:
    created = http.post("/files/", params={"filename": "ö" * 1000 + ".txt"}, content=b"x")
    assert created.status_code == 201
    name = created.json()["original_filename"]
    assert len(name) <= 255
    assert name.startswith("ööö")


# curl


def curl(server: ServerProcess, *arguments: str | Path) -> str:
    program = require(shutil.which("curl"), "curl is not installed")
    command = [program, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("size", [5, 3 * MB])
def test_curl_uploads_forms_and_raw_bodies(
    shared_server: ServerProcess, http: httpx.Client, tmp_path: Path, size: int
) -> None:
    """A body above 1 MiB: curl sends Expect: 100-continue first, and waits for the 100 Continue."""
    path = tmp_path / "some file.bin"
    path.write_bytes(os.urandom(size))
    url = f"{shared_server.url}/files/"
    said = [
        curl(shared_server, "-F", f"file=@{path}", "-F", "reference=curl", url),
        curl(shared_server, "-T", path, url),
        curl(shared_server, "--data-binary", f"@{path}", f"{url}?filename=some%20file.bin"),
        curl(shared_server, "-H", "Transfer-Encoding: chunked", "-T", path, url),
    ]
    for answer in said:
        record = wait_until_processed(http, httpx.Response(200, text=answer).json()["id"])
        assert (record["status"], record["original_filename"]) == ("READY", "some file.bin")
        assert record["checksum"] == sha256(path.read_bytes())


def test_a_whole_upload_interrupted_by_a_killed_web_process_is_deleted(
    make_server: Callable[..., ServerProcess],
) -> None:
    """A raw body cannot be resumed, so its bytes are deleted before the upload would expire."""
    server = make_server(SWEEP_SECONDS="0.5")
    stored_data = StoredData(server)
    with Wire(server.port) as wire:
        wire.head("POST", "/files/", {"Content-Length": str(16 * MB)}, bytes(8 * MB))
        eventually(lambda: stored_data.active_uploads() == 1)
        assert stored_data.objects()
        os.kill(server.web_pid(), signal.SIGKILL)
        eventually(lambda: stored_data.active_uploads() == 0 and not stored_data.objects())
    assert stored_data.file_count() == 0
