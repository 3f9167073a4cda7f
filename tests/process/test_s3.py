"""Files in a bucket: every dialect end to end against a real S3 server, and what may break between the two."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.process.acknowledgements import GeneratedContent
from tests.process.buckets import Bucket, assert_stored_and_served, random_content, send_part_of_patch
from tests.process.chunk_client import ChunkUpload, digest
from tests.process.conftest import ServerProcess
from tests.process.memory_watch import Watch
from tests.process.wire import (
    MB,
    PATCH,
    TUS,
    StoredData,
    Wire,
    connect,
    create,
    eventually,
    file_id_of,
    offset,
    offset_after_restart,
    patch,
    wait_until_processed,
)
from tests.samples import mp4, png
from tests.services import S3Server

PART_SIZE = 5 * MB


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, s3_server.new_bucket())


@pytest.fixture(scope="module")
def in_bucket(s3_server: S3Server, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose files are in the bucket, for tests that do not end it."""
    home = tmp_path_factory.mktemp("s3") / "home"
    server = ServerProcess(home, **s3_server.settings(bucket.name), AWS_S3_PART_SIZE_MB="5", LOG_LEVEL="debug")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def target_server(in_bucket: ServerProcess) -> ServerProcess:
    return in_bucket


def test_slow_imports_happen_during_warm_up(in_bucket: ServerProcess) -> None:
    """Half a second on the event loop else, for all that are being served. Celery, which the embedded broker does not
    need, is not imported."""
    script = (
        "import sys, django; django.setup(); from windlass.cli import web_server; "
        "web_server.warm_up(); print(*sys.modules)"
    )
    environment = in_bucket.environment | {
        "WINDLASS_HOME": str(in_bucket.home),
        "DJANGO_SETTINGS_MODULE": "windlass.settings",
    }
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert {"boto3", "celery"} & set(result.stdout.split()) == {"boto3"}


@pytest.mark.parametrize("size", [0, 1000, PART_SIZE, 13 * MB + 1])
def test_a_raw_body_is_stored_in_the_bucket(http: httpx.Client, bucket: Bucket, size: int) -> None:
    data = random_content(size)
    created = http.post("/files/?filename=a.bin", content=data)
    assert created.status_code == 201, created.text
    assert created.json()["checksum"] == digest(data), "hashed while it came, however fast"
    assert_stored_and_served(http, bucket, created.json()["id"], data)


@pytest.mark.parametrize("size", [1000, 13 * MB + 1])
def test_a_form_is_stored_in_the_bucket(http: httpx.Client, bucket: Bucket, size: int) -> None:
    data = random_content(size)
    created = http.post("/files/", files={"file": ("a.bin", data)})
    assert created.status_code == 201, created.text
    assert_stored_and_served(http, bucket, created.json()["id"], data)


@pytest.mark.parametrize("steps", [[13 * MB + 1], [1, 2, 3 * MB, PART_SIZE, 4 * MB, 500]])
def test_tus_uploads_in_one_and_in_many_requests(http: httpx.Client, bucket: Bucket, steps: list[int]) -> None:
    data = random_content(sum(steps))
    path, at = create(http, len(data)), 0
    for step in steps:
        assert patch(http, path, at, data[at : at + step]).status_code == 204
        at += step
    assert_stored_and_served(http, bucket, file_id_of(http, path), data)
    assert bucket.unfinished() == []
    assert not [key for key in bucket.objects() if ".tail." in key]


def test_a_body_with_a_wrong_checksum_is_not_stored(http: httpx.Client, bucket: Bucket) -> None:
    data = random_content(12 * MB)
    path = create(http, len(data))
    assert patch(http, path, 0, data[: 3 * MB]).status_code == 204
    wrong = patch(http, path, 3 * MB, data[4 * MB :], **{"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="})
    assert wrong.status_code == 460
    assert offset(http, path) == 3 * MB
    assert patch(http, path, 3 * MB, data[3 * MB :]).status_code == 204
    assert_stored_and_served(http, bucket, file_id_of(http, path), data)


