"""Files that a client sends to the bucket itself: the calls of Uppy's S3 plugin against a real server and a real store.

The plugin itself does the same in `tests/browser`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.process.buckets import Bucket
from tests.process.chunk_client import digest
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, PATCH, connect, eventually, wait_until_processed
from tests.samples import png
from tests.services import S3Server

PART = 5 * MB
PROFILES = """
[small]
max_size = 6291456

[pictures]
allowed_mime_types = ["image/*"]
allowed_extensions = ["png", "jpg"]
blocked_mime_types = ["image/svg+xml"]

[here]
store = "local"
"""


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, s3_server.new_bucket())


@pytest.fixture(scope="module")
def closed(s3_server: S3Server, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks for credentials; its store takes no forms, and its keys stand under a prefix."""
    place = tmp_path_factory.mktemp("straight")
    (place / "profiles.toml").write_text(PROFILES)
    settings = {"AUTH_MODE": "required", "AWS_S3_FORMS": "false", "AWS_LOCATION": "some/where"}
    settings |= {"WINDLASS_PROFILES": str(place / "profiles.toml"), "SWEEP_SECONDS": "1"}
    server = ServerProcess(place / "home", **s3_server.settings(bucket.name), **settings)
    server.start()
    yield server
    server.kill()


def client_of(server: ServerProcess, user: str) -> httpx.Client:
    token = server.command("token", "create", "--user", user).stdout.strip()
    return connect(server, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def http(closed: ServerProcess) -> Iterator[httpx.Client]:
    with client_of(closed, "somebody") as client:
        yield client


@pytest.fixture(scope="module")
def other(closed: ServerProcess) -> Iterator[httpx.Client]:
    with client_of(closed, "somebody-else") as client:
        yield client


@pytest.fixture
def anybody() -> Iterator[httpx.Client]:
    """A browser at the store, without a credential of Windlass."""
    with httpx.Client(timeout=60) as client:
        yield client


class Upload:
    """One upload in parts, with the calls that Uppy makes."""

    def __init__(self, http: httpx.Client, anybody: httpx.Client, **metadata: Any) -> None:
        name = metadata.pop("name", "large.bin")
        self._http, self._anybody = http, anybody
        created = http.post("/s3/multipart", json={"filename": name, "type": "", "metadata": metadata})
        assert created.status_code == 200, created.text
        assert set(created.json()) == {"key", "uploadId", "bucket"}
        self.id, self.key = created.json()["uploadId"], created.json()["key"]
        self.path, self.query = f"/s3/multipart/{self.id}", {"key": self.key}

    def url(self, number: int) -> str:
        answer = self._http.get(f"{self.path}/{number}", params=self.query)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"])

    def send(self, number: int, data: bytes) -> dict[str, Any]:
        sent = self._anybody.put(self.url(number), content=data)
        assert sent.status_code == 200, sent.text
        return {"PartNumber": number, "ETag": sent.headers["etag"]}

    def send_all(self, data: bytes, part: int = PART) -> list[dict[str, Any]]:
        return [self.send(at // part + 1, data[at : at + part]) for at in range(0, len(data), part)]

    def complete(self, parts: list[dict[str, Any]]) -> httpx.Response:
        return self._http.post(f"{self.path}/complete", params=self.query, json={"parts": parts})

    def abort(self) -> httpx.Response:
        return self._http.delete(self.path, params=self.query)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self._http.get(f"/uploads/{self.id}", headers={"Accept": "application/json"}).json()
        return document


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}
    for word in words:
        assert word in answer.json()["error"]


def downloaded(http: httpx.Client, location: str) -> bytes:
    """Return the bytes of the file at a finished upload's location."""
    record = wait_until_processed(http, urlsplit(location).path.split("/")[2])
    assert record["status"] == "READY", record
    content = http.get(urlsplit(location).path + "download/", follow_redirects=True).content
    assert record["checksum"] == digest(content)
    return content


def test_parts_become_a_file(http: httpx.Client, anybody: httpx.Client, bucket: Bucket) -> None:
    data = os.urandom(2 * PART + 12345)
    meta = {"name": "holiday ü.bin", "reference": "order-17", "sha256": digest(data), "colour": "blue"}
    upload = Upload(http, anybody, size=str(len(data)), **meta)
    assert upload.key.startswith("some/where/objects/"), "the key is ours"
    short = anybody.put(upload.url(1), content=data[: PART - 1])
    assert short.status_code == 403, "the length is signed"
    parts = upload.send_all(data)
    listed = http.get(upload.path, params=upload.query).json()
    assert [(each["PartNumber"], each["Size"]) for each in listed] == [(1, PART), (2, PART), (3, 12345)]
    assert upload.status() | {"expires_at": ""} == {
        "upload_id": upload.id,
        "status": "active",
        "progress": {"bytes_received": len(data), "percentage": 99.99},
        "is_expired": False,
        "expires_at": "",
        "protocol": "s3",
    }
    done = upload.complete(parts)
    assert done.status_code == 200, done.text
    location = done.json()["location"]
    assert done.json() == {"location": location, "key": upload.key, "bucket": bucket.name}
    assert location == str(http.base_url.join(done.headers["windlass-file"]))
    assert downloaded(http, location) == data
    record = http.get(done.headers["windlass-file"]).json()
    assert (record["original_filename"], record["reference"]) == ("holiday ü.bin", "order-17")
    assert record["metadata"] == {"colour": "blue"}
    assert bucket.unfinished() == []
    assert upload.status()["file_id"] == record["id"]
    assert http.post("/s3/params/complete", params=upload.query).json() == done.json(), (
        "a page need not tell them apart"
    )


def test_repeated_completion_creates_one_file(http: httpx.Client, anybody: httpx.Client) -> None:
    data = os.urandom(PART + 1)
    upload = Upload(http, anybody, name="twice.bin")
    parts = upload.send_all(data)
    with ThreadPoolExecutor(4) as at_once:
        answers = list(at_once.map(upload.complete, [parts] * 4))
    first = answers[0]
    assert [answer.json() for answer in answers] == [first.json()] * 4
    assert first.status_code == 200, first.text
    stored_parts = http.get(upload.path, params=upload.query).json()
    assert [part["Size"] for part in stored_parts] == [PART, 1], "who missed the answer is told that all is there"
    assert (
        upload.complete([{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in stored_parts]).json()
        == first.json()
    )
    assert len(http.get("/files/", params={"q": "twice.bin"}).json()["results"]) == 1
    refused(http.get(f"{upload.path}/1", params=upload.query), 409)
    refused(upload.abort(), 409)
    assert http.delete(urlsplit(first.json()["location"]).path).status_code == 204
    refused(upload.complete(parts), 410, "deleted")


def test_a_repeated_creation_and_completion_with_an_idempotency_key(http: httpx.Client, anybody: httpx.Client) -> None:
    asked, key = {"filename": "keyed.bin", "metadata": {}}, {"Idempotency-Key": "keyed.bin"}
    first, again = (http.post("/s3/multipart", json=asked, headers=key) for _ in range(2))
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", first.json())
    refused(http.post("/s3/multipart", json=asked | {"type": "image/png"}, headers=key), 400, "another request")
    upload = Upload(http, anybody)
    parts, key = upload.send_all(b"bytes"), {"Idempotency-Key": "completion"}
    done, repeated = (
        http.post(f"{upload.path}/complete", params=upload.query, json={"parts": parts}, headers=key) for _ in range(2)
    )
    assert done.status_code == 200, done.text
    assert (repeated.headers["Idempotency-Replayed"], repeated.json()) == ("true", done.json())


def test_completion_records_an_object_that_the_store_has_already_completed(
    http: httpx.Client, anybody: httpx.Client, s3_server: S3Server, bucket: Bucket
) -> None:
    """As after a process died between the two."""
    data = os.urandom(PART + 7)
    upload = Upload(http, anybody)
    parts = upload.send_all(data)
    at_store = parse_qs(urlsplit(upload.url(1)).query)["uploadId"][0]
    s3_server.client.complete_multipart_upload(
        Bucket=bucket.name, Key=upload.key, UploadId=at_store, MultipartUpload={"Parts": parts}
    )
    assert downloaded(http, upload.complete(parts).json()["location"]) == data


def test_urls_of_several_parts_are_signed_in_one_call(http: httpx.Client, anybody: httpx.Client) -> None:
    data = os.urandom(2 * PART)
    upload = Upload(http, anybody)
    answer = http.get(f"{upload.path}/batch", params=upload.query | {"partNumbers": "1,2"})
    urls = answer.json()["presignedUrls"]
    assert set(urls) == {"1", "2"}
    sent = {number: anybody.put(urls[number], content=data[(int(number) - 1) * PART :][:PART]) for number in urls}
    parts = [{"PartNumber": int(number), "ETag": sent[number].headers["etag"]} for number in sorted(sent)]
    assert downloaded(http, upload.complete(parts).json()["location"]) == data
    for wrong in ("", "0", "10001", "a", "1,x"):
        refused(http.get(f"{upload.path}/batch", params=upload.query | {"partNumbers": wrong}), 400)


def test_parts_that_contradict_the_store_are_refused(http: httpx.Client, anybody: httpx.Client) -> None:
    data = os.urandom(2 * PART)
    upload = Upload(http, anybody)
    first, second = upload.send_all(data)
    wrong_tag = {"PartNumber": 2, "ETag": first["ETag"]}
    refused(upload.complete([first]), 409, "2")
    refused(upload.complete([first, second, {"PartNumber": 3, "ETag": "none"}]), 409, "3")
    refused(upload.complete([first, wrong_tag]), 409, "2")
    refused(upload.complete([second, first]), 400)
    refused(upload.complete([]), 400)
    longer = upload.send(2, os.urandom(PART + 1))
    refused(upload.complete([first, longer]), 409, str(PART))
    again = upload.send(2, data[PART:])
    assert again == second
    assert downloaded(http, upload.complete([first, second]).json()["location"]) == data


def test_an_empty_file_is_uploaded_as_one_part(http: httpx.Client, anybody: httpx.Client) -> None:
    upload = Upload(http, anybody, size=0)
    assert downloaded(http, upload.complete([upload.send(1, b"")]).json()["location"]) == b""


def test_parts_below_the_minimum_size_are_refused(http: httpx.Client, anybody: httpx.Client) -> None:
    upload = Upload(http, anybody)
    parts = [upload.send(number, os.urandom(1000)) for number in (1, 2)]
    refused(upload.complete(parts), 409, str(PART))
    upload.abort()


def test_the_declared_size_is_enforced(http: httpx.Client, anybody: httpx.Client) -> None:
    upload = Upload(http, anybody, size=PART + 1)
    refused(http.get(f"{upload.path}/3", params=upload.query), 400, "2 parts")
    parts = [upload.send(1, bytes(PART))]
    refused(upload.complete(parts), 409, str(PART + 1))
    parts.append(upload.send(2, b"!"))
    assert upload.complete(parts).status_code == 200
    larger = Upload(http, anybody, size=10 * MB, part_size=8 * MB)
    assert anybody.put(larger.url(2), content=bytes(2 * MB)).status_code == 200
    larger.abort()


def test_a_file_above_the_limit_is_refused_and_its_bytes_are_deleted(
    http: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    """No size was declared."""
    upload = Upload(http, anybody, profile="small")
    parts = upload.send_all(os.urandom(8 * MB))
    refused(http.get(f"{upload.path}/3", params=upload.query), 413)
    refused(upload.complete(parts), 413, "6291456")
    assert upload.status()["status"] == "failed"
    refused(upload.complete(parts), 410)
    assert upload.key not in bucket.unfinished()
    assert upload.key not in bucket.objects()


@pytest.mark.parametrize(
    ("name", "declared", "meta", "status"),
    [
        ("a.bin", "", {"profile": "small", "size": 7 * MB}, 413),
        ("a.gif", "", {"profile": "pictures"}, 415),
        ("a.png", "application/pdf", {"profile": "pictures"}, 415),
        ("a.png", "image/svg+xml", {"profile": "pictures"}, 415),
        ("a.bin", "", {"profile": "here"}, 501),
        ("a.bin", "", {"profile": "nobodys"}, 400),
        ("a.bin", "", {"size": -1}, 400),
        ("a.bin", "", {"size": 10 * PART, "part_size": 1000}, 400),
        ("a.bin", "", {"sha256": "abc"}, 400),
        ("", "", {}, 400),
    ],
)
def test_invalid_metadata_is_refused_before_a_byte_is_sent(
    http: httpx.Client, name: str, declared: str, meta: dict[str, Any], status: int
) -> None:
    refused(http.post("/s3/multipart", json={"filename": name, "type": declared, "metadata": meta}), status)
    if "part_size" not in meta:
        query = {"filename": name, "type": declared} | {f"metadata[{key}]": str(value) for key, value in meta.items()}
        refused(http.get("/s3/params", params=query), status)


def test_a_wrong_digest_is_rejected(http: httpx.Client, anybody: httpx.Client) -> None:
    upload = Upload(http, anybody, sha256="0" * 64)
    done = upload.complete([upload.send(1, b"something else")])
    record = wait_until_processed(http, done.headers["windlass-file"].split("/")[2])
    assert (record["status"], record["rejection"]["rule"]) == ("REJECTED", "checksum")


def test_aborting_deletes_the_parts_and_is_repeatable(
    http: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    upload = Upload(http, anybody)
    upload.send(1, bytes(1000))
    assert upload.key in bucket.unfinished()
    assert [upload.abort().json() for _ in range(2)] == [{}, {}]
    assert upload.key not in bucket.unfinished()
    assert upload.status()["status"] == "cancelled"
    refused(http.get(f"{upload.path}/1", params=upload.query), 410)


def test_deleting_the_upload_aborts_it_at_the_store(http: httpx.Client, anybody: httpx.Client, bucket: Bucket) -> None:
    upload = Upload(http, anybody)
    upload.send(1, bytes(1000))
    assert http.delete(f"/uploads/{upload.id}").status_code == 204
    assert upload.key not in bucket.unfinished()


def test_tus_cannot_append_to_a_direct_upload(http: httpx.Client, anybody: httpx.Client) -> None:
    upload = Upload(http, anybody)
    answer = http.patch(f"/uploads/{upload.id}", content=b"x", headers=PATCH | {"Upload-Offset": "0"})
    assert answer.status_code == 409
    tus = http.post("/files/", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "10"}).headers["location"]
    refused(http.get(f"/s3/multipart/{tus.rpartition('/')[2]}/1", params={"key": "any"}), 409, "tus")
    upload.abort()


def test_another_users_upload_is_not_found(
    http: httpx.Client, other: httpx.Client, anybody: httpx.Client, closed: ServerProcess
) -> None:
    upload = Upload(http, anybody)
    part = upload.send(1, b"mine")
    calls = [("GET", ""), ("GET", "/1"), ("GET", "/batch?partNumbers=1"), ("POST", "/complete"), ("DELETE", "")]
    for method, rest in calls:
        body = {"parts": [part]} if method == "POST" else None
        url = httpx.URL(upload.path + rest).copy_merge_params(upload.query)
        refused(other.request(method, url, json=body), 404)
        refused(anybody.request(method, closed.url + str(url), json=body), 401)
        wrong_key = httpx.URL(upload.path + rest).copy_merge_params({"key": "objects/00/another"})
        refused(http.request(method, wrong_key, json=body), 404)
        refused(http.request(method, upload.path + rest, json=body), 400, "key")
    refused(anybody.get(f"{closed.url}/s3/params", params={"filename": "a"}), 401)
    assert upload.complete([part]).status_code == 200


def test_quotas_apply_to_direct_uploads(
    closed: ServerProcess, other: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    owner = other.get("/api/v1/quota/").json()["owner"]
    set_to = closed.command("quota", "set", owner, "--bytes", str(6 * MB))
    assert set_to.returncode == 0, set_to.stderr
    refused(other.post("/s3/multipart", json={"filename": "a", "metadata": {"size": 7 * MB}}), 507)
    reserved = Upload(other, anybody, size=4 * MB)
    refused(other.post("/s3/multipart", json={"filename": "a", "metadata": {"size": 4 * MB}}), 507)
    unsaid = Upload(other, anybody)
    parts = [unsaid.send(1, bytes(3 * MB))]
    refused(unsaid.complete(parts), 507)
    assert unsaid.key not in bucket.unfinished()
    reserved.abort()
    assert other.get("/api/v1/quota/").json()["bytes"]["reserved"] == 0


def params(http: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = http.get("/s3/params", params={"filename": "small.png", "type": "image/png", "method": "PUT"} | query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_a_signed_put_becomes_a_file_without_a_completion_call(
    http: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    """The page need not report the PUT: the file is recorded without it."""
    data = png(64, 48) + os.urandom(8)
    sha256 = {"metadata[sha256]": digest(data), "metadata[size]": str(len(data))}
    to = params(http, **sha256)
    assert (to["method"], to["fields"], to["expires"]) == ("PUT", {}, 900)
    assert anybody.put(to["url"], content=data + b"!", headers=to["headers"]).status_code == 403, "its length is signed"
    other_type = to["headers"] | {"Content-Type": "text/html"}
    assert anybody.put(to["url"], content=data, headers=other_type).status_code == 403, "its type is signed"
    assert anybody.put(to["url"], content=data, headers=to["headers"]).status_code == 200
    path = f"/files/{eventually(lambda: file_of(http, to['uploadId']))}/"
    assert downloaded(http, path) == data
    assert http.get(path).json()["mime_type"] == "image/png"
    reply = http.post("/s3/params/complete", params={"key": to["key"]})
    assert urlsplit(reply.json()["location"]).path == path
    assert not [key for key in bucket.objects() if str(to["uploadId"]) in key and ".tail." in key]

    late = anybody.put(to["url"], content=data[:-1] + b"?", headers=to["headers"])
    assert late.status_code == 200, "the store cannot know better"
    assert downloaded(http, path) == data, "what is a file already never changes"


def file_of(http: httpx.Client, upload: str) -> str | None:
    """Once it is one."""
    found: str | None = http.get(f"/uploads/{upload}", headers={"Accept": "application/json"}).json().get("file_id")
    return found


def test_a_page_may_report_that_a_put_is_complete(
    http: httpx.Client, other: httpx.Client, anybody: httpx.Client
) -> None:
    to = params(http, filename="small.bin", type="", **{"metadata[size]": "1"})
    query = {"key": to["key"]}
    refused(http.post("/s3/params/complete", params=query), 409, "Nothing has come")
    assert anybody.put(to["url"], content=b"1", headers=to["headers"]).status_code == 200
    refused(other.post("/s3/params/complete", params=query), 404)
    refused(http.post("/s3/params/complete", params={"key": "none of ours"}), 404)
    done = http.post("/s3/params/complete", params=query)
    assert done.status_code == 200, done.text
    assert downloaded(http, done.json()["location"]) == b"1"
    assert done.headers["windlass-file"] == urlsplit(done.json()["location"]).path


def test_multipart_calls_and_single_put_calls_cannot_be_mixed(http: httpx.Client, anybody: httpx.Client) -> None:
    whole = params(http, **{"metadata[size]": "10"})
    path, query = f"/s3/multipart/{whole['uploadId']}", {"key": whole["key"]}
    refused(http.get(f"{path}/1", params=query), 409)
    refused(http.post(f"{path}/complete", params=query, json={"parts": [{"PartNumber": 1, "ETag": "x"}]}), 409)
    assert http.delete(path, params=query).json() == {}
    parts = Upload(http, anybody)
    refused(http.post("/s3/params/complete", params=parts.query), 409)
    parts.abort()
    refused(http.get("/s3/params", params={"filename": "a", "method": "PUT"}), 400, "size")


def test_a_form_is_sent_to_windlass_if_the_store_accepts_no_forms(
    http: httpx.Client, other: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    """The form is sent to Windlass, with a grant for one file in its URL."""
    data = os.urandom(1000)
    said = {"metadata[reference]": "order-18", "metadata[colour]": "red", "metadata[sha256]": digest(data)}
    to = params(http, filename="small.bin", type="", method="POST", **said)
    query = {"key": to["fields"]["key"]}
    refused(http.post("/s3/params/complete", params=query), 409)
    sent = anybody.post(to["url"], data=to["fields"], files={"file": ("small.bin", data)})
    assert sent.status_code == 201, sent.text
    assert sent.headers["etag"] == f'"{digest(data)}"', "without one, Uppy 5 would wait for ever"
    assert (sent.json()["reference"], sent.json()["metadata"]) == ("order-18", {"colour": "red"})
    done = http.post("/s3/params/complete", params=query)
    assert done.headers["windlass-file"] == f"/files/{sent.json()['id']}/"
    assert downloaded(http, done.json()["location"]) == data
    refused(other.post("/s3/params/complete", params=query), 404)
    again = anybody.post(to["url"], data=to["fields"], files={"file": ("small.bin", b"more")})
    assert again.status_code == 403


def test_abandoned_uploads_are_deleted_by_cleanup(
    closed: ServerProcess, http: httpx.Client, anybody: httpx.Client, bucket: Bucket
) -> None:
    upload = Upload(http, anybody, name="abandoned.bin")
    upload.send(1, bytes(1000))
    settings = {"WINDLASS_HOME": str(closed.home), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    command = [sys.executable, "-m", "django", "cleanup_expired_uploads", "--hours", "0"]
    subprocess.run(command, env=closed.environment | settings, check=True, capture_output=True, timeout=60)
    assert upload.status()["status"] == "expired"
    assert upload.key not in bucket.unfinished()


def test_a_local_store_refuses_direct_uploads(shared_server: ServerProcess) -> None:
    with connect(shared_server) as http:
        refused(http.post("/s3/multipart", json={"filename": "a"}), 501, "/files/")
        refused(http.get("/s3/params", params={"filename": "a"}), 501)
        assert http.head("/s3/params", params={"filename": "a"}).status_code in (404, 405)