def test_the_ietf_protocol_stores_a_file(http: httpx.Client, bucket: Bucket) -> None:
    data = random_content(11 * MB)
    begun = http.post("/files/", content=data[: 6 * MB], headers={"Upload-Complete": "?0"})
    assert begun.status_code == 201
    done = http.patch(
        begun.headers["Location"],
        content=data[6 * MB :],
        headers={
            "Content-Type": "application/partial-upload",
            "Upload-Offset": str(6 * MB),
            "Upload-Complete": "?1",
            "Upload-Draft-Interop-Version": "8",
        },
    )
    assert done.status_code in (200, 201, 204), done.text
    assert_stored_and_served(http, bucket, file_id_of(http, begun.headers["Location"]), data)


def test_partial_uploads_are_concatenated_in_the_store(http: httpx.Client, bucket: Bucket) -> None:
    data = random_content(31 * MB + 5)
    cuts = [0, 12 * MB + 1, 12 * MB + 3, len(data)]
    parts = []
    for start, end in itertools.pairwise(cuts):
        parts.append(create(http, end - start, {"Upload-Concat": "partial"}))
        assert patch(http, parts[-1], 0, data[start:end]).status_code == 204
    created = http.post("/files/", headers=TUS | {"Upload-Concat": f"final;{' '.join(parts)}"})
    assert created.status_code == 201
    final = created.headers["Location"]
    eventually(lambda: http.head(final, headers=TUS).headers.get("Upload-Offset") == str(len(data)))
    assert_stored_and_served(http, bucket, file_id_of(http, final), data)


def test_chunks_in_any_order_and_in_parallel(in_bucket: ServerProcess, http: httpx.Client, bucket: Bucket) -> None:
    data = random_content(6 * PART_SIZE + 77)
    upload = ChunkUpload.create(http, data, PART_SIZE, file_hash=digest(data))
    order = [6, 2, 0, 5, 1, 4, 3, 2]
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(upload.put, order)} == {200}
    done = upload.complete()
    assert done.status_code == 200, done.text
    assert done.json()["checksum"] == digest(data)
    assert_stored_and_served(http, bucket, done.json()["file_id"], data)


def test_a_chunk_with_a_wrong_checksum_can_be_resent(http: httpx.Client, bucket: Bucket) -> None:
    data = random_content(2 * PART_SIZE + 1)
    upload = ChunkUpload.create(http, data, PART_SIZE)
    right = {"X-Checksum-SHA256": digest(upload.chunk(1))}
    assert upload.put(1, random_content(PART_SIZE, seed=2), **right).status_code == 422
    assert upload.put(1, upload.chunk(1)[:-1] + b"?").status_code == 200, "no checksum: it counts"
    assert upload.put(1).status_code == 409, "and never changes"
    again = ChunkUpload.create(http, data, PART_SIZE)
    for index in (2, 1, 0):
        assert again.put(index).status_code == 200
    assert_stored_and_served(http, bucket, again.complete().json()["file_id"], data)


def test_chunk_sizes_are_clamped_to_the_part_sizes_of_s3(http: httpx.Client) -> None:
    def asked(size: int, chunk: int | None) -> httpx.Response:
        wanted = {"filename": "a", "total_size": size, "mime_type": "", "chunk_size": chunk}
        return http.post("/api/v1/upload/init", json={k: v for k, v in wanted.items() if v is not None})

    assert asked(20 * MB, 1024).json()["chunk_size"] == 5 * MB
    assert asked(20 * MB, 1024 * MB).json()["chunk_size"] == 64 * MB
    assert asked(20 * MB, 7 * MB).json()["chunk_size"] == 7 * MB


def test_the_media_api_stores_a_file(http: httpx.Client, bucket: Bucket) -> None:
    data = mp4()
    begun = http.post(
        "/api/v1/media/upload/init",
        json={"file_name": "a.mp4", "file_size": len(data), "content_type": "video/mp4"},
    )
    assert begun.status_code == 200, begun.text
    fields = {"upload_id": begun.json()["upload_id"], "chunk_index": "0"}
    chunk = http.post("/api/v1/media/upload/chunk", data=fields, files={"chunk": ("c", data)})
    assert chunk.json()["status"] == "completed", chunk.text
    created = http.post(f"/api/v1/media/upload/{fields['upload_id']}/finalize", json={})
    assert created.status_code == 200, created.text
    assert_stored_and_served(http, bucket, created.json()["id"], data)


def test_a_picture_is_processed_and_its_thumbnail_served(http: httpx.Client, bucket: Bucket) -> None:
    data = png(300, 200)
    document = http.post("/files/", files={"file": ("a.png", data)}).json()
    record = assert_stored_and_served(http, bucket, document["id"], data)
    assert (record["width"], record["height"], record["mime_type"]) == (300, 200, "image/png")
    thumbnail = http.get(record["thumbnail_url"])
    assert thumbnail.status_code == 200
    assert thumbnail.headers["content-type"].startswith("image/")
    assert http.delete(f"/files/{document['id']}/").status_code == 204
    assert not [key for key in bucket.objects() if document["id"] in key]


def test_ranges_and_if_none_match_on_downloads(http: httpx.Client) -> None:
    data = random_content(9 * MB)
    file = http.post("/files/?filename=a.bin", content=data).json()["id"]
    wait_until_processed(http, file)
    path = f"/files/{file}/download/"
    for begin, end in ((0, 0), (5, 200_000), (8 * MB, 9 * MB - 1), (100, 7 * MB)):
        part = http.get(path, headers={"Range": f"bytes={begin}-{end}"})
        assert (part.status_code, part.content) == (206, data[begin : end + 1])
    etag = http.head(path).headers["ETag"]
    assert http.get(path, headers={"If-None-Match": etag}).status_code == 304


def test_downloads_redirect_to_signed_urls_of_the_store(
    s3_server: S3Server, make_server: Callable[..., ServerProcess]
) -> None:
    """The address is signed for a time, and says what the reply's safe fields are."""
    server = make_server(**s3_server.settings(s3_server.new_bucket()), DOWNLOADS="redirect")
    data = random_content(MB)
    with connect(server) as http:
        file = http.post("/files/", files={"file": ('a "quoted" näme.html', data, "text/html")}).json()["id"]
        wait_until_processed(http, file)
        path = f"/files/{file}/download/"
        sent = http.get(path, headers={"Range": "bytes=5-9"})
        assert sent.status_code == 302
        assert sent.headers["Location"].startswith(s3_server.url)
        assert "no-store" in sent.headers["Cache-Control"]
        there = httpx.get(sent.headers["Location"], headers={"Range": "bytes=5-9"}, trust_env=False)
        assert (there.status_code, there.content) == (206, data[5:10])
        assert there.headers["Content-Disposition"].startswith("attachment;")
        assert there.headers["Content-Type"] == http.head(path).headers["Content-Type"]
        etag = http.head(path).headers["ETag"]
        here = http.get(path, headers={"Range": "bytes=5-9", "If-Range": etag})
        assert (here.status_code, here.content) == (206, data[5:10])


def test_a_gibibyte_fits_into_220_mb(in_bucket: ServerProcess, bucket: Bucket) -> None:
    large = GeneratedContent(1024 * MB, seed=1)
    watch = Watch(in_bucket.web_pid())
    with Wire(in_bucket.port) as wire, connect(in_bucket) as http, watch.watching():
        path = create(http, large.size)
        wire.head("PATCH", path, PATCH | {"Upload-Offset": "0", "Content-Length": str(large.size)})
        for block in large.blocks():
            wire.send(block)
        assert wire.read_reply().status == 204
    assert 0 < watch.peak < 220 * MB, f"{watch.peak / MB:.0f} MB"
    with connect(in_bucket) as http:
        record = wait_until_processed(http, file_id_of(http, path))
        assert (record["status"], record["checksum"]) == ("READY", large.sha256())
        http.delete(f"/files/{record['id']}/")


def test_many_slow_uploads_stay_within_the_buffer_limit(
    s3_server: S3Server, make_server: Callable[..., ServerProcess]
) -> None:
    """More arrives than may be held: it is put away, and comes together again."""
    bucket = s3_server.new_bucket()
    little = {"AWS_S3_BUFFER_MB": "8", "AWS_S3_PART_SIZE_MB": "32", "CHECKPOINT_SECONDS": "60"}
    server = make_server(**s3_server.settings(bucket), **little)
    contents = [random_content(24 * MB, seed) for seed in range(8)]
    with connect(server) as http:
        assert http.post("/files/?filename=first", content=b"loads what must be loaded").status_code == 201
    watch = Watch(server.web_pid())
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in contents]
        before = watch.now()
        stack.enter_context(watch.watching())
        for wire, data in zip(wires, contents, strict=True):
            wire.head("POST", "/files/?filename=a", {"Content-Length": str(len(data))})
        for start in range(0, 24 * MB, MB):
            for wire, data in zip(wires, contents, strict=True):
                wire.send(data[start : start + MB])
        answers = [wire.read_reply() for wire in wires]
    assert [json.loads(answer.body)["checksum"] for answer in answers] == [digest(data) for data in contents]
    assert watch.peak - before < 130 * MB, f"{(watch.peak - before) / MB:.0f} MB more for 192 MB on their way"


def test_an_upload_resumes_on_another_machine_after_the_web_process_is_killed(
    s3_server: S3Server, make_server: Callable[..., ServerProcess]
) -> None:
    """Fault 1, with the machine gone: all that is left is the database and the bucket. Every byte that came a while
    ago is there, also of a part that is not full."""
    bucket = Bucket(s3_server, s3_server.new_bucket())
    settings = s3_server.settings(bucket.name) | {"CHECKPOINT_BYTES": str(8 * MB), "CHECKPOINT_SECONDS": "1"}
    server, large = make_server(**settings), GeneratedContent(64 * MB, seed=3)
    stored_data = StoredData(server)
    with connect(server) as http:
        path = create(http, large.size)
        send_part_of_patch(
            server,
            path,
            large,
            37 * MB + 11,
            lambda: _kill_once(server, lambda: stored_data.session(path)["offset"] == 37 * MB + 11),
        )
        at = offset_after_restart(http, path)
        assert at == 37 * MB + 11
        body = b"".join(large.blocks())[at:]
        assert patch(http, path, at, body).status_code == 204
        record = wait_until_processed(http, file_id_of(http, path))
        assert (record["status"], record["checksum"]) == ("READY", large.sha256())
    assert bucket.unfinished() == []
    assert len([key for key in bucket.objects() if key.startswith("objects/")]) == 1


def _kill_once(server: ServerProcess, ready: Callable[[], bool]) -> None:
    eventually(ready)
    os.kill(server.web_pid(), signal.SIGKILL)


def test_a_cancelled_upload_leaves_nothing(http: httpx.Client, bucket: Bucket) -> None:
    path = create(http, 40 * MB)
    assert patch(http, path, 0, random_content(12 * MB)).status_code == 204
    name = path.rpartition("/")[2]
    assert any(name in key for key in bucket.unfinished())
    assert http.delete(path, headers=TUS).status_code == 204
    assert not any(name in key for key in [*bucket.unfinished(), *bucket.objects()])


def test_windlass_check_names_the_wrong_setting(s3_server: S3Server, make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(**s3_server.settings(s3_server.new_bucket()))
    right = server.command("check")
    assert right.returncode == 0, right.stdout
    server.environment |= {"AWS_ACCESS_KEY_ID": "nobody"}
    wrong = server.command("check")
    assert wrong.returncode != 0
    assert "AWS_ACCESS_KEY_ID" in " ".join(wrong.stdout.split())
    assert s3_server.SECRET not in wrong.stdout + wrong.stderr
    del server.environment["AWS_STORAGE_BUCKET_NAME"]
    assert "AWS_STORAGE_BUCKET_NAME is not set" in (unset := server.command("check")).stdout + unset.stderr
